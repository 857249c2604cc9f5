"""A SQLite file before it is opened: created, kept private, and checked for damage.

The file is opened through SQLite alone: on POSIX, closing any descriptor of a file drops the
process's locks on it, SQLite's too.
"""

import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Final
from urllib.parse import quote

from codewalk.settings import FILE_MODE
from codewalk.storage.location import SqliteFile, translate_errors

BUSY_SECONDS: Final = 5.0
"""Seconds that a connection waits for another process's write to end."""

MAX_FULL_CHECK_BYTES: Final = 4 * 2**20
"""Size up to which the whole file is checked for damage at each start, in a few milliseconds."""

_CHECKED_TABLES: Final = ("servers", "pointers")
"""The tables to check of a larger file: what can't be restored. History has made it large."""

CONNECTION_SETUP: Final = """
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    PRAGMA foreign_keys = ON;
"""
"""The settings of each connection. The first one is stored in the file, and costs nothing then."""


def ensure_file(location: SqliteFile) -> str | None:
    """Create the file where there is none, and make it private. Blocks.

    Returns:
        The version of its schema, None for an empty file.

    Raises:
        StorageError: The file is damaged; it is left untouched.
    """
    with translate_errors(location):
        _create(location.path)
        version = read_schema_version(location)
        for path in (location.path, location.wal, location.shm):
            make_private(path)
        return version


def read_schema_version(location: SqliteFile) -> str | None:
    """Read the version of the schema without writing a byte.

    Returns:
        The version, None for an empty file.

    Raises:
        StorageError: The file is damaged, or isn't CodeWalk's.
    """
    if location.path.with_name(f"{location.path.name}-journal").exists():
        # A first start was interrupted. SQLite rolls that back when it opens the file for writing.
        return None
    # A plain read-only connection creates -wal and -shm and leaves them behind. Where no process
    # has the store open there is no -wal, and an immutable connection reads without them.
    live = location.wal.exists()
    try:
        return _read_version(location, "mode=ro" if live else "immutable=1")
    except sqlite3.DatabaseError as exc:
        if not live and location.wal.exists():
            # Another process opened it at this moment and wrote below the immutable reader.
            return read_schema_version(location)
        if _is_damage(exc):
            raise location.damaged_error() from exc
        raise location.to_storage_error(exc) from exc


def make_private(path: Path) -> None:
    """Take away all rights of others to a file, if it exists."""
    with suppress(FileNotFoundError):
        if path.stat().st_mode & 0o077:
            path.chmod(FILE_MODE)


def _create(path: Path) -> None:
    # Before SQLite would create it, so that it has the right mode from the beginning; -wal and
    # -shm take theirs from it.
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, FILE_MODE))


def _read_version(location: SqliteFile, mode: str) -> str | None:
    uri = f"file:{quote(str(location.path))}?{mode}"
    with closing(sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS)) as connection:
        names = {str(row[0]) for row in connection.execute("SELECT name FROM sqlite_master")}
        if not names:
            return None
        if "alembic_version" not in names:
            raise sqlite3.DatabaseError("not a CodeWalk store")
        if location.path.stat().st_size <= MAX_FULL_CHECK_BYTES:
            _check(connection, "1")
        else:
            for table in names.intersection(_CHECKED_TABLES):
                _check(connection, table)
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        return str(row[0]) if row else None


def _check(connection: sqlite3.Connection, scope: str) -> None:
    result = str(connection.execute(f"PRAGMA quick_check({scope})").fetchone()[0])
    if result != "ok":
        raise sqlite3.DatabaseError(result)


def _is_damage(error: sqlite3.DatabaseError) -> bool:
    name = str(getattr(error, "sqlite_errorname", ""))
    return not name or name.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT", "SQLITE_ERROR"))
