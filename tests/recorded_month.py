"""A month of a server's history, without waiting for it."""

import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import insert
from sqlalchemy.engine import Connection

from codewalk.app.composition import Parts
from codewalk.health.status import CheckResult, HealthStatus, advance
from codewalk.history.packing import pack_minutes
from codewalk.history.period import DAY, HOUR, MINUTE, RETENTION, Period, aggregate_periods
from codewalk.reason import Reason
from codewalk.servers.health_check import DEFAULT_SETTINGS
from codewalk.storage.database import open_database
from codewalk.storage.history import HistoryStore
from codewalk.storage.history_sql import HOURS_PER_BATCH
from codewalk.storage.tables import health_minutes, health_periods, to_micros

DOWN: Final = CheckResult(reason=Reason.REFUSED, detail="Nothing listens at 127.0.0.1:4096.")
STRANGE: Final = CheckResult(
    reason=Reason.NOT_OPENCODE,
    detail="This is not an OpenCode server (127.0.0.1:4096 answered /path with a web page).",
)

COUNTS: Final = (
    "checks",
    "failures",
    "answers",
    "up_ms",
    "down_ms",
    "latency_min_us",
    "latency_sum_us",
    "latency_p95_sum_us",
)
"""The columns of counts, named as the fields of `Period`."""

OUTAGES: Final = (
    (26 * DAY, 5 * HOUR, DOWN),
    (12 * DAY, 40 * MINUTE, STRANGE),
    (3 * DAY, 9 * HOUR, DOWN),
    (9 * HOUR, 25 * MINUTE, STRANGE),
    (2 * HOUR, 3 * MINUTE, DOWN),
    (5 * MINUTE, MINUTE, DOWN),
)
"""How long ago each began, how long it lasted, and the result of its checks."""


def record_month(
    parts: Parts, server_id: str, *, span: timedelta = 30 * DAY, version: str = "1.18.33"
) -> None:
    """Record checks for the last `span`, except for one night."""
    now = datetime.now(UTC)
    status = HealthStatus()
    for at in _moments(now, span):
        before = status.as_of(at)
        result = _result(now - at, version)
        after = advance(before, result, at, DEFAULT_SETTINGS)
        parts.recorder.record(server_id, status, before, after, result)
        status = after
    parts.monitor.set_status(server_id, status)


def _moments(now: datetime, span: timedelta) -> Iterator[datetime]:
    at = now - span
    while at < now:
        unchecked = 6 * DAY < now - at < 6 * DAY + 10 * HOUR
        if not unchecked:
            yield at
            yield at + MINUTE / 4
        at += MINUTE / 2 if now - at < DAY + HOUR else 2.5 * MINUTE


def _result(ago: timedelta, version: str) -> CheckResult:
    for began, lasted, result in OUTAGES:
        if began - lasted < ago <= began:
            return result
    hours = ago / HOUR
    at = int(ago / timedelta(seconds=1))
    load = 1 + math.sin(hours / 3.8) ** 2 + at % 7 / 9 + (3 if at // 60 % 47 == 3 else 0)
    return CheckResult(reason=Reason.OK, version=version, latency_ms=3.1 * load)


async def compact_store(parts: Parts) -> None:
    """Pack what is older than a day in the store, as happens in time."""
    await parts.recorder.save(flush=True)
    async with open_database(parts.app.settings) as database:
        store = HistoryStore(database)
        for _ in range(RETENTION // HOUR // HOURS_PER_BATCH + 1):
            after = await store.compact("", datetime.now(UTC))
            while after:
                after = await store.compact(after, datetime.now(UTC))


async def store_every_minute(parts: Parts, server_id: str) -> None:
    """Store all minutes of the last 30 days, packed."""
    now = datetime.now(UTC)
    first = now.replace(minute=0, second=0, microsecond=0) - RETENTION
    packed, hours = [], []
    for number in range(RETENTION // HOUR):
        begins = first + number * HOUR
        minutes = [_minute(begins + minute * MINUTE) for minute in range(60)]
        key = {"server_id": server_id, "begins_at": to_micros(begins)}
        packed.append({**key, "packed": pack_minutes(minutes)})
        (hour,) = aggregate_periods(minutes, HOUR)
        counts = {name: getattr(hour, name) for name in COUNTS}
        hours.append({**key, "span_s": HOUR.seconds, **counts})

    def save(connection: Connection) -> None:
        connection.execute(insert(health_minutes), packed)
        connection.execute(insert(health_periods), hours)

    async with open_database(parts.app.settings) as database:
        await database.write(save)


def _minute(begins: datetime) -> Period:
    number = begins.minute
    return Period(
        begins=begins,
        checks=6,
        answers=6,
        up_ms=60_000,
        latency_min_us=2_000 + 37 * number % 900,
        latency_sum_us=6 * (3_000 + 91 * number % 1_700),
        latency_p95_sum_us=6 * (4_000 + 173 * number % 2_500),
    )
