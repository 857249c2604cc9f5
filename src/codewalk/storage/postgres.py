"""An open PostgreSQL store."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

import asyncpg
from sqlalchemy import text
from sqlalchemy.engine import Connection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from codewalk.storage.location import PostgresLocation, translate_errors
from codewalk.storage.tables import SCHEMA_VERSION

T = TypeVar("T")

_CONNECT_TIMEOUT: Final = 10.0
_COMMAND_TIMEOUT: Final = 30.0


class PostgresDatabase:
    """Runs transactions on a PostgreSQL database, on the event loop."""

    is_sqlite: Final = False
    file_id: Final = None
    problem: Final = None

    def __init__(self, location: PostgresLocation, engine: AsyncEngine) -> None:
        self._location = location
        # All selects of one read see the same snapshot, as they do in SQLite.
        self._reader = engine.execution_options(
            isolation_level="REPEATABLE READ", postgresql_readonly=True
        )
        self._writer = engine

    @property
    def name(self) -> str:
        return self._location.name

    async def back_up(self) -> None:
        """Do nothing: PostgreSQL has its own backups."""

    async def read(self, work: Callable[[Connection], T]) -> T:
        with translate_errors(self._location):
            async with self._reader.connect() as connection:
                return await connection.run_sync(work)

    async def write(self, work: Callable[[Connection], T], *, durable: bool = True) -> T:
        with translate_errors(self._location):
            async with self._writer.begin() as connection:
                if not durable:
                    await connection.execute(text("SET LOCAL synchronous_commit TO off"))
                return await connection.run_sync(work)


@asynccontextmanager
async def open_postgres(location: PostgresLocation) -> AsyncIterator[PostgresDatabase]:
    """Open the database, and migrate it where its schema is older.

    Raises:
        StorageError: It can't be reached or migrated, or its schema is newer.
    """
    engine = _engine(location)
    try:
        with translate_errors(location):
            await _migrate(location, engine)
        yield PostgresDatabase(location, engine)
    finally:
        await engine.dispose()


async def read_postgres_version(location: PostgresLocation) -> str | None:
    """Return the version of the schema, None for an empty database. Changes nothing.

    Raises:
        StorageError: The database can't be read.
    """
    engine = _engine(location)
    try:
        with translate_errors(location):
            async with engine.connect() as connection:
                return await _read_version(connection)
    finally:
        await engine.dispose()


async def _read_version(connection: AsyncConnection) -> str | None:
    if not await connection.scalar(text("SELECT to_regclass('alembic_version')::text")):
        return None
    version = await connection.scalar(text("SELECT version_num FROM alembic_version"))
    return None if version is None else str(version)


def _engine(location: PostgresLocation) -> AsyncEngine:
    async def connect(*_arguments: object, **_options: object) -> Any:
        return await asyncpg.connect(
            location.dsn, timeout=_CONNECT_TIMEOUT, command_timeout=_COMMAND_TIMEOUT
        )

    return create_async_engine(
        "postgresql+asyncpg://",
        async_creator=connect,
        # One round trip more for each use, instead of a failed call after a restart of PostgreSQL.
        pool_pre_ping=True,
        hide_parameters=True,
    )


async def _migrate(location: PostgresLocation, engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        version = await _read_version(connection)
    if version != SCHEMA_VERSION:
        # Imported here: only a migration needs Alembic.
        from codewalk.storage.migrate import load_migrations, migrate_postgres

        await migrate_postgres(location, engine, await asyncio.to_thread(load_migrations))
