"""The servers' history in the store: counts by the minute and hour, transitions, recent checks.

Whatever is saved is added to what is there, so several processes may watch one server.
"""

import asyncio
from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.engine import Connection

from codewalk.history.history import MAX_TRANSITIONS, Batch, Check, StoredHistory, Transition
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
from codewalk.storage.bulk_insert import BulkRow, execute_bulk, storable_text
from codewalk.storage.database import Database
from codewalk.storage.row_reader import RowReader
from codewalk.storage.tables import (
    from_micros,
    health_minutes,
    health_periods,
    health_recent,
    health_transitions,
    to_micros,
)

MAX_LOADED_TRANSITIONS: Final = 5 * MAX_TRANSITIONS
"""Transitions to read up to the end of the window: several processes may have seen one change."""

MAX_LATER_TRANSITIONS: Final = 10
"""Transitions to read after the window, to know when its last state ended."""


class HistoryStore:
    """Stores each server's history. Its methods raise `StorageError`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._insert_periods = sql.insert_periods(sqlite=database.is_sqlite)
        self._insert_transitions = sql.insert_transitions(sqlite=database.is_sqlite)
        self._append_checks = sql.append_checks(sqlite=database.is_sqlite)
        self._reader = RowReader()

    async def save(self, batch: Batch) -> None:
        """Add all of it, or nothing; records of removed servers are skipped."""

        def save(connection: Connection) -> None:
            execute_bulk(connection, self._insert_periods, _period_rows(batch))
            execute_bulk(connection, self._insert_transitions, _transition_rows(batch))
            execute_bulk(connection, self._append_checks, _check_rows(batch))

        await self._database.write(save, durable=False)

    async def load(
        self, server_id: str, since: datetime, window: Window, *, by_minute: bool
    ) -> StoredHistory:
        """Return what is stored of one server from `since` on, and its recent checks.

        Args:
            server_id: The server.
            since: The beginning; counts begin with its hour.
            window: The part that is asked for. Of the transitions, the last ones up to its end are
                returned, and the first ones after it.
            by_minute: Return also the single minutes of what lies in `window` and is over a day
                old.
        """
        start, end = sql.hour_start(since), to_micros(window[1])
        p, t = health_periods.c, health_transitions.c
        periods = select(health_periods).where(p.server_id == server_id, p.begins_at >= start)
        log = select(health_transitions).where(t.server_id == server_id)
        before = log.where(t.changed_at >= to_micros(since), t.changed_at <= end)
        before = before.order_by(t.changed_at.desc()).limit(MAX_LOADED_TRANSITIONS)
        after = log.where(t.changed_at > end).order_by(t.changed_at).limit(MAX_LATER_TRANSITIONS)
        recent = select(health_recent).where(health_recent.c.server_id == server_id)
        packed = minutes.select_packed(server_id, window) if by_minute else None

        def load(connection: Connection) -> Callable[[], StoredHistory]:
            period_rows = connection.execute(periods).all()
            transition_rows = [*connection.execute(before), *connection.execute(after)]
            recent_rows = connection.execute(recent).all()
            packed_rows = () if packed is None else connection.execute(packed).all()
            return lambda: self._history(period_rows, packed_rows, transition_rows, recent_rows)

        convert = await self._database.read(load)
        # In a thread: it is thousands of values, and PostgreSQL's rows come on the event loop.
        return await asyncio.to_thread(convert)

    async def load_checks(self) -> dict[str, bytes]:
        """Return the recent checks of each server as `RecentChecks` packs them, by server id."""
        rows = await self._database.read(lambda c: c.execute(select(health_recent)).all())
        return {row.server_id: self._packed_checks(row) for row in rows}

    async def compact(self, after: str, now: datetime) -> str:
        """Compact the history of the next few servers.

        Minutes that are over a day old are added up to hours and packed; what is beyond the
        retention is deleted.

        Args:
            after: The servers are those whose ids follow this one; empty for the first ones.
            now: The time.

        Returns:
            The last id, to go on from; empty where there are no more.
        """
        before, oldest = sql.hour_start(now - MINUTE_RETENTION), sql.hour_start(now - RETENTION)

        def compact(connection: Connection) -> str:
            if not self._database.is_sqlite and not connection.scalar(sql.TRY_COMPACTION_LOCK):
                return after
            ids = connection.scalars(sql.NEXT_SERVER_IDS, {"after": after}).all()
            if not ids:
                return ""
            servers = {"after": after, "last": ids[-1]}
            old = minutes.take_old_minutes(connection, servers, before, self._reader)
            hours = [
                _period_row(server_id, hour)
                for (server_id, _), periods in old.items()
                for hour in aggregate_periods(periods, HOUR)
            ]
            execute_bulk(connection, self._insert_periods, hours)
            minutes.store_packed(connection, servers, old, self._reader)
            for statement in sql.DELETE_OLD:
                connection.execute(statement, {**servers, "before": oldest})
            return str(ids[-1])

        return await self._database.write(compact, durable=False)

    def _history(
        self,
        period_rows: Sequence[Any],
        packed_rows: Sequence[Any],
        transition_rows: Sequence[Any],
        recent_rows: Sequence[Any],
    ) -> StoredHistory:
        read = self._reader.read
        hours = read(health_minutes, packed_rows, lambda row: (from_micros(row.begins_at), row))
        return StoredHistory(
            periods=read(health_periods, period_rows, minutes.period_from_row),
            old_minutes={begins: partial(self._minutes_of_hour, row) for begins, row in hours},
            transitions=read(health_transitions, transition_rows, _transition),
            checks=[check for row in recent_rows for check in self._checks(row)],
        )

    def _minutes_of_hour(self, row: Any) -> list[Period]:
        hours = self._reader.read(health_minutes, [row], minutes.unpack_row)
        return hours[0] if hours else []

    def _checks(self, row: Any) -> list[Check]:
        return unpack_checks(self._packed_checks(row))

    def _packed_checks(self, row: Any) -> bytes:
        """Decode the recent checks; of a damaged text, those that follow the damage."""
        text = row.checks
        try:
            packed = b64decode(text, validate=True)
            if len(text) % sql.CHECK_CHARACTERS == 0 and not text.endswith("="):
                return packed
        except (ValueError, TypeError, AttributeError):
            pass
        self._reader.report(health_recent)
        return _intact_end(text) if isinstance(text, str) else b""


def _intact_end(text: str) -> bytes:
    """Decode the checks at the end, which are whole: new ones are appended there."""
    size = sql.CHECK_CHARACTERS
    checks: list[bytes] = []
    for end in range(len(text), size - 1, -size):
        check = text[end - size : end]
        try:
            if check.endswith("="):
                break
            checks.append(b64decode(check, validate=True))
        except ValueError:
            break
    return b"".join(reversed(checks))


def _period_rows(batch: Batch) -> list[BulkRow]:
    """Return one row for each server and time: PostgreSQL takes no key twice in one statement."""
    merged: dict[tuple[str, datetime, timedelta], Period] = {}
    for record in batch.minutes:
        if period := record.period:
            key = record.server_id, period.begins, period.span
            merged[key] = merged[key].plus(period) if key in merged else period
    return [_period_row(server_id, period) for (server_id, *_), period in merged.items()]


def _period_row(server_id: str, period: Period) -> BulkRow:
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


def _transition_rows(batch: Batch) -> list[BulkRow]:
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


def _check_rows(batch: Batch) -> list[BulkRow]:
    packed: dict[str, bytes] = {}
    for record in batch.minutes:
        if record.checks:
            packed[record.server_id] = packed.get(record.server_id, b"") + record.checks
    return [[server_id, b64encode(checks).decode()] for server_id, checks in packed.items()]


def _transition(row: Any) -> Transition | None:
    try:
        before, after, reason = State(row.from_state), State(row.to_state), Reason(row.reason)
    except ValueError:
        return None  # a value of another release
    return Transition(
        at=from_micros(row.changed_at),
        before=before,
        after=after,
        reason=reason,
        detail=row.detail,
        version=row.version,
    )
