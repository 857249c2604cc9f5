"""Writes copies of an open SQLite store: a backup at each start, a rescued copy after a loss."""

import hashlib
import logging
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from time import time
from typing import Any, Final
from urllib.parse import quote

from codewalk.settings import DIRECTORY_MODE
from codewalk.storage.backups import (
    Backup,
    Contents,
    backup_path,
    choose_obsolete,
    list_backups,
)
from codewalk.storage.file_stamp import delete_stamp
from codewalk.storage.location import SqliteFile
from codewalk.storage.sqlite import create_private, delete_with_side_files

_PAGES_PER_STEP: Final = 1024
"""Pages that are copied between two looks whether to stop."""

_OPERATIONS_PER_LOOK: Final = 100_000
"""The same for the check of a copy, in SQLite's virtual machine instructions."""

MAX_DRAFT_AGE: Final = 3600.0
"""Seconds after which nobody writes a draft any more."""

log = logging.getLogger(__name__)


class Stopped(Exception):
    """A copy was abandoned because the store is being closed."""


def write_backup(
    location: SqliteFile, source: sqlite3.Connection, *, is_stopping: Callable[[], bool]
) -> Path:
    """Write a backup, then delete those over the limit. Blocks.

    Args:
        location: The store.
        source: A connection to it, in a transaction that has read.
        is_stopping: Whether to give up.

    Returns:
        The backup.

    Raises:
        Stopped: It was given up.
        OSError, sqlite3.Error: It can't be written or read back; the former backups are all there.
    """
    target = backup_path(location.backup_folder, location.path, datetime.now(UTC))
    _copy(source, target, is_stopping)
    _delete_obsolete(location)
    return target


def write_rescued_copy(location: SqliteFile, source: sqlite3.Connection) -> Path:
    """Write a copy of a store whose file was lost, which no rotation deletes. Blocks.

    Raises:
        OSError, sqlite3.Error: It can't be written or read back.
    """
    now = datetime.now(UTC)
    target = backup_path(location.backup_folder, location.path, now, rescued=True)
    _copy(source, target, lambda: False)
    return target


def _copy(source: sqlite3.Connection, target: Path, is_stopping: Callable[[], bool]) -> None:
    """Write a copy that was read back, and that only its owner can read; whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True, mode=DIRECTORY_MODE)
    _delete_old_drafts(target.parent)
    draft = target.with_name(f".{target.name}.part")
    delete_with_side_files(draft)
    create_private(draft)
    try:
        with closing(sqlite3.connect(draft, isolation_level=None)) as copy:
            source.backup(copy, pages=_PAGES_PER_STEP, progress=_raise_when(is_stopping))
            copy.set_progress_handler(is_stopping, _OPERATIONS_PER_LOOK)
            _finish(copy, is_stopping)
        draft.replace(target)
    except BaseException:
        with suppress(OSError):
            delete_with_side_files(draft)
        raise


def _delete_old_drafts(folder: Path) -> None:
    """Delete what processes left that were killed while they wrote a copy."""
    for draft in folder.glob(".*.part"):
        with suppress(OSError):
            if time() - draft.stat().st_mtime > MAX_DRAFT_AGE:
                delete_with_side_files(draft)


def _finish(copy: sqlite3.Connection, is_stopping: Callable[[], bool]) -> None:
    """Make a copy one file, which can't be taken for the store, and check it."""
    try:
        copy.execute("PRAGMA journal_mode = DELETE")
        delete_stamp(copy)
        result = str(copy.execute("PRAGMA quick_check(1)").fetchone()[0])
    except sqlite3.OperationalError as exc:
        if is_stopping():
            raise Stopped from exc
        raise
    if result != "ok":
        raise sqlite3.DatabaseError(result)


def _raise_when(is_stopping: Callable[[], bool]) -> Callable[[int, int, int], None]:
    def look(_status: int, _remaining: int, _total: int) -> None:
        if is_stopping():
            raise Stopped

    return look


def _delete_obsolete(location: SqliteFile) -> None:
    backups = list_backups(location.backup_folder, location.path)
    contents = [_contents(backup) for backup in backups if not backup.rescued]
    for backup in choose_obsolete(contents):
        backup.path.unlink(missing_ok=True)


def _contents(backup: Backup) -> Contents[str]:
    """Return a backup with a hash of its servers and hooks; a random one for an unreadable one."""
    uri = f"file:{quote(str(backup.path))}?immutable=1"
    rows: list[Any] = []
    try:
        with closing(sqlite3.connect(uri, uri=True)) as connection:
            for table in ("servers", "hooks"):
                rows += connection.execute(f"SELECT * FROM {table} ORDER BY id").fetchall()  # noqa: S608 - constants
    except sqlite3.Error:
        rows = [str(backup.path)]
    return Contents(backup=backup, servers=hashlib.sha256(repr(rows).encode()).hexdigest())
