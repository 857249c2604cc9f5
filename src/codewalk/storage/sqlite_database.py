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
"""Pieces of work at once, one of them a write; each has a connection to itself."""

_SYNC: Final = "codewalk_sync"
"""The execution option that says whether a commit waits for the disk."""

_BEGIN: Final = "codewalk_begin"
"""The execution option that says how a transaction begins."""


class SqliteDatabase:
    """Runs work on a SQLite file in its own threads."""

    is_sqlite: Final = True

    def __init__(self, location: SqliteFile, engine: Engine, threads: ThreadPoolExecutor) -> None:
        self._location = location
        self._reader = engine
        self._writer = engine.execution_options(**{_BEGIN: "BEGIN IMMEDIATE"})
        self._noter = self._writer.execution_options(**{_SYNC: "NORMAL"})
        self._threads = threads
        # SQLite has one writer. Waiting here is fair and quick; its own waiting is a sleep loop,
        # left to other processes.
        self._turn = asyncio.Lock()

    @property
    def name(self) -> str:
        return str(self._location.path)

    async def read(self, work: Callable[[Connection], T]) -> T:
        return await self._run(self._read, work)

    async def write(self, work: Callable[[Connection], T], *, durable: bool = True) -> T:
        async with self._turn:
            return await self._run(self._write if durable else self._note, work)

    async def _run(self, how: Callable[[Callable[[Connection], T]], T], work: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, how, work)

    def _read(self, work: Callable[[Connection], T]) -> T:
        with translate_errors(self._location), self._reader.connect() as connection:
            return work(connection)

    def _write(self, work: Callable[[Connection], T]) -> T:
        with translate_errors(self._location), self._writer.begin() as connection:
            return work(connection)

    def _note(self, work: Callable[[Connection], T]) -> T:
        with translate_errors(self._location), self._noter.begin() as connection:
            return work(connection)


@asynccontextmanager
async def open_sqlite(location: SqliteFile) -> AsyncIterator[SqliteDatabase]:
    """Opens a file that `codewalk.storage.sqlite.ensure_file` has made.

    At the end it waits for the work that is under way, a cancelled caller's too.
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
            # The driver's own transaction handling begins too late and too weakly; see `_begin`.
            "isolation_level": None,
            # A connection serves one piece of work at a time, but not always in the same thread.
            "check_same_thread": False,
        },
        poolclass=QueuePool,
        pool_size=THREADS,
        hide_parameters=True,
    )
    event.listen(engine, "connect", _set_up)
    event.listen(engine, "begin", _begin)
    return engine


def _close(engine: Engine, threads: ThreadPoolExecutor) -> None:
    threads.shutdown()
    engine.dispose()


def _set_up(connection: Any, _record: object) -> None:
    connection.executescript(CONNECTION_SETUP)


def _begin(connection: Connection) -> None:
    options = connection.get_execution_options()
    connection.exec_driver_sql(f"PRAGMA synchronous = {options.get(_SYNC, 'FULL')}")
    connection.exec_driver_sql(options.get(_BEGIN, "BEGIN"))
