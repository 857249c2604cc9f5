"""Reads a store without changing it: nothing is created, migrated or made private."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from codewalk.settings import Settings
from codewalk.storage.database import Database
from codewalk.storage.location import SqliteFile, locate
from codewalk.storage.sqlite import read_schema_version
from codewalk.storage.sqlite_database import open_sqlite
from codewalk.storage.tables import SCHEMA_VERSION


async def inspect_schema_version(settings: Settings) -> str | None:
    """Return the version of the store's schema; None for a missing or an empty store.

    Raises:
        StorageError: The store can't be read, is damaged, or was made by a newer CodeWalk.
    """
    location = await asyncio.to_thread(locate, settings)
    if isinstance(location, SqliteFile):
        if not await asyncio.to_thread(location.path.exists):
            return None
        version = await asyncio.to_thread(read_schema_version, location)
    else:
        from codewalk.storage.postgres import read_postgres_version

        version = await read_postgres_version(location)
    if version not in (None, SCHEMA_VERSION):
        # Imported here: only another version needs Alembic, which takes time to load.
        from codewalk.storage.migrate import load_migrations

        migrations = await asyncio.to_thread(load_migrations)
        migrations.refuse_newer(location, version)
    return version


@asynccontextmanager
async def open_unchanged(settings: Settings) -> AsyncIterator[Database]:
    """Open a store whose schema version is `SCHEMA_VERSION`, to read from it.

    Raises:
        StorageError: The store can't be opened.
    """
    location = await asyncio.to_thread(locate, settings)
    if isinstance(location, SqliteFile):
        async with open_sqlite(location) as sqlite:
            yield sqlite
        return
    from codewalk.storage.postgres import open_postgres

    # It migrates a store of another version; this one has the current version.
    async with open_postgres(location) as postgres:
        yield postgres
