"""An open SQLite store."""

import asyncio
import logging
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, closing, contextmanager, suppress
from typing import Any, Final, TypeVar

from sqlalchemy import create_engine, event
from sqlalchemy.engine import URL, Connection, Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import QueuePool

from codewalk.errors import StorageError
from codewalk.storage.file_header import FileId
from codewalk.storage.location import SqliteFile, translate_errors
from codewalk.storage.loss_report import LossReport, StoreProblem
from codewalk.storage.sqlite import BUSY_SECONDS, CONNECTION_SETUP
from codewalk.storage.store_file import Loss, StoreFile

T = TypeVar("T")

THREADS: Final = 4
"""Concurrent transactions, one of them a write; each has a connection of its own."""

_SYNC: Final = "codewalk_sync"
"""The execution option for `PRAGMA synchronous`: whether a commit waits for the disk."""

_BEGIN: Final = "codewalk_begin"
"""The execution option for the statement that begins a transaction."""

log = logging.getLogger(__name__)


class SqliteDatabase:
    """Runs transactions on a SQLite file in its own threads.

    What is written is acknowledged only while the store's name still leads to the open file: after
    it was deleted or replaced, no later start would find it.
    """

    is_sqlite: Final = True

    def __init__(self, location: SqliteFile, engine: Engine, file: StoreFile) -> None:
        self._location = location
        self._file = file
        self._report = LossReport(location, start_rescue=self._start_rescue)
        self._engine = engine
        self._writer = engine.execution_options(**{_BEGIN: "BEGIN IMMEDIATE"})
        self._fast_writer = self._writer.execution_options(**{_SYNC: "NORMAL"})
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="codewalk store")
        self._closing = threading.Event()
        # SQLite has one writer. This lock is fair and quick; SQLite's own waiting is a loop of
        # sleeps, which is left to other processes.
        self._write_lock = asyncio.Lock()

    @property
    def name(self) -> str:
        return str(self._location.path)

    @property
    def file_id(self) -> FileId | None:
        return self._file.file_id

    @property
    def problem(self) -> StoreProblem | None:
        return self._report.problem

    async def read(self, work: Callable[[Connection], T]) -> T:
        return await self._run(self._read, work)

    async def write(self, work: Callable[[Connection], T], *, durable: bool = True) -> T:
        async with self._write_lock:
            return await self._run(self._write if durable else self._write_fast, work)

    async def back_up(self) -> None:
        try:
            await self._renew_stamp()
        except StorageError as exc:
            if self.problem is None:
                log.warning("The store isn't backed up: %s", exc.message)
            return
        await asyncio.get_running_loop().run_in_executor(self._threads, self._back_up)

    def close(self) -> None:
        """Wait for the transactions under way, then close the file. Blocks."""
        self._closing.set()
        self._threads.shutdown()
        with suppress(StorageError):
            self._read(lambda _: None)  # the last look whether another program overwrote the file
        with self._file.closing():
            self._engine.dispose()

    async def _run(
        self, transact: Callable[[Callable[[Connection], T]], T], work: Callable[[Connection], T]
    ) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, transact, work)

    def _read(self, work: Callable[[Connection], T]) -> T:
        with self._translated(), self._engine.connect() as connection:
            self._file.check_content(connection)
            self._require_readable()
            return work(connection)

    def _write(self, work: Callable[[Connection], T]) -> T:
        return self._transact(self._writer, work)

    def _write_fast(self, work: Callable[[Connection], T]) -> T:
        return self._transact(self._fast_writer, work)

    def _transact(self, engine: Engine, work: Callable[[Connection], T]) -> T:
        with self._translated():
            self._require_writable()
            with engine.begin() as connection:
                stamp = self._file.check_content(connection, write=True)
                self._require_writable()
                result = work(connection)
                self._require_writable()
            self._file.remember(stamp)
            # Again, now that it is committed: nothing is acknowledged that isn't there any more.
            self._require_writable()
            return result

    def _require_writable(self) -> None:
        if self._find_loss():
            raise self._report.error

    def _require_readable(self) -> None:
        loss = self._find_loss()
        if loss and not loss.is_readable:
            raise self._report.error

    def _find_loss(self) -> Loss | None:
        loss = self._file.find_loss()
        self._report.update(loss)
        if loss is Loss.REPLACED and self._report.is_rescued:
            # SQLite would apply the -wal to the file that is there now.
            self._file.delete_side_files()
        return loss

    @contextmanager
    def _translated(self) -> Iterator[None]:
        with translate_errors(self._location):
            try:
                yield
            except DBAPIError as exc:
                self._file.explain(exc)
                self._require_readable()
                raise

    async def _renew_stamp(self) -> None:
        """Store a new stamp, and bring it into the file; see `codewalk.storage.file_stamp`.

        So the file differs from each copy of it that was made before this start.
        """
        await self.write(lambda _: None, durable=False)
        async with self._write_lock:
            await asyncio.get_running_loop().run_in_executor(self._threads, self._checkpoint)
        await self.write(lambda _: None, durable=False)

    def _checkpoint(self) -> None:
        with self._translated():
            self._require_writable()
            with closing(self._engine.raw_connection()) as connection:
                connection.cursor().execute("PRAGMA wal_checkpoint(PASSIVE)").close()

    def _back_up(self) -> None:
        # Imported here: no command needs it.
        from codewalk.storage.backup_writer import Stopped, write_backup

        try:
            with self._snapshot() as source:
                write_backup(self._location, source, is_stopping=self._closing.is_set)
        except Stopped:
            pass
        except (OSError, sqlite3.Error) as exc:
            log.warning("The store can't be backed up to %s: %s", self._location.backup_folder, exc)

    def _start_rescue(self) -> None:
        with suppress(RuntimeError):  # it is being closed
            _ = self._threads.submit(self._rescue)

    def _rescue(self) -> None:
        """Copy everything from the open file, whose name is gone."""
        from codewalk.storage.backup_writer import write_rescued_copy

        path = None
        try:
            with self._snapshot() as source:
                path = write_rescued_copy(self._location, source)
        except (OSError, sqlite3.Error) as exc:
            log.warning("The data of the lost store can't be copied: %s", exc)
        finally:
            self._report.set_rescued(path)
        self._find_loss()

    @contextmanager
    def _snapshot(self) -> Iterator[sqlite3.Connection]:
        """Return a connection of the driver, in a transaction that has read."""
        with closing(self._engine.raw_connection()) as pooled:
            connection: Any = pooled.driver_connection
            connection.execute("BEGIN")
            try:
                connection.execute("SELECT 1 FROM sqlite_master").fetchone()
                yield connection
            finally:
                connection.execute("ROLLBACK")


@asynccontextmanager
async def open_sqlite(location: SqliteFile) -> AsyncIterator[SqliteDatabase]:
    """Open a file that `codewalk.storage.sqlite.check_file` has checked.

    The end of the block waits for the transactions under way, those of cancelled callers too.
    """
    database = await asyncio.to_thread(_open, location)
    try:
        yield database
    finally:
        await asyncio.to_thread(database.close)


def _open(location: SqliteFile) -> SqliteDatabase:
    engine = _engine(location)
    try:
        with translate_errors(location), ExitStack() as stack:
            # All at once: later, the file's name may lead elsewhere.
            connections = [stack.enter_context(engine.connect()) for _ in range(THREADS)]
            for connection in connections:
                connection.exec_driver_sql("SELECT 1 FROM sqlite_master").close()
            return SqliteDatabase(location, engine, StoreFile(location, connections[0]))
    except BaseException:
        engine.dispose()
        raise


def _engine(location: SqliteFile) -> Engine:
    engine = create_engine(
        URL.create("sqlite", database=str(location.path)),
        connect_args={
            "timeout": BUSY_SECONDS,
            # The driver would begin a transaction only before its first write, and deferred; see
            # `_begin`.
            "isolation_level": None,
            # A connection serves one transaction at a time, but not always in the same thread.
            "check_same_thread": False,
        },
        poolclass=QueuePool,
        pool_size=THREADS,
        max_overflow=0,
        hide_parameters=True,
    )
    event.listen(engine, "connect", _set_up_connection)
    event.listen(engine, "begin", _begin)
    return engine


def _set_up_connection(connection: Any, _record: object) -> None:
    connection.executescript(CONNECTION_SETUP)


def _begin(connection: Connection) -> None:
    options = connection.get_execution_options()
    connection.exec_driver_sql(f"PRAGMA synchronous = {options.get(_SYNC, 'FULL')}")
    connection.exec_driver_sql(options.get(_BEGIN, "BEGIN"))
