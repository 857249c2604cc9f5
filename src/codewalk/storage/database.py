"""The open store: transactions on SQLite and PostgreSQL alike.

The work of a transaction is a plain function of a connection. SQLite, which blocks, runs it in a
thread; PostgreSQL's driver is asynchronous and runs it on the event loop. So each statement is
written once, and a transaction costs one change of threads, not one for each statement.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Protocol, TypeVar

from sqlalchemy.engine import Connection

from codewalk.settings import Settings
from codewalk.storage.backups import describe_restore, newest_backup
from codewalk.storage.file_header import FileId
from codewalk.storage.location import Location, SqliteFile, locate, translate_errors
from codewalk.storage.loss_report import StoreProblem
from codewalk.storage.sqlite import check_file
from codewalk.storage.sqlite_database import open_sqlite
from codewalk.storage.tables import SCHEMA_VERSION

T = TypeVar("T")

log = logging.getLogger(__name__)


class Database(Protocol):
    """The store of one app. Open it with `open_database`."""

    @property
    def name(self) -> str:
        """The store as a message names it: its file, or its host and database."""

    @property
    def is_sqlite(self) -> bool:
        """Whether it is SQLite rather than PostgreSQL, for statements that differ."""

    @property
    def file_id(self) -> FileId | None:
        """The file that was opened; None for PostgreSQL."""

    @property
    def problem(self) -> StoreProblem | None:
        """Why nothing can be saved; None if all is well.

        It is known once a transaction has noticed it.
        """

    async def back_up(self) -> None:
        """Write a backup of a SQLite store; a failure is logged. Does nothing on PostgreSQL."""

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in a transaction that only reads, and return its result.

        All of its statements see the same snapshot of the store.

        Raises:
            StorageError: The store can't be read. What `work` raises passes through.
        """

    async def write(self, work: Callable[[Connection], T], *, durable: bool = True) -> T:
        """Run `work` in a transaction, and return its result once that is committed.

        On SQLite it has the write lock from its start; on PostgreSQL it is `READ COMMITTED`.

        Args:
            work: Gets the connection; may run in another thread. Where it raises, nothing is
                written.
            durable: Wait until the commit is on disk. Without, a loss of power may undo it as a
                whole, but no crash of this program: for what is fetched again anyway.

        Raises:
            StorageError: The store can't be written, or was deleted, replaced or overwritten since
                it was opened. What `work` raises passes through.
        """


@asynccontextmanager
async def open_database(settings: Settings) -> AsyncIterator[Database]:
    """Open the store that `settings` names; create and migrate it where that is needed.

    Several processes may do so at once.

    Raises:
        StorageError: It can't be opened. A damaged file or a newer schema is left untouched.
    """
    location = await asyncio.to_thread(_prepare, settings)
    if isinstance(location, SqliteFile):
        async with open_sqlite(location) as sqlite:
            yield sqlite
        return
    # Imported here: SQLAlchemy's asyncio extension imports its ORM, a fifth of a command's time.
    from codewalk.storage.postgres import open_postgres

    async with open_postgres(location) as postgres:
        yield postgres


def _prepare(settings: Settings) -> Location:
    """Check a SQLite file; create or migrate it where that is needed. Blocks."""
    settings.make_data_dir()
    location = locate(settings)
    if isinstance(location, SqliteFile) and (version := check_file(location)) != SCHEMA_VERSION:
        # Imported here: Alembic takes more time than the rest of a command.
        from codewalk.storage.migrate import migrate_sqlite

        with translate_errors(location):
            migrate_sqlite(location, version)
        backup = newest_backup(location.backup_folder, location.path)
        if version is None and backup:
            hint = describe_restore(backup, location.path)
            log.warning("There was no store; an empty one was created. %s", hint)
    return location
