"""An open SQLite store."""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

from sqlalchemy import create_engine, event
from sqlalchemy.engine import URL, Connection, Engine
from sqlalchemy.pool import QueuePool

from codewalk.storage.location import SqliteFile, translate_errors
from codewalk.storage.sqlite import BUSY_SECONDS, CONNECTION_SETUP

T = TypeVar("T")

THREADS: Final = 4
"""Concurrent transactions, one of them a write; each has a connection of its own."""

_SYNC: Final = "codewalk_sync"
"""The execution option for `PRAGMA synchronous`: whether a commit waits for the disk."""

_BEGIN: Final = "codewalk_begin"
"""The execution option for the statement that begins a transaction."""


class SqliteDatabase:
    """Runs transactions on a SQLite file in its own threads."""

    is_sqlite: Final = True

    def __init__(self, location: SqliteFile, engine: Engine, threads: ThreadPoolExecutor) -> None:
        self._location = location
        self._reader = engine
        self._writer = engine.execution_options(**{_BEGIN: "BEGIN IMMEDIATE"})
        self._fast_writer = self._writer.execution_options(**{_SYNC: "NORMAL"})
        self._threads = threads
        # SQLite has one writer. This lock is fair and quick; SQLite's own waiting is a loop of
        # sleeps, which is left to other processes.
        self._write_lock = asyncio.Lock()

    @property
    def name(self) -> str:
        return str(self._location.path)

    async def read(self, work: Callable[[Connection], T]) -> T:
        return await self._run(self._read, work)

    async def write(self, work: Callable[[Connection], T], *, durable: bool = True) -> T:
        async with self._write_lock:
            return await self._run(self._write if durable else self._write_fast, work)

    async def _run(
        self, transact: Callable[[Callable[[Connection], T]], T], work: Callable[[Connection], T]
    ) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, transact, work)

    def _read(self, work: Callable[[Connection], T]) -> T:
        with translate_errors(self._location), self._reader.connect() as connection:
            return work(connection)

    def _write(self, work: Callable[[Connection], T]) -> T:
        with translate_errors(self._location), self._writer.begin() as connection:
            return work(connection)

    def _write_fast(self, work: Callable[[Connection], T]) -> T:
        with translate_errors(self._location), self._fast_writer.begin() as connection:
            return work(connection)


@asynccontextmanager
async def open_sqlite(location: SqliteFile) -> AsyncIterator[SqliteDatabase]:
    """Open a file that `codewalk.storage.sqlite.ensure_file` has made.

    The end of the block waits for the transactions under way, those of cancelled callers too.
    """
    threads = ThreadPoolExecutor(THREADS, thread_name_prefix="codewalk store")
    engine = await asyncio.to_thread(_engine, location)
    try:
        yield SqliteDatabase(location, engine, threads)
    finally:
        await asyncio.to_thread(_close, engine, threads)


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
        hide_parameters=True,
    )
    event.listen(engine, "connect", _set_up_connection)
    event.listen(engine, "begin", _begin)
    return engine


def _close(engine: Engine, threads: ThreadPoolExecutor) -> None:
    threads.shutdown()
    engine.dispose()


def _set_up_connection(connection: Any, _record: object) -> None:
    connection.executescript(CONNECTION_SETUP)


def _begin(connection: Connection) -> None:
    options = connection.get_execution_options()
    connection.exec_driver_sql(f"PRAGMA synchronous = {options.get(_SYNC, 'FULL')}")
    connection.exec_driver_sql(options.get(_BEGIN, "BEGIN"))
