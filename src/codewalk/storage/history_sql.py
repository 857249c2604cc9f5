"""The statements of `codewalk.storage.history`, for SQLite and PostgreSQL.

Rows are added by the thousand, so they travel as one JSON text: see `codewalk.storage.health`.
"""

from datetime import datetime
from typing import Final

from sqlalchemy import (
    Table,
    TextClause,
    bindparam,
    delete,
    func,
    select,
    text,
)

from codewalk.history.history import MAX_RECENT_CHECKS
from codewalk.history.period import HOUR
from codewalk.history.recent_checks import PACKED_CHECK_BYTES
from codewalk.storage.tables import (
    health_minutes,
    health_periods,
    health_recent,
    health_transitions,
    servers,
    to_micros,
)

SERVERS_PER_BATCH: Final = 10
"""Servers that are tidied in one transaction: 3,600 of their minutes at the most."""

HOUR_MICROSECONDS: Final = HOUR.seconds * 1_000_000

HOURS_PER_BATCH: Final = 6
"""Hours whose minutes are packed in one transaction, of each of these servers: more of them, as
after a day in which nothing ran, wait for the next round."""


def hour_start(moment: datetime) -> int:
    """When the hour begins in which this lies, in microseconds."""
    return to_micros(moment) // HOUR_MICROSECONDS * HOUR_MICROSECONDS


_CHARACTERS: Final = MAX_RECENT_CHECKS * PACKED_CHECK_BYTES * 4 // 3

_ADVISORY_LOCK: Final = 0x636F6465_74696479
"""Any number that every CodeWalk takes for tidying: `codetidy` in ASCII."""

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


def insert_periods(*, sqlite: bool) -> TextClause:
    """Adds `:rows` to the counts that are there."""
    return _insert(health_periods, _ADD_UP, sqlite=sqlite)


def insert_transitions(*, sqlite: bool) -> TextClause:
    """Keeps `:rows`; a moment that is taken stays as it is."""
    return _insert(health_transitions, "ON CONFLICT DO NOTHING", sqlite=sqlite)


def append_checks(*, sqlite: bool) -> TextClause:
    """Appends `:rows` to the last checks, and drops the first of them."""
    both = "health_recent.checks || excluded.checks"
    last = f"substr({both}, -{_CHARACTERS})" if sqlite else f"right({both}, {_CHARACTERS})"
    conflict = f"ON CONFLICT (server_id) DO UPDATE SET checks = {last}"
    return _insert(health_recent, conflict, sqlite=sqlite)


def _insert(table: Table, conflict: str, *, sqlite: bool) -> TextClause:
    """`:rows` is a JSON array of arrays in the order of the table's columns."""
    columns = list(enumerate(table.columns))
    if sqlite:
        values = [f"json_extract(value, '$[{n}]') AS {c.name}" for n, c in columns]
        source, lock = "json_each(:rows)", ""
    else:
        values = [f"CAST(value ->> {n} AS {c.type}) AS {c.name}" for n, c in columns]
        source, lock = "json_array_elements(CAST(:rows AS json))", "FOR KEY SHARE OF servers"
    # Servers that are gone are left out. One order of rows for every process: two that save at
    # once can't block each other.
    return text(
        f"""
        INSERT INTO {table.name} ({", ".join(c.name for _, c in columns)})
        SELECT {", ".join(f"seen.{c.name}" for _, c in columns)}
        FROM (SELECT {", ".join(values)} FROM {source}) AS seen
            JOIN servers ON servers.id = seen.server_id
        WHERE true
        ORDER BY {", ".join(f"seen.{c.name}" for c in table.primary_key)}
        {lock}
        {conflict}
        """  # noqa: S608 - made of this module's and the tables' names alone
    )


# The servers to tidy next, locked before anything of theirs, as everywhere.
NEXT: Final = (
    select(servers.c.id)
    .where(servers.c.id > bindparam("after"))
    .order_by(servers.c.id)
    .limit(SERVERS_PER_BATCH)
    .with_for_update(read=True, key_share=True)
)

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
"""Drop what is from before `:before`, of the servers from `:after` to `:last`."""

TRY_COMPACTION_LOCK: Final = select(func.pg_try_advisory_xact_lock(_ADVISORY_LOCK))
"""For PostgreSQL: whether no other process is tidying now."""
