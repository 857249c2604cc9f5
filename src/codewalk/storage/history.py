"""The servers' history in the store: counts by the minute and hour, transitions, the last checks.

Whatever is saved is added to what is there, so several processes may watch one server.
"""

import asyncio
import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.engine import Connection

from codewalk.history.history import MAX_TRANSITIONS, Batch, StoredHistory, Transition
from codewalk.history.period import (
    HOUR,
    MINUTE_RETENTION,
    RETENTION,
    Period,
    Window,
    aggregate_periods,
)
from codewalk.history.recent_checks import unpack_checks
from codewalk.reason import Reason, State
from codewalk.storage import history_sql as sql
from codewalk.storage import packed_minutes as minutes
from codewalk.storage.database import Database
from codewalk.storage.health import storable_text
from codewalk.storage.packed_minutes import period_from_row, unpacked
from codewalk.storage.tables import (
    from_micros,
    health_periods,
    health_recent,
    health_transitions,
    to_micros,
)

MAX_LOADED_TRANSITIONS: Final = 5 * MAX_TRANSITIONS
"""Transitions that are read; some may be told by several processes."""

NEXT: Final = 10
"""Transitions that are read of those after the time that is asked for: when the last state in it
ended."""

Row = list[str | int | None]


class HistoryStore:
    """Keeps each server's history. All methods raise `StorageError`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._insert_periods = sql.insert_periods(sqlite=database.is_sqlite)
        self._insert_transitions = sql.insert_transitions(sqlite=database.is_sqlite)
        self._append_checks = sql.append_checks(sqlite=database.is_sqlite)

    async def save(self, batch: Batch) -> None:
        """Adds all of it, or nothing; passes over servers that are gone."""

        def save(connection: Connection) -> None:
            for statement, rows in (
                (self._insert_periods, _period_rows(batch)),
                (self._insert_transitions, _transition_rows(batch)),
                (self._append_checks, _check_rows(batch)),
            ):
                if rows:
                    connection.execute(statement, {"rows": json.dumps(rows)})

        await self._database.write(save, durable=False)

    async def load(
        self, server_id: str, since: datetime, window: Window, *, by_minute: bool
    ) -> StoredHistory:
        """What is kept of one server from `since` on, and its last checks.

        Of the changes of state, the last ones up to the end of `window`, and the first ones after
        it; `by_minute`, what lies in it and is older than a day by the minute, too.
        """
        start, end = sql.hour_start(since), to_micros(window[1])
        p, t, r = health_periods.c, health_transitions.c, health_recent.c
        periods = select(health_periods).where(p.server_id == server_id, p.begins_at >= start)
        log = select(health_transitions).where(t.server_id == server_id)
        before = log.where(t.changed_at >= to_micros(since), t.changed_at <= end)
        before = before.order_by(t.changed_at.desc()).limit(MAX_LOADED_TRANSITIONS)
        after = log.where(t.changed_at > end).order_by(t.changed_at).limit(NEXT)
        recent = select(r.checks).where(r.server_id == server_id)
        packed = minutes.packed(server_id, window) if by_minute else None

        def load(connection: Connection) -> Callable[[], StoredHistory]:
            rows = connection.execute(periods).all()
            changed = [*connection.execute(before), *connection.execute(after)]
            checks = connection.scalar(recent)
            hours = () if packed is None else connection.execute(packed).all()
            return lambda: _kept(rows, hours, changed, checks)

        make = await self._database.read(load)
        # Thousands of values; PostgreSQL's rows come on the event loop, which has better to do.
        return await asyncio.to_thread(make)

    async def load_checks(self) -> dict[str, bytes]:
        """The last checks of each server as `Tape` packs them, by server id."""
        rows = await self._database.read(lambda c: c.execute(select(health_recent)).all())
        return {row.server_id: b64decode(row.checks) for row in rows}

    async def compact(self, after: str, now: datetime) -> str:
        """Adds old minutes up to hours, packs them, and drops what is too old, for the next few
        servers.

        Those are the ones whose ids follow `after`; the last of them is returned, to go on from, or
        an empty text where there are no more.
        """
        before, oldest = sql.hour_start(now - MINUTE_RETENTION), sql.hour_start(now - RETENTION)

        def compact(connection: Connection) -> str:
            if not self._database.is_sqlite and not connection.scalar(sql.TRY_COMPACTION_LOCK):
                return after
            ids = connection.scalars(sql.NEXT, {"after": after}).all()
            if not ids:
                return ""
            these = {"after": after, "last": ids[-1]}
            if old := minutes.take_old_minutes(connection, these, before):
                hours = [
                    _row(owner, hour)
                    for (owner, _), found in old.items()
                    for hour in aggregate_periods(found, HOUR)
                ]
                connection.execute(self._insert_periods, {"rows": json.dumps(hours)})
                minutes.store_packed(connection, these, old)
            for statement in sql.DELETE_OLD:
                connection.execute(statement, {**these, "before": oldest})
            return str(ids[-1])

        return await self._database.write(compact, durable=False)


def _period_rows(batch: Batch) -> list[Row]:
    """Those of one server and time as one: PostgreSQL takes no row twice in one statement."""
    found: dict[tuple[str, datetime, timedelta], Period] = {}
    for noted in batch.minutes:
        if period := noted.period:
            key = noted.server_id, period.begins, period.span
            found[key] = found[key].plus(period) if key in found else period
    return [_row(server_id, period) for (server_id, *_), period in found.items()]


def _row(server_id: str, period: Period) -> Row:
    return [
        server_id,
        period.span // timedelta(seconds=1),
        to_micros(period.begins),
        period.checks,
        period.failures,
        period.answers,
        period.up_ms,
        period.down_ms,
        period.latency_min_us,
        period.latency_sum_us,
        period.latency_p95_sum_us,
    ]


def _transition_rows(batch: Batch) -> list[Row]:
    return [
        [
            server_id,
            to_micros(transition.at),
            transition.before.value,
            transition.after.value,
            transition.reason.value,
            storable_text(transition.detail),
            storable_text(transition.version),
        ]
        for server_id, transition in batch.transitions
    ]


def _check_rows(batch: Batch) -> list[Row]:
    found: dict[str, bytes] = {}
    for noted in batch.minutes:
        if noted.checks:
            found[noted.server_id] = found.get(noted.server_id, b"") + noted.checks
    return [[server_id, b64encode(packed).decode()] for server_id, packed in found.items()]


def _kept(
    periods: Sequence[Any], packed: Sequence[Any], changes: Sequence[Any], checks: str | None
) -> StoredHistory:
    return StoredHistory(
        periods=[period_from_row(row) for row in periods],
        old_minutes=unpacked(packed),
        transitions=list(filter(None, map(_transition, changes))),
        checks=unpack_checks(b64decode(checks or "")),
    )


def _transition(row: Any) -> Transition | None:
    """None for another release's word."""
    try:
        before, after, reason = State(row.from_state), State(row.to_state), Reason(row.reason)
    except ValueError:
        return None
    return Transition(
        at=from_micros(row.changed_at),
        before=before,
        after=after,
        reason=reason,
        detail=row.detail,
        version=row.version,
    )
