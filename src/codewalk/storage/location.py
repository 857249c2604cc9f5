"""The location of the store: its database, its name in messages, and its errors."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from codewalk.errors import StorageError
from codewalk.settings import Settings
from codewalk.storage.backups import BACKUP_FOLDER, describe_restore, newest_backup

_LOCAL_HOSTS: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_URL_FORMS: Final = "Use sqlite:///path/to/file or postgresql://user:password@host/database."


@dataclass(frozen=True, kw_only=True, slots=True)
class SqliteFile:
    """A store in one file, with SQLite's `-wal` and `-shm` beside it.

    Attributes:
        path: The file; never a symbolic link, since `-wal` and `-shm` are beside its target.
        backup_folder: The folder of its backups.
    """

    path: Path
    backup_folder: Path

    @property
    def wal(self) -> Path:
        return self.path.with_name(f"{self.path.name}-wal")

    @property
    def shm(self) -> Path:
        return self.path.with_name(f"{self.path.name}-shm")

    def driver_errors(self) -> tuple[type[Exception], ...]:
        """Return what the driver raises when reading or writing fails."""
        return (SQLAlchemyError, sqlite3.Error, OSError, UnicodeError)

    def to_storage_error(self, error: Exception) -> StorageError:
        """Return the driver's error as a sentence that names the file."""
        origin = error.orig if isinstance(error, DBAPIError) else error
        name = str(getattr(origin, "sqlite_errorname", ""))
        return StorageError(self._problem(name, origin), value=str(self.path))

    def damaged_error(self) -> StorageError:
        return self._error(
            f"The store {self.path} is damaged or isn't a CodeWalk store; it was left as it is. "
            f"{self._restore_hint()} Move it away to start with an empty store."
        )

    def empty_error(self) -> StorageError:
        return self._error(
            f"The store {self.path} is empty (0 bytes): its content was lost. "
            f"{self._restore_hint()} Delete it to start with an empty store."
        )

    def missing_error(self) -> StorageError:
        """The error for a `-wal` without its file."""
        return self._error(
            f"The store {self.path} is missing, but {self.wal} is there: the store was deleted or "
            f"moved while CodeWalk used it. Move it back. {self._restore_hint()} "
            f"Delete {self.wal} and {self.shm} to start with an empty store."
        )

    def foreign_wal_error(self) -> StorageError:
        """The error for a `-wal` that belongs to another file than the one beside it."""
        return self._error(
            f"{self.wal} belongs to another file than {self.path}, which was replaced; both were "
            f"left as they are. To use {self.path} as it is now, stop CodeWalk if it runs, and "
            f"delete {self.wal} and {self.shm}."
        )

    def _restore_hint(self) -> str:
        backup = newest_backup(self.backup_folder, self.path)
        if backup is None:
            return f"There is no backup in {self.backup_folder}."
        return describe_restore(backup, self.path)

    def _error(self, message: str) -> StorageError:
        return StorageError(message, value=str(self.path))

    def newer_schema_error(self, version: str) -> StorageError:
        return _newer(str(self.path), version)

    def _problem(self, name: str, origin: object) -> str:
        if name.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT")):
            return self.damaged_error().message
        if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            return f"The store {self.path} is busy: another program holds it for writing."
        if name.startswith("SQLITE_FULL"):
            return f"The store {self.path} can't grow: the disk is full."
        if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_AUTH")):
            return f"The store {self.path} can't be opened for writing; check who owns it."
        if isinstance(origin, OSError):
            return f"The store {self.path} can't be opened: {origin.strerror or origin}."
        return f"The store {self.path} failed: {origin}."


@dataclass(frozen=True, kw_only=True, slots=True)
class PostgresLocation:
    """A store in PostgreSQL. `dsn` may have a password in it, so no rendering shows it."""

    dsn: str = field(repr=False)
    name: str

    def driver_errors(self) -> tuple[type[Exception], ...]:
        """Return what the driver raises when reading or writing fails."""
        # Imported here: SQLite doesn't need this driver.
        import asyncpg

        return (
            SQLAlchemyError,
            OSError,
            UnicodeError,
            asyncpg.PostgresError,
            asyncpg.InterfaceError,
            asyncpg.InternalClientError,
        )

    def to_storage_error(self, error: Exception) -> StorageError:
        """Return the driver's error as a sentence that names host and database."""
        origin = error.orig if isinstance(error, DBAPIError) else error
        state = str(getattr(origin, "sqlstate", None) or "")
        cause = getattr(origin, "__cause__", None) or origin
        if state.startswith("28"):
            problem = "refused the user name or password"
        elif state == "3D000":
            problem = "doesn't exist; create it with `createdb`"
        elif state == "42501":
            problem = "doesn't let this user create or change tables"
        elif state == "53100":
            problem = "can't grow: the disk is full"
        elif isinstance(cause, TimeoutError):
            problem = "didn't answer in time"
        elif isinstance(cause, OSError) or state.startswith(("08", "57P")):
            problem = f"can't be reached: {_first_line(cause)}"
        else:
            problem = f"failed: {_first_line(cause)}"
        return StorageError(f"The store, {self.name}, {problem}.", value=self.name)

    def newer_schema_error(self, version: str) -> StorageError:
        return _newer(self.name, version)


Location = SqliteFile | PostgresLocation


def locate(settings: Settings) -> Location:
    """Return where the store is that `settings` names.

    Raises:
        StorageError: The URL names no supported database; the text never repeats it.
    """
    if settings.database_url is None:
        return _sqlite_file(settings.database_file, settings)
    try:
        url = make_url(settings.database_url.reveal())
    except (SQLAlchemyError, ValueError):
        # Without the cause: it may quote a part of the URL that holds the password.
        raise StorageError(f"CODEWALK_DATABASE_URL isn't a database URL. {_URL_FORMS}") from None
    backend = url.get_backend_name()
    if backend == "sqlite":
        return _sqlite(url, settings)
    if backend in ("postgresql", "postgres"):
        return _postgres(url)
    raise StorageError(
        f"CODEWALK_DATABASE_URL names {backend!r}, which isn't supported. {_URL_FORMS}"
    )


@contextmanager
def translate_errors(location: Location) -> Iterator[None]:
    """Raise what the driver raises inside the block as `StorageError`."""
    try:
        yield
    except StorageError:
        raise
    except Exception as exc:
        if isinstance(exc, location.driver_errors()):
            raise location.to_storage_error(exc) from exc
        raise


def _sqlite(url: URL, settings: Settings) -> SqliteFile:
    path = url.database or ""
    if path in ("", ":memory:") or path.startswith("file:"):
        raise StorageError(
            "CODEWALK_DATABASE_URL names no SQLite file; "
            "use sqlite:///path/to/file, or leave it unset for the one in the data folder."
        )
    return _sqlite_file(Path(path).expanduser().absolute(), settings)


def _sqlite_file(path: Path, settings: Settings) -> SqliteFile:
    target = path.resolve() if path.is_symlink() else path
    return SqliteFile(path=target, backup_folder=settings.data_dir / BACKUP_FOLDER)


def _postgres(url: URL) -> PostgresLocation:
    host = url.host or url.query.get("host") or "localhost"
    hosts = host if isinstance(host, str) else ",".join(host)
    port = f":{url.port}" if url.port else ""
    dsn = url.set(drivername="postgresql")
    if hosts in _LOCAL_HOSTS and "sslmode" not in url.query and "PGSSLMODE" not in os.environ:
        # Nobody can listen in between, and the driver would look for certificates each time.
        dsn = dsn.update_query_dict({"sslmode": "disable"})
    return PostgresLocation(
        # The driver parses the URL itself, so that everything libpq supports (sslmode, several
        # hosts, a socket's folder) means the same here.
        dsn=dsn.render_as_string(hide_password=False),
        name=f"the PostgreSQL database {url.database or url.username!r} at {hosts}{port}",
    )


def _newer(name: str, version: str) -> StorageError:
    return StorageError(
        f"The store, {name}, is from a newer CodeWalk (its schema is {version!r}); it was left as "
        "it is. Install that version, or set CODEWALK_DATA_DIR to another folder.",
        value=name,
    )


def _first_line(error: object) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0].rstrip(".")
