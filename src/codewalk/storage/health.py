"""The servers' health in the store: what was seen last, for the next start and other processes."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from sqlalchemy import TextClause, select, text

from codewalk.health.status import HealthStatus
from codewalk.reason import Reason, State
from codewalk.storage.database import Database
from codewalk.storage.tables import from_micros, server_health, to_micros

# All rows travel as one JSON text and are written by one statement. Row by row, the database's
# thread would ask for the interpreter's lock 2,000 times, beside an event loop that is busy.
# The join leaves out servers that are gone; PostgreSQL's lock keeps the others until the commit.
# One order of rows for every process: two that save at once can't block each other.
_UPSERT: Final = """
    INSERT INTO server_health
        (server_id, state, reason, detail, version, latency_ms, checked_at, since, failures,
        successes)
    SELECT seen.server_id, seen.state, seen.reason, seen.detail, seen.version,
        seen.latency_ms, seen.checked_at, seen.since, seen.failures,
        seen.successes
    FROM {source} AS seen JOIN servers ON servers.id = seen.server_id
    WHERE true
    ORDER BY seen.server_id
    {lock}
    ON CONFLICT (server_id) DO UPDATE SET
        state = excluded.state, reason = excluded.reason, detail = excluded.detail,
        version = excluded.version, latency_ms = excluded.latency_ms,
        checked_at = excluded.checked_at, since = excluded.since, failures = excluded.failures,
        successes = excluded.successes
"""

_SQLITE: Final = text(
    _UPSERT.format(
        lock="",
        source="""(
            SELECT json_extract(value, '$[0]') AS server_id, json_extract(value, '$[1]') AS state,
                json_extract(value, '$[2]') AS reason, json_extract(value, '$[3]') AS detail,
                json_extract(value, '$[4]') AS version, json_extract(value, '$[5]') AS latency_ms,
                json_extract(value, '$[6]') AS checked_at, json_extract(value, '$[7]') AS since,
                json_extract(value, '$[8]') AS failures, json_extract(value, '$[9]') AS successes
            FROM json_each(:rows)
        )""",
    )
)

_POSTGRES: Final = text(
    _UPSERT.format(
        lock="FOR KEY SHARE OF servers",
        source="""(
            SELECT value ->> 0 AS server_id, value ->> 1 AS state, value ->> 2 AS reason,
                value ->> 3 AS detail, value ->> 4 AS version,
                CAST(value ->> 5 AS double precision) AS latency_ms,
                CAST(value ->> 6 AS bigint) AS checked_at, CAST(value ->> 7 AS bigint) AS since,
                CAST(value ->> 8 AS integer) AS failures, CAST(value ->> 9 AS integer) AS successes
            FROM json_array_elements(CAST(:rows AS json))
        )""",
    )
)


class HealthStore:
    """Keeps each server's last status."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._upsert: TextClause = _SQLITE if database.is_sqlite else _POSTGRES

    async def load(self) -> dict[str, HealthStatus]:
        """The last status of each server that has one, by server id. Raises `StorageError`."""
        rows = await self._database.read(lambda c: c.execute(select(server_health)).all())
        return {row.server_id: status for row in rows if (status := _status(row))}

    async def save(self, statuses: Mapping[str, HealthStatus]) -> None:
        """Keeps these, by server id; passes over those that are gone. Raises `StorageError`."""
        if not statuses:
            return
        rows = json.dumps([_row(server_id, status) for server_id, status in statuses.items()])
        await self._database.write(lambda c: c.execute(self._upsert, {"rows": rows}), durable=False)


def _row(server_id: str, status: HealthStatus) -> list[str | float | int | None]:
    return [
        server_id,
        status.state.value,
        status.reason.value,
        storable_text(status.detail),
        storable_text(status.version),
        status.latency_ms,
        _micros(status.checked_at),
        _micros(status.since),
        status.failures,
        status.successes,
    ]


def _status(row: Any) -> HealthStatus | None:
    try:
        state, reason = State(row.state), Reason(row.reason)
    except ValueError:
        # Another release's word. Nothing is lost: the next check tells.
        return None
    return HealthStatus(
        state=state,
        reason=reason,
        detail=row.detail,
        version=row.version,
        latency_ms=row.latency_ms,
        checked_at=_moment(row.checked_at),
        since=_moment(row.since),
        failures=row.failures,
        successes=row.successes,
    )


def storable_text(words: str | None) -> str | None:
    """Without what a hostile server may send and a database can't keep: NUL and half characters."""
    if words is None or (words.isascii() and "\0" not in words):
        return words
    return words.replace("\0", "�").encode("utf-8", "replace").decode()


def _micros(moment: datetime | None) -> int | None:
    return None if moment is None else to_micros(moment)


def _moment(micros: int | None) -> datetime | None:
    return None if micros is None else from_micros(micros)
