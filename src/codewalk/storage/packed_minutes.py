"""Minutes that are over a day old: each hour's as one sum, and packed beside it."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, Final

from sqlalchemy import Select, bindparam, delete, func, insert, select
from sqlalchemy.engine import Connection

from codewalk.history.packing import pack_minutes, unpack_minutes
from codewalk.history.period import HOUR, MINUTE, Period, Window, merge_periods
from codewalk.storage.history_sql import (
    BATCH_SERVER_IDS,
    HOUR_MICROSECONDS,
    HOURS_PER_BATCH,
    hour_start,
)
from codewalk.storage.row_reader import RowReader
from codewalk.storage.tables import from_micros, health_minutes, health_periods, servers, to_micros

ServerHour = tuple[str, datetime]
"""A server's id, and the beginning of an hour."""

MinutesByHour = Mapping[ServerHour, Sequence[Period]]

_SPANS: Final = MappingProxyType({span // timedelta(seconds=1): span for span in (MINUTE, HOUR)})

_FIRST_MINUTES: Final = select(
    select(func.min(health_periods.c.begins_at))
    .where(
        health_periods.c.server_id == servers.c.id,
        health_periods.c.span_s == MINUTE.seconds,
    )
    .scalar_subquery()
).where(servers.c.id.in_(BATCH_SERVER_IDS))

_OLD: Final = (
    health_periods.c.server_id.in_(BATCH_SERVER_IDS),
    health_periods.c.span_s == MINUTE.seconds,
    health_periods.c.begins_at < bindparam("before"),
)
_READ_OLD: Final = select(health_periods).where(*_OLD)
_DELETE_OLD: Final = delete(health_periods).where(*_OLD)
# One statement: what another process adds between two would be deleted uncounted.
_TAKE_OLD: Final = _DELETE_OLD.returning(*health_periods.columns)

_LATER_PACKED: Final = select(health_minutes).where(
    health_minutes.c.server_id.in_(BATCH_SERVER_IDS),
    health_minutes.c.begins_at >= bindparam("first"),
)

_DELETE_PACKED: Final = delete(health_minutes).where(
    health_minutes.c.server_id == bindparam("owner"),
    health_minutes.c.begins_at == bindparam("hour"),
)


def take_old_minutes(
    connection: Connection, servers: Mapping[str, Any], before: int, reader: RowReader
) -> MinutesByHour:
    """Delete the old minutes of some servers from the store, and return them by hour.

    Args:
        connection: The transaction.
        servers: The parameters of `BATCH_SERVER_IDS`.
        before: In microseconds; minutes that begin earlier are old. Only those of the first
            `HOURS_PER_BATCH` hours are taken.
        reader: Drops damaged rows.
    """
    first = min(filter(None, connection.scalars(_FIRST_MINUTES, servers)), default=before)
    before = min(before, (first // HOUR_MICROSECONDS + HOURS_PER_BATCH) * HOUR_MICROSECONDS)
    rows = _take(connection, {**servers, "before": before})
    minutes: defaultdict[ServerHour, list[Period]] = defaultdict(list)
    for hour, minute in reader.read(health_periods, rows, _minute_with_hour):
        minutes[hour].append(minute)
    return minutes


def _take(connection: Connection, parameters: Mapping[str, Any]) -> Sequence[Any]:
    if connection.dialect.name != "sqlite":
        return connection.execute(_TAKE_OLD, parameters).all()
    # Two statements: SQLite before 3.35 can't return what it deletes, and nobody else writes now.
    rows = connection.execute(_READ_OLD, parameters).all()
    connection.execute(_DELETE_OLD, parameters)
    return rows


def _minute_with_hour(row: Any) -> tuple[ServerHour, Period]:
    minute = period_from_row(row)
    return (row.server_id, minute.begins.replace(minute=0)), minute


def store_packed(
    connection: Connection, servers: Mapping[str, Any], minutes: MinutesByHour, reader: RowReader
) -> None:
    """Store minutes packed, together with those that are packed already of the same hours.

    Args:
        connection: The transaction.
        servers: The parameters of `BATCH_SERVER_IDS`.
        minutes: What `take_old_minutes` returned.
        reader: Drops damaged rows.
    """
    if not minutes:
        return
    merged = {hour: list(periods) for hour, periods in minutes.items()}
    first = to_micros(min(begins for _, begins in minutes))
    replaced = []
    for row in connection.execute(_LATER_PACKED, {**servers, "first": first}):
        hour = row.server_id, from_micros(row.begins_at)
        if hour in merged:
            for stored in reader.read(health_minutes, [row], unpack_row):
                merged[hour] += stored
            replaced.append({"owner": row.server_id, "hour": row.begins_at})
    if replaced:
        connection.execute(_DELETE_PACKED, replaced)
    rows = [
        {
            "server_id": server_id,
            "begins_at": to_micros(begins),
            "packed": pack_minutes(merge_periods(periods)),
        }
        for (server_id, begins), periods in merged.items()
    ]
    connection.execute(insert(health_minutes), rows)


def select_packed(server_id: str, window: Window) -> Select[Any]:
    """Return the query for the packed hours of a server that overlap this window."""
    c = health_minutes.c
    first, last = hour_start(window[0]), to_micros(window[1])
    return select(health_minutes).where(
        c.server_id == server_id, c.begins_at >= first, c.begins_at < last
    )


def unpack_row(row: Any) -> list[Period]:
    """Return the minutes of a row of `health_minutes`.

    Raises:
        ValueError: It is damaged.
    """
    minutes = unpack_minutes(row.packed, from_micros(row.begins_at))
    if not minutes:
        raise ValueError("a packed hour has at least one minute")
    return minutes


def period_from_row(row: Any) -> Period:
    """Return the period of a row of `health_periods`."""
    # Unpacked in one go and without helpers: a history has two thousand of these rows.
    _, span_s, begins_at, checks, failures, answers, up, down, lowest, total, p95_total = row
    return Period(
        begins=datetime.fromtimestamp(begins_at // 1_000_000, UTC),
        span=_SPANS.get(span_s) or timedelta(seconds=span_s),
        checks=checks,
        failures=failures,
        answers=answers,
        up_ms=up,
        down_ms=down,
        latency_min_us=lowest,
        latency_sum_us=total,
        latency_p95_sum_us=p95_total,
    )
