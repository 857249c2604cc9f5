"""Brings a store's schema up to date. Imports Alembic, so only those that need it import this."""

import asyncio
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from filelock import FileLock, Timeout
from sqlalchemy import create_engine, event, text
from sqlalchemy.engine import URL, Connection
from sqlalchemy.pool import NullPool

from codewalk.errors import StorageError
from codewalk.settings import FILE_MODE
from codewalk.storage.database import postgres_engine
from codewalk.storage.place import Place, PostgresDatabase, SqliteFile
from codewalk.storage.sqlite import BUSY_SECONDS, peek

_LOCK_SECONDS: Final = 30.0

_ADVISORY_LOCK: Final = 0x636F6465_77616C6B
"""Any number will do, as long as every CodeWalk takes the same one: `codewalk` in ASCII."""


def migrate_sqlite(place: SqliteFile, version: str | None) -> None:
    """Migrates the file, one process at a time. Blocks.

    `version` is what the file was seen to have. Raises `StorageError`.
    """
    config = _config()
    _refuse_newer(place, config, version)
    lock = FileLock(f"{place.path}.lock", mode=FILE_MODE, timeout=_LOCK_SECONDS)
    try:
        with lock:
            # Another process may have done it, or something newer, while this one waited.
            _refuse_newer(place, config, peek(place))
            _upgrade_sqlite(place, config)
    except Timeout as exc:
        raise StorageError(
            f"Another CodeWalk has been changing the store {place.path} for {_LOCK_SECONDS:.0f} s.",
            value=str(place.path),
        ) from exc


def migrate_postgres(place: PostgresDatabase) -> None:
    """Migrates the database, one process at a time. Blocks. Raises `StorageError`."""
    # A loop of this thread's own: the driver is asynchronous only, Alembic reads files.
    asyncio.run(_migrate_postgres(place))


def script_directory() -> ScriptDirectory:
    """The migrations that this CodeWalk knows."""
    return ScriptDirectory.from_config(_config())


def _upgrade_sqlite(place: SqliteFile, config: Config) -> None:
    engine = create_engine(
        URL.create("sqlite", database=str(place.path)),
        connect_args={"timeout": BUSY_SECONDS, "isolation_level": None},
        poolclass=NullPool,
        hide_parameters=True,
    )
    # Switching to WAL needs the file for itself, and can't be done inside a transaction. Foreign
    # keys stay off: a migration may rebuild a table that others point to.
    event.listen(engine, "connect", lambda raw, _: raw.execute("PRAGMA journal_mode = WAL").close())
    event.listen(engine, "begin", _begin_immediate)
    with engine.begin() as connection:
        _upgrade(connection, config)


async def _migrate_postgres(place: PostgresDatabase) -> None:
    config = _config()
    engine = postgres_engine(place)
    try:
        async with engine.begin() as connection:
            await connection.execute(
                text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK}
            )
            found: str | None = None
            if await connection.scalar(text("SELECT to_regclass('alembic_version')::text")):
                found = await connection.scalar(text("SELECT version_num FROM alembic_version"))
            _refuse_newer(place, config, found)
            await connection.run_sync(_upgrade, config)
    finally:
        await engine.dispose()


def _upgrade(connection: Connection, config: Config) -> None:
    # In one transaction with everything that the migrations do: all of it lands, or nothing.
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _refuse_newer(place: Place, config: Config, version: str | None) -> None:
    if version is None:
        return
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if version not in known:
        raise place.newer(version)


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "codewalk.storage:migrations")
    config.set_main_option("path_separator", "os")
    return config


def _begin_immediate(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")
