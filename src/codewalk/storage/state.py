"""The values that are stored for each server under its keys.

Every statement names the server too, so that a wrong key can't reach another server's value.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Final

from sqlalchemy import (
    BigInteger,
    LargeBinary,
    String,
    TextClause,
    bindparam,
    delete,
    func,
    select,
    text,
)
from sqlalchemy.engine import Connection

from codewalk.storage.database import Database
from codewalk.storage.tables import from_micros, server_state, to_micros

_C: Final = server_state.c

# The select is empty where the server is gone. The lock keeps it from being removed between the
# select and the insert; SQLite's write transaction does that anyway.
_PUT: Final = """
    INSERT INTO server_state (key, server_id, value, updated_at)
    SELECT :key, servers.id, :value, :updated_at FROM servers
    WHERE servers.id = :server_id AND (:url IS NULL OR servers.url = :url) {lock}
    ON CONFLICT (key) DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at
    WHERE server_state.server_id = excluded.server_id
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class StateEntry:
    """One stored value."""

    key: str
    server_id: str
    value: bytes
    updated_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class StateSize:
    """A stored value's key and size, without the value itself."""

    key: str
    server_id: str
    bytes: int
    updated_at: datetime


class StateStore:
    """Stores bytes by key, for servers that exist. Its methods raise `StorageError`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        lock = "" if database.is_sqlite else "FOR KEY SHARE"
        self._put = _put_statement(lock=lock)

    async def get(self, server_id: str, key: str) -> StateEntry | None:
        """Return the value under `key`; None where there is none, or it is another server's."""
        return (await self.get_all(server_id, [key])).get(key)

    async def get_all(self, server_id: str, keys: Collection[str]) -> dict[str, StateEntry]:
        """Return the values under those of the keys that are this server's, read at one moment."""
        query = select(_C.key, _C.value, _C.updated_at).where(
            _C.key.in_(keys), _C.server_id == server_id
        )
        rows = await self._database.read(lambda c: c.execute(query).all())
        return {
            row.key: StateEntry(
                key=row.key,
                server_id=server_id,
                value=bytes(row.value),
                updated_at=from_micros(row.updated_at),
            )
            for row in rows
        }

    async def put(
        self,
        server_id: str,
        values: Mapping[str, bytes],
        now: datetime,
        *,
        durable: bool = True,
        url: str | None = None,
    ) -> bool:
        """Store values by key, all or none.

        Args:
            server_id: The server that they belong to.
            values: The values by key.
            now: Their time.
            durable: As in `Database.write`.
            url: The URL that the server must still have; None for any.

        Returns:
            False where nothing was stored: the server is gone or has another URL, or a key is
            another server's.
        """
        put = partial(self._put_all, _rows(server_id, values, now, url))
        return await self._database.write(put, durable=durable)

    async def replace(self, server_id: str, values: Mapping[str, bytes], now: datetime) -> bool:
        """Store values in place of all that is stored for a server; return as `put` does."""
        rows = _rows(server_id, values, now, None)

        def replace(connection: Connection) -> bool:
            connection.execute(delete(server_state).where(_C.server_id == server_id))
            return self._put_all(rows, connection)

        return await self._database.write(replace)

    def _put_all(self, rows: Sequence[Mapping[str, object]], connection: Connection) -> bool:
        for row in rows:
            if not connection.execute(self._put, row).rowcount:
                connection.rollback()
                return False
        return True

    async def delete(self, server_id: str, keys: Collection[str]) -> None:
        """Delete the values under those of the keys that are this server's."""
        statement = delete(server_state).where(_C.key.in_(keys), _C.server_id == server_id)
        await self._database.write(lambda c: c.execute(statement).rowcount)

    async def list(self, server_id: str | None) -> Sequence[StateSize]:
        """Return the keys of one server, or with None of all, in order."""
        query = select(_C.key, _C.server_id, func.length(_C.value).label("size"), _C.updated_at)
        if server_id is not None:
            query = query.where(_C.server_id == server_id)
        rows = await self._database.read(lambda c: c.execute(query).all())
        sizes = [
            StateSize(
                key=row.key,
                server_id=row.server_id,
                bytes=row.size,
                updated_at=from_micros(row.updated_at),
            )
            for row in rows
        ]
        # Sorted here: PostgreSQL orders by the collation of its locale.
        return sorted(sizes, key=lambda size: size.key)

    async def clear(self, server_id: str) -> int:
        """Delete all values of this server, and return their number."""
        statement = delete(server_state).where(_C.server_id == server_id)
        return await self._database.write(lambda c: c.execute(statement).rowcount)


def _rows(
    server_id: str, values: Mapping[str, bytes], now: datetime, url: str | None
) -> list[dict[str, object]]:
    common = {"server_id": server_id, "updated_at": to_micros(now), "url": url}
    return [{**common, "key": key, "value": value} for key, value in values.items()]


def _put_statement(lock: str) -> TextClause:
    # With types: PostgreSQL can't infer those of a select's parameters.
    return text(_PUT.format(lock=lock)).bindparams(
        bindparam("key", type_=String),
        bindparam("server_id", type_=String),
        bindparam("value", type_=LargeBinary),
        bindparam("updated_at", type_=BigInteger),
        bindparam("url", type_=String),
    )
