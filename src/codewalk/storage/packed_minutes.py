"""Minutes in the store once their day is over: each hour's as one sum, and packed beside it."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
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
from codewalk.storage.tables import from_micros, health_minutes, health_periods, servers, to_micros

Hour = tuple[str, datetime]
"""A server's id, and when its hour begins."""

Minutes = Mapping[Hour, Sequence[Period]]
"""What is known of each hour by the minute."""

_SPANS: Final = MappingProxyType({span // timedelta(seconds=1): span for span in (MINUTE, HOUR)})

_FIRST: Final = select(
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
_READ: Final = select(health_periods).where(*_OLD)
_REMOVE: Final = delete(health_periods).where(*_OLD)
# At once: what another process adds between two statements would be removed uncounted.
_TAKE: Final = _REMOVE.returning(*health_periods.columns)

_PACKED: Final = select(health_minutes).where(
    health_minutes.c.server_id.in_(BATCH_SERVER_IDS),
    health_minutes.c.begins_at >= bindparam("first"),
)

_DROP: Final = delete(health_minutes).where(
    health_minutes.c.server_id == bindparam("owner"),
    health_minutes.c.begins_at == bindparam("hour"),
)


def take_old_minutes(connection: Connection, these: Mapping[str, Any], before: int) -> Minutes:
    """Takes the minutes from before `before`, in microseconds, out of the store; only the first
    `HOURS_PER_BATCH` hours of them."""
    first = min(filter(None, connection.scalars(_FIRST, these)), default=before)
    before = min(before, (first // HOUR_MICROSECONDS + HOURS_PER_BATCH) * HOUR_MICROSECONDS)
    found: defaultdict[Hour, list[Period]] = defaultdict(list)
    for row in _taken(connection, {**these, "before": before}):
        minute = period_from_row(row)
        found[row.server_id, minute.begins.replace(minute=0)].append(minute)
    return found


def _taken(connection: Connection, bounds: Mapping[str, Any]) -> Sequence[Any]:
    if connection.dialect.name != "sqlite":
        return connection.execute(_TAKE, bounds).all()
    # Nobody else writes meanwhile, and before 3.35 it can't tell what it removes.
    rows = connection.execute(_READ, bounds).all()
    connection.execute(_REMOVE, bounds)
    return rows


def store_packed(connection: Connection, these: Mapping[str, Any], minutes: Minutes) -> None:
    """Puts minutes back, packed, with what is there of the same hours."""
    if not minutes:
        return
    merged = {hour: list(found) for hour, found in minutes.items()}
    first = to_micros(min(begins for _, begins in minutes))
    late = []
    for row in connection.execute(_PACKED, {**these, "first": first}):
        hour = row.server_id, from_micros(row.begins_at)
        if hour in merged:
            merged[hour] += unpack_minutes(row.packed, hour[1])
            late.append({"owner": row.server_id, "hour": row.begins_at})
    if late:
        connection.execute(_DROP, late)
    rows = [
        {
            "server_id": owner,
            "begins_at": to_micros(begins),
            "packed": pack_minutes(merge_periods(found)),
        }
        for (owner, begins), found in merged.items()
    ]
    connection.execute(insert(health_minutes), rows)


def packed(server_id: str, window: Window) -> Select[Any]:
    """The packed hours of a server in which a part of this time lies."""
    c = health_minutes.c
    first, last = hour_start(window[0]), to_micros(window[1])
    return select(health_minutes).where(
        c.server_id == server_id, c.begins_at >= first, c.begins_at < last
    )


def unpacked(rows: Iterable[Any]) -> list[Period]:
    """The minutes of rows of `health_minutes`."""
    return [
        minute for row in rows for minute in unpack_minutes(row.packed, from_micros(row.begins_at))
    ]


def period_from_row(row: Any) -> Period:
    """The period of a row of `health_periods`."""
    # Taken apart at once and made without detours: a history has two thousand of them.
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
