"""The open store: work to be done in one transaction, on SQLite and PostgreSQL alike.

A piece of work is a plain function of a connection. SQLite, which blocks, runs it in a thread of
its own; PostgreSQL's driver is asynchronous and runs it on the event loop. So each statement is
written once, and a piece of work costs one change of threads, not one a statement.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Protocol, TypeVar

from sqlalchemy.engine import Connection

from codewalk.settings import Settings
from codewalk.storage.location import Location, SqliteFile, locate, translate_errors
from codewalk.storage.sqlite import ensure_file
from codewalk.storage.sqlite_database import open_sqlite
from codewalk.storage.tables import SCHEMA_VERSION

T = TypeVar("T")


class Database(Protocol):
    """The store of one app. Open it with `open_database`."""

    @property
    def name(self) -> str:
        """What to call the store to a person: its file, or its host and database."""

    @property
    def is_sqlite(self) -> bool:
        """Which dialect of SQL it speaks, where that matters."""

    async def read(self, work: Callable[[Connection], T]) -> T:
        """What `work` returns. Its statements see one moment of the store.

        Raises `StorageError`, and what `work` raises.
        """

    async def write(self, work: Callable[[Connection], T], *, durable: bool = True) -> T:
        """What `work` returns, once what it did is on disk; when it raises, nothing was done.

        Without `durable` a loss of power may undo it, whole, but no crash of this program: for
        what is only fetched again, so that nothing else waits for the disk.

        On SQLite it has the write lock from its start; on PostgreSQL it is `READ COMMITTED`.
        `work` may run in another thread. Raises `StorageError`, and what `work` raises.
        """


@asynccontextmanager
async def open_database(settings: Settings) -> AsyncIterator[Database]:
    """Opens the store that `settings` names, made and migrated where that is due.

    Several processes may do so at once. Raises `StorageError`: a damaged file or a newer schema is
    left untouched.
    """
    location = await asyncio.to_thread(_prepare, settings)
    if isinstance(location, SqliteFile):
        async with open_sqlite(location) as sqlite:
            yield sqlite
        return
    # Imported here: SQLAlchemy's asynchronous half brings its ORM along, a fifth of the time that
    # a command takes.
    from codewalk.storage.postgres import open_postgres

    async with open_postgres(location) as postgres:
        yield postgres


def _prepare(settings: Settings) -> Location:
    """Everything about files that comes first, in a thread."""
    settings.make_data_dir()
    location = locate(settings)
    if isinstance(location, SqliteFile) and (version := ensure_file(location)) != SCHEMA_VERSION:
        # Imported here: Alembic costs more time than everything else that a command does.
        from codewalk.storage.migrate import migrate_sqlite

        with translate_errors(location):
            migrate_sqlite(location, version)
    return location
