"""The statements of `codewalk.storage.history`, for SQLite and PostgreSQL."""

from datetime import datetime
from typing import Final

from sqlalchemy import TextClause, bindparam, delete, func, select

from codewalk.history.history import MAX_RECENT_CHECKS
from codewalk.history.period import HOUR
from codewalk.history.recent_checks import PACKED_CHECK_BYTES
from codewalk.storage.bulk_insert import insert_statement
from codewalk.storage.tables import (
    health_minutes,
    health_periods,
    health_recent,
    health_transitions,
    servers,
    to_micros,
)

SERVERS_PER_BATCH: Final = 10
"""Servers to compact in one transaction, which has at most 3,600 of their minutes."""

HOURS_PER_BATCH: Final = 6
"""Hours to pack in one transaction, of each of these servers.

More of them, as after a day in which nothing ran, wait for the next round.
"""

HOUR_MICROSECONDS: Final = HOUR.seconds * 1_000_000

CHECK_CHARACTERS: Final = PACKED_CHECK_BYTES * 4 // 3
"""Characters of one packed check in base64. 12 bytes are 16 characters, without padding."""

_MAX_CHARACTERS: Final = MAX_RECENT_CHECKS * CHECK_CHARACTERS

_ADVISORY_LOCK: Final = 0x636F6465_74696479
"""The lock that every CodeWalk takes to compact; any number would do (`codetidy` in ASCII)."""

# As `Period.plus` does it.
_ADD_UP: Final = """
    ON CONFLICT (server_id, span_s, begins_at) DO UPDATE SET
        checks = health_periods.checks + excluded.checks,
        failures = health_periods.failures + excluded.failures,
        answers = health_periods.answers + excluded.answers,
        up_ms = health_periods.up_ms + excluded.up_ms,
        down_ms = health_periods.down_ms + excluded.down_ms,
        latency_min_us = CASE
            WHEN excluded.latency_min_us IS NULL
                OR health_periods.latency_min_us <= excluded.latency_min_us
            THEN health_periods.latency_min_us ELSE excluded.latency_min_us END,
        latency_sum_us = health_periods.latency_sum_us + excluded.latency_sum_us,
        latency_p95_sum_us = health_periods.latency_p95_sum_us + excluded.latency_p95_sum_us
"""


def hour_start(moment: datetime) -> int:
    """Return the beginning of this moment's hour, in microseconds since 1970."""
    return to_micros(moment) // HOUR_MICROSECONDS * HOUR_MICROSECONDS


def insert_periods(*, sqlite: bool) -> TextClause:
    """Return the bulk statement that adds to the counts that are there."""
    return insert_statement(health_periods, _ADD_UP, sqlite=sqlite)


def insert_transitions(*, sqlite: bool) -> TextClause:
    """Return the bulk statement that inserts transitions; one at a moment that is taken stays."""
    return insert_statement(health_transitions, "ON CONFLICT DO NOTHING", sqlite=sqlite)


def append_checks(*, sqlite: bool) -> TextClause:
    """Return the bulk statement that appends recent checks, and drops the oldest ones."""
    both = "health_recent.checks || excluded.checks"
    last = f"substr({both}, -{_MAX_CHARACTERS})" if sqlite else f"right({both}, {_MAX_CHARACTERS})"
    on_conflict = f"ON CONFLICT (server_id) DO UPDATE SET checks = {last}"
    return insert_statement(health_recent, on_conflict, sqlite=sqlite)


NEXT_SERVER_IDS: Final = (
    select(servers.c.id)
    .where(servers.c.id > bindparam("after"))
    .order_by(servers.c.id)
    .limit(SERVERS_PER_BATCH)
    .with_for_update(read=True, key_share=True)
)
"""The servers to compact next, locked before any of their rows, as everywhere."""

BATCH_SERVER_IDS: Final = select(servers.c.id).where(
    servers.c.id > bindparam("after"), servers.c.id <= bindparam("last")
)
"""The servers from `:after` to `:last`."""

DELETE_OLD: Final = (
    delete(health_periods).where(
        health_periods.c.server_id.in_(BATCH_SERVER_IDS),
        health_periods.c.span_s == HOUR.seconds,
        health_periods.c.begins_at < bindparam("before"),
    ),
    delete(health_minutes).where(
        health_minutes.c.server_id.in_(BATCH_SERVER_IDS),
        health_minutes.c.begins_at < bindparam("before"),
    ),
    delete(health_transitions).where(
        health_transitions.c.server_id.in_(BATCH_SERVER_IDS),
        health_transitions.c.changed_at < bindparam("before"),
    ),
)
"""Delete what is older than `:before`, of the servers from `:after` to `:last`."""

TRY_COMPACTION_LOCK: Final = select(func.pg_try_advisory_xact_lock(_ADVISORY_LOCK))
"""For PostgreSQL: whether no other process compacts now; holds until the transaction ends."""
