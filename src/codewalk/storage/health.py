"""The servers' last statuses in the store, for the next start and for other processes."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import select

from codewalk.health.status import HealthStatus
from codewalk.reason import Reason, State
from codewalk.storage.bulk_insert import BulkRow, execute_bulk, storable_text, upsert_statement
from codewalk.storage.database import Database
from codewalk.storage.row_reader import RowReader
from codewalk.storage.tables import from_micros, server_health, to_micros


class HealthStore:
    """Stores each server's last status. Its methods raise `StorageError`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._upsert = upsert_statement(server_health, sqlite=database.is_sqlite)
        self._reader = RowReader()

    async def load(self) -> dict[str, HealthStatus]:
        """Return the last status of each server that has one, by server id."""
        rows = await self._database.read(lambda c: c.execute(select(server_health)).all())
        return dict(self._reader.read(server_health, rows, _status))

    async def save(self, statuses: Mapping[str, HealthStatus]) -> None:
        """Store these statuses, by server id; those of servers that are gone are left out."""
        if not statuses:
            return
        rows = [_row(server_id, status) for server_id, status in statuses.items()]
        await self._database.write(lambda c: execute_bulk(c, self._upsert, rows), durable=False)


def _row(server_id: str, status: HealthStatus) -> BulkRow:
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
        storable_text(status.warning),
    ]


def _status(row: Any) -> tuple[str, HealthStatus] | None:
    try:
        state, reason = State(row.state), Reason(row.reason)
    except ValueError:
        # A value of another release. Nothing is lost: the next check brings a new one.
        return None
    return row.server_id, HealthStatus(
        state=state,
        reason=reason,
        detail=row.detail,
        version=row.version,
        latency_ms=row.latency_ms,
        checked_at=_moment(row.checked_at),
        since=_moment(row.since),
        failures=int(row.failures),
        successes=int(row.successes),
        warning=row.warning,
    )


def _micros(moment: datetime | None) -> int | None:
    return None if moment is None else to_micros(moment)


def _moment(micros: int | None) -> datetime | None:
    return None if micros is None else from_micros(micros)
