"""The open store: connections to read and to write with, on SQLite and PostgreSQL alike."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import Any, Final, TypeVar

from sqlalchemy import event, text
from sqlalchemy.engine import URL, Connection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from codewalk.settings import Settings
from codewalk.storage.place import Place, PostgresDatabase, SqliteFile, locate, translating
from codewalk.storage.sqlite import BUSY_SECONDS, CONNECTION_SETUP, make_ready
from codewalk.storage.tables import SCHEMA_VERSION

T = TypeVar("T")

_BEGIN: Final = "codewalk_begin"
"""The execution option that says how a transaction on SQLite begins."""

_CONNECT_SECONDS: Final = 10.0
_COMMAND_SECONDS: Final = 30.0


class Database:
    """The store of one app. Open it with `open_database`."""

    def __init__(self, place: Place, engine: AsyncEngine) -> None:
        self._place = place
        self._sqlite = isinstance(place, SqliteFile)
        # SQLite has one writer. Waiting here is fair and quick; its own waiting is a sleep loop,
        # left to other processes.
        self._turn = asyncio.Lock() if self._sqlite else None
        if self._sqlite:
            self._reader = engine
            self._writer = engine.execution_options(**{_BEGIN: "BEGIN IMMEDIATE"})
        else:
            # Several selects of one read see one moment, as they do in SQLite.
            self._reader = engine.execution_options(
                isolation_level="REPEATABLE READ", postgresql_readonly=True
            )
            self._writer = engine

    @property
    def name(self) -> str:
        """What to call the store to a person: its file, or its host and database."""
        place = self._place
        return str(place.path) if isinstance(place, SqliteFile) else place.name

    @property
    def is_sqlite(self) -> bool:
        return self._sqlite

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A connection that sees one moment of the store. Raises `StorageError`."""
        with translating(self._place):
            async with self._reader.connect() as connection:
                yield connection

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """A transaction: committed at the end of the block, rolled back when that raises.

        On SQLite it holds the write lock from its start; on PostgreSQL it is `READ COMMITTED`.
        Raises `StorageError`.
        """
        turn: AbstractAsyncContextManager[None] = self._turn or nullcontext()
        async with turn:
            with translating(self._place):
                async with self._writer.begin() as connection:
                    yield connection


@asynccontextmanager
async def open_database(settings: Settings) -> AsyncIterator[Database]:
    """Opens the store that `settings` names, made and migrated where that is due.

    Several processes may do so at once. Raises `StorageError`: a damaged file or a newer schema is
    left untouched.
    """
    place, engine = await asyncio.to_thread(_prepare, settings)
    try:
        if isinstance(place, PostgresDatabase):
            with translating(place):
                await _make_ready(place, engine)
        yield Database(place, engine)
    finally:
        await engine.dispose()


async def land(work: Coroutine[Any, Any, T]) -> T:
    """Runs a write to its end, even if the caller is cancelled meanwhile; that then goes on.

    Without it a write could be cut off between its commit and the answer, and the caller would not
    know what is on disk. The task is owned by this call, which never ends before it.
    """
    task = asyncio.get_running_loop().create_task(work, name="codewalk store write")
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as exc:
            cancelled = exc
    if cancelled is None:
        return task.result()
    if not task.cancelled():
        task.exception()  # seen, so that asyncio doesn't report it as lost
    raise cancelled


def _prepare(settings: Settings) -> tuple[Place, AsyncEngine]:
    """Everything that touches files, in a thread."""
    settings.make_data_dir()
    place = locate(settings)
    if isinstance(place, PostgresDatabase):
        return place, _postgres_engine(place)
    with translating(place):
        make_ready(place)
    return place, _sqlite_engine(place)


def _sqlite_engine(place: SqliteFile) -> AsyncEngine:
    engine = create_async_engine(
        URL.create("sqlite+aiosqlite", database=str(place.path)),
        # The driver's own transaction handling begins too late and too weakly; see `_begin`.
        connect_args={"timeout": BUSY_SECONDS, "isolation_level": None},
        hide_parameters=True,
    )

    def set_up(connection: Any, _record: object) -> None:
        connection.run_async(lambda driver: driver.executescript(CONNECTION_SETUP))

    event.listen(engine.sync_engine, "connect", set_up)
    event.listen(engine.sync_engine, "begin", _begin)
    return engine


def _postgres_engine(place: PostgresDatabase) -> AsyncEngine:
    async def connect(*_arguments: object, **_options: object) -> Any:
        # Imported here: with SQLite, nobody pays for this driver.
        import asyncpg

        return await asyncpg.connect(
            place.dsn, timeout=_CONNECT_SECONDS, command_timeout=_COMMAND_SECONDS
        )

    return create_async_engine(
        "postgresql+asyncpg://",
        async_creator=connect,
        # A PostgreSQL that was restarted costs one round trip, not one failed call.
        pool_pre_ping=True,
        hide_parameters=True,
    )


async def _make_ready(place: PostgresDatabase, engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        found = None
        if await connection.scalar(text("SELECT to_regclass('alembic_version')::text")):
            found = await connection.scalar(text("SELECT version_num FROM alembic_version"))
    if found != SCHEMA_VERSION:
        # Imported here: Alembic costs more time than everything else that a command does.
        from codewalk.storage.migrate import load_migrations, migrate_postgres

        await migrate_postgres(place, engine, await asyncio.to_thread(load_migrations))


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get(_BEGIN, "BEGIN"))
