"""A month that a server has been through, without waiting for it."""

import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

from codewalk.app.composition import Parts
from codewalk.health.status import CheckResult, HealthStatus, advance
from codewalk.history.period import DAY, HOUR, MINUTE, RETENTION
from codewalk.reason import Reason
from codewalk.servers.health_check import DEFAULT_SETTINGS
from codewalk.storage.database import open_database
from codewalk.storage.history import HistoryStore
from codewalk.storage.history_sql import HOURS_PER_BATCH

DOWN: Final = CheckResult(reason=Reason.REFUSED, detail="Nothing listens at 127.0.0.1:4096.")
STRANGE: Final = CheckResult(
    reason=Reason.NOT_OPENCODE, detail="Something answers, but it isn't an OpenCode server."
)

OUTAGES: Final = (
    (26 * DAY, 5 * HOUR, DOWN),
    (12 * DAY, 40 * MINUTE, STRANGE),
    (3 * DAY, 9 * HOUR, DOWN),
    (9 * HOUR, 25 * MINUTE, STRANGE),
    (2 * HOUR, 3 * MINUTE, DOWN),
    (12 * MINUTE, 2 * MINUTE, DOWN),
)
"""How long ago each began, how long it lasted, and what the checks found."""


def record_month(
    parts: Parts, server_id: str, *, span: timedelta = 30 * DAY, version: str = "1.18.33"
) -> None:
    """Has the recorder told of checks in the last `span`, of which nobody watched one night."""
    now = datetime.now(UTC)
    status = HealthStatus()
    for at in _moments(now, span):
        before = status.as_of(at)
        result = _found(now - at, version)
        after = advance(before, result, at, DEFAULT_SETTINGS)
        parts.recorder.record(server_id, status, before, after, result)
        status = after
    parts.monitor.set_status(server_id, status)


def _moments(now: datetime, span: timedelta) -> Iterator[datetime]:
    at = now - span
    while at < now:
        unwatched = 6 * DAY < now - at < 6 * DAY + 10 * HOUR
        if not unwatched:
            yield at
            yield at + MINUTE / 4
        at += MINUTE / 2 if now - at < DAY + HOUR else 2.5 * MINUTE


def _found(ago: timedelta, version: str) -> CheckResult:
    for began, lasted, result in OUTAGES:
        if began - lasted < ago <= began:
            return result
    hours = ago / HOUR
    at = int(ago / timedelta(seconds=1))
    busy = 1 + math.sin(hours / 3.8) ** 2 + at % 7 / 9 + (3 if at // 60 % 47 == 3 else 0)
    return CheckResult(reason=Reason.OK, version=version, latency_ms=3.1 * busy)


async def compact_store(parts: Parts) -> None:
    """Has what is older than a day packed in the store, as it will be in time."""
    await parts.recorder.save(flush=True)
    async with open_database(parts.app.settings) as database:
        store = HistoryStore(database)
        for _ in range(RETENTION // HOUR // HOURS_PER_BATCH + 1):
            after = await store.compact("", datetime.now(UTC))
            while after:
                after = await store.compact(after, datetime.now(UTC))
