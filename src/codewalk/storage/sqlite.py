"""A SQLite file before it is opened: kept private, and checked for damage and loss.

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
from codewalk.storage.file_header import FileId, parse_header, read_header_bytes
from codewalk.storage.file_stamp import is_overwritten, read_stamp
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


def check_file(location: SqliteFile) -> str | None:
    """Check the file for damage, and make it private. Blocks.

    Returns:
        The version of its schema; None where there is no file.

    Raises:
        StorageError: The file is damaged, empty, or missing beside its `-wal`; nothing is changed.
    """
    with translate_errors(location):
        if not location.path.exists():
            require_new(location)
            return None
        version = read_schema_version(location)
        for path in (location.path, location.wal, location.shm):
            make_private(path)
        return version


def require_new(location: SqliteFile) -> None:
    """Refuse to create a store whose file is missing, but whose `-wal` is there.

    Raises:
        StorageError: The store was deleted or moved while a process used it.
        OSError: Its folder is missing.
    """
    location.path.parent.stat()
    with suppress(FileNotFoundError):
        if location.wal.stat().st_size:
            raise location.missing_error()


def read_schema_version(location: SqliteFile) -> str | None:
    """Read the version of the schema without writing a byte.

    Returns:
        The version; None for a file that SQLite has still to roll back to an empty one.

    Raises:
        StorageError: The file is damaged or empty, isn't CodeWalk's, or has the `-wal` of another.
    """
    if location.path.with_name(f"{location.path.name}-journal").exists():
        # A first start was interrupted. SQLite rolls that back when it opens the file for writing.
        return None
    if not location.path.stat().st_size:
        raise location.empty_error()
    # A plain read-only connection creates -wal and -shm and leaves them behind. Where no process
    # has the store open there is no -wal, and an immutable connection reads without them.
    live = location.wal.exists()
    try:
        return _read_version(location, "mode=ro" if live else "immutable=1")
    except sqlite3.DatabaseError as exc:
        if not live and location.wal.exists():
            # Another process opened it at this moment and wrote below the immutable reader.
            return read_schema_version(location)
        if is_damage(exc):
            raise location.damaged_error() from exc
        raise location.to_storage_error(exc) from exc


def make_private(path: Path) -> None:
    """Take away all rights of others to a file, if it exists."""
    with suppress(FileNotFoundError):
        if path.stat().st_mode & 0o077:
            path.chmod(FILE_MODE)


def create_private(path: Path) -> None:
    """Create an empty file that only its owner can read, before SQLite would create it.

    Its `-wal` and `-shm` take their mode from it.
    """
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, FILE_MODE))


def delete_with_side_files(path: Path) -> None:
    """Delete a file that nobody has open, and what SQLite left beside it."""
    for suffix in ("", "-journal", "-wal", "-shm"):
        path.with_name(f"{path.name}{suffix}").unlink(missing_ok=True)


def _read_version(location: SqliteFile, mode: str) -> str | None:
    uri = f"file:{quote(str(location.path))}?{mode}"
    with closing(sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS)) as connection:
        names = {str(row[0]) for row in connection.execute("SELECT name FROM sqlite_master")}
        if not names:
            return None
        if "alembic_version" not in names:
            raise sqlite3.DatabaseError("not a CodeWalk store")
        if mode == "mode=ro" and "pointers" in names:
            _check_wal(location, connection)
        if location.path.stat().st_size <= MAX_FULL_CHECK_BYTES:
            _check(connection, "1")
        else:
            for table in names.intersection(_CHECKED_TABLES):
                _check(connection, table)
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        return str(row[0]) if row else None


def _check_wal(location: SqliteFile, connection: sqlite3.Connection) -> None:
    """Raise `StorageError` for a `-wal` that belongs to another file."""
    # In one transaction: no checkpoint of another process goes beyond what it reads.
    connection.execute("BEGIN")
    try:
        stored = read_stamp(connection)
        file_id = FileId.of(location.path)
        header = parse_header(read_header_bytes(location.path, file_id) or b"") if file_id else None
    finally:
        connection.rollback()
    if header and is_overwritten(header.user_version, stored):
        raise location.foreign_wal_error()


def _check(connection: sqlite3.Connection, scope: str) -> None:
    result = str(connection.execute(f"PRAGMA quick_check({scope})").fetchone()[0])
    if result != "ok":
        raise sqlite3.DatabaseError(result)


def is_damage(error: object) -> bool:
    """Return whether an error of the driver says that the file is damaged."""
    name = str(getattr(error, "sqlite_errorname", ""))
    return not name or name.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT", "SQLITE_ERROR"))
