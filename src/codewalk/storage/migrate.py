"""Migrates a store's schema. Imports Alembic, so import this only where it is needed."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from alembic.config import Config
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import Script, ScriptDirectory
from filelock import FileLock, Timeout
from sqlalchemy import create_engine, event, text
from sqlalchemy.engine import URL, Connection
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import NullPool

from codewalk.errors import StorageError
from codewalk.settings import FILE_MODE
from codewalk.storage.location import Location, PostgresLocation, SqliteFile
from codewalk.storage.sqlite import (
    BUSY_SECONDS,
    create_private,
    delete_with_side_files,
    read_schema_version,
    require_new,
)

_LOCK_TIMEOUT: Final = 30.0

_ADVISORY_LOCK: Final = 0x636F6465_77616C6B
"""The lock that every CodeWalk takes to migrate; any number would do (`codewalk` in ASCII)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Migrations:
    """The migrations in this package, oldest first."""

    directory: ScriptDirectory
    scripts: tuple[Script, ...]

    def refuse_newer(self, location: Location, version: str | None) -> None:
        """Raise `StorageError` for a version that isn't among them."""
        if version is not None and version not in {script.revision for script in self.scripts}:
            raise location.newer_schema_error(version)

    def run(self, connection: Connection) -> None:
        """Run those that are missing, in the connection's transaction: all of them, or none.

        Not through Alembic's own command: that reads files, and PostgreSQL's driver runs on the
        event loop.
        """
        context = MigrationContext.configure(connection, opts={"transactional_ddl": True})
        current = context.get_current_revision()
        versions = [script.revision for script in self.scripts]
        start = versions.index(current) + 1 if current else 0
        with Operations.context(context):
            for script in self.scripts[start:]:
                script.module.upgrade()
                context.stamp(self.directory, script.revision)


def load_migrations() -> Migrations:
    """Read the migrations. Blocks."""
    config = Config()
    config.set_main_option("script_location", "codewalk.storage:migrations")
    config.set_main_option("path_separator", "os")
    directory = ScriptDirectory.from_config(config)
    newest_first = directory.walk_revisions()
    return Migrations(directory=directory, scripts=tuple(reversed(list(newest_first))))


def migrate_sqlite(location: SqliteFile, version: str | None) -> None:
    """Migrate the file, one process at a time; create it where there is none. Blocks.

    Args:
        location: The file.
        version: The version of its schema, as `check_file` returned it.

    Raises:
        StorageError: The file can't be migrated, or its schema is newer.
    """
    migrations = load_migrations()
    migrations.refuse_newer(location, version)
    lock = FileLock(f"{location.path}.lock", mode=FILE_MODE, timeout=_LOCK_TIMEOUT)
    try:
        with lock:
            if not location.path.exists():
                require_new(location)
                _create(location.path, migrations)
                return
            # Another process, or a newer CodeWalk, may have migrated it while this one waited.
            migrations.refuse_newer(location, read_schema_version(location))
            _run_on_sqlite(location.path, migrations)
    except Timeout as exc:
        raise StorageError(
            f"Another CodeWalk has been changing the store {location.path} "
            f"for {_LOCK_TIMEOUT:.0f} s.",
            value=str(location.path),
        ) from exc


async def migrate_postgres(
    location: PostgresLocation, engine: AsyncEngine, migrations: Migrations
) -> None:
    """Migrate the database, one process at a time.

    Raises:
        StorageError: Its schema is newer.
    """
    async with engine.begin() as connection:
        await connection.execute(
            text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK}
        )
        version = await connection.run_sync(
            lambda sync: MigrationContext.configure(sync).get_current_revision()
        )
        migrations.refuse_newer(location, version)
        await connection.run_sync(migrations.run)


def _create(path: Path, migrations: Migrations) -> None:
    """Create a store, whole or not at all: a file of 0 bytes is one that lost its content."""
    draft = path.with_name(f"{path.name}.new")
    delete_with_side_files(draft)  # of a first start that was killed
    create_private(draft)
    _run_on_sqlite(draft, migrations)
    draft.replace(path)


def _run_on_sqlite(path: Path, migrations: Migrations) -> None:
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        connect_args={"timeout": BUSY_SECONDS, "isolation_level": None},
        poolclass=NullPool,
        hide_parameters=True,
    )
    # Switching to WAL needs the file for itself, and isn't possible inside a transaction. Foreign
    # keys stay off: a migration may rebuild a table that others refer to.
    event.listen(engine, "connect", lambda raw, _: raw.execute("PRAGMA journal_mode = WAL").close())
    event.listen(engine, "begin", _begin_immediate)
    with engine.begin() as connection:
        migrations.run(connection)


def _begin_immediate(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")
