"""The files of an open SQLite store: whether they are still those that were opened.

SQLite looks at a file's name when it opens it, and never again in WAL mode. After the file was
deleted or replaced, what is committed goes to a file that no later start will find.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import Enum
from typing import NamedTuple

from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError

from codewalk.storage.file_header import FileId, parse_header, read_header_bytes
from codewalk.storage.file_stamp import (
    FileStamp,
    is_overwritten,
    next_stamp,
    read_stored_stamp,
    write_stamp,
)
from codewalk.storage.location import SqliteFile
from codewalk.storage.sqlite import is_damage


class Loss(Enum):
    """Why nothing can be saved in an open store; the value completes `The store … `."""

    MISSING = "was deleted or moved away while CodeWalk used it"
    REPLACED = "was replaced by another file while CodeWalk used it"
    OVERWRITTEN = "was overwritten by another program while CodeWalk used it"
    DAMAGED = "was overwritten by another program while CodeWalk used it, and is damaged"
    SIDE_FILE = "lost its -wal or -shm file, which was deleted or replaced while CodeWalk used it"

    @property
    def remedy(self) -> str:
        """The remedy for a user, in a sentence or two."""
        match self:
            case Loss.MISSING:
                return "Move it back, and changes are saved again."
            case Loss.REPLACED | Loss.OVERWRITTEN:
                return "Restart CodeWalk to use the file that is there now."
            case Loss.DAMAGED:
                return "Stop CodeWalk and restore a backup."
            case Loss.SIDE_FILE:
                return "Restart CodeWalk: when it stops, it writes everything into the store."

    @property
    def is_readable(self) -> bool:
        """Whether the open file still has everything."""
        return self not in (Loss.OVERWRITTEN, Loss.DAMAGED)


class _Signature(NamedTuple):
    """The values that change with each write to a file."""

    modified_ns: int
    size: int


class StoreFile:
    """The files of an open store. Used by several threads.

    Args:
        location: The store. All connections to it are open, and have read from it.
        connection: One of them.
    """

    def __init__(self, location: SqliteFile, connection: Connection) -> None:
        self._location = location
        paths = (location.path, location.wal, location.shm)
        self._opened = {path: file_id for path in paths if (file_id := FileId.of(path))}
        self._checked = self._signature()
        self._known: FileStamp | None = None
        with suppress(DBAPIError):  # a store that is damaged is reported when it is read
            self._known = read_stored_stamp(connection)
        self._is_stamped = False
        self._overwritten: Loss | None = None
        self._lock = threading.Lock()

    @property
    def file_id(self) -> FileId | None:
        """The file that was opened."""
        return self._opened.get(self._location.path)

    def delete_side_files(self) -> None:
        """Delete the `-wal` and `-shm` of the opened file; another file must not get them."""
        for path in (self._location.wal, self._location.shm):
            if path in self._opened and FileId.of(path) == self._opened[path]:
                with suppress(OSError):
                    path.unlink()

    def find_loss(self) -> Loss | None:
        """Return why nothing can be saved, None if all is well. Takes microseconds."""
        if self._overwritten:
            return self._overwritten
        for path, opened in self._opened.items():
            current = FileId.of(path)
            if current != opened:
                if path != self._location.path:
                    return Loss.SIDE_FILE
                return Loss.REPLACED if current else Loss.MISSING
        return None

    def check_content(self, connection: Connection, *, write: bool = False) -> FileStamp | None:
        """Look whether another program overwrote the file, if it changed since the last look.

        Args:
            connection: In a transaction.
            write: Whether that may write; if so, a new stamp is stored where one is due.

        Returns:
            The new stamp, to be passed to `remember` after the commit.
        """
        signature, known = self._signature(), self._known
        is_due = write and not self._is_stamped
        if self._overwritten or signature is None or (signature == self._checked and not is_due):
            return None
        # This first: no checkpoint goes beyond what an open transaction reads.
        stored = read_stored_stamp(connection)
        tag_in_file = self._compare(stored, known)
        if tag_in_file is None:
            return None
        stamp = next_stamp(tag_in_file, stored)
        with self._lock:
            self._checked, self._is_stamped = signature, stamp is None
            self._known = _later(self._known, stored)
        if stamp is None or not write:
            return None
        write_stamp(connection, stamp)
        return stamp

    def remember(self, stamp: FileStamp | None) -> None:
        """Remember a stamp that was committed."""
        if stamp:
            with self._lock:
                self._known, self._is_stamped = _later(self._known, stamp), True

    def explain(self, error: DBAPIError) -> None:
        """Look whether an error comes from another program that overwrote the file."""
        is_changed = self._signature() not in (None, self._checked)
        if is_changed and self._known and not self._overwritten and is_damage(error.orig):
            self._compare(self._known, self._known)

    @contextmanager
    def closing(self) -> Iterator[None]:
        """Keep an overwritten file as it is while the last connection closes in the block.

        SQLite would bring the `-wal` into it, which belongs to the former content. It leaves a file
        alone whose name leads elsewhere.
        """
        if not self._overwritten:
            yield
            return
        path = self._location.path
        aside = path.with_name(f"{path.name}.closing")
        with suppress(OSError):
            path.rename(aside)
        try:
            yield
        finally:
            with suppress(OSError):
                aside.rename(path)
            if FileId.of(self._location.wal) == self._opened.get(self._location.wal):
                # Useless without the former content, but the only file that has the last changes.
                with suppress(OSError):
                    self._location.wal.replace(path.with_name(f"{path.name}-wal.old"))
            self.delete_side_files()

    def _compare(self, stored: FileStamp | None, known: FileStamp | None) -> int | None:
        """Compare the tag in the file with the stored stamp.

        Returns:
            The tag in the file; None if the file was overwritten, or can't be read here.
        """
        signature = self._signature()
        if signature is None or self.file_id is None:
            return None
        data = read_header_bytes(self._location.path, self.file_id)
        if data is None:
            return None
        header = parse_header(data)
        is_shorter = bool(self._checked and signature.size < self._checked.size)
        # A checkpoint that makes the file shorter writes the header first.
        if header is None or (is_shorter and signature.size < header.size):
            self._set_overwritten(Loss.DAMAGED)
            return None
        if is_overwritten(header.user_version, stored, known):
            self._set_overwritten(Loss.OVERWRITTEN)
            return None
        return header.user_version

    def _set_overwritten(self, loss: Loss) -> None:
        with self._lock:
            if self._opened.get(self._location.path) == FileId.of(self._location.path):
                self._overwritten = loss

    def _signature(self) -> _Signature | None:
        """Return that of the opened file, None if its name leads elsewhere now."""
        try:
            status = os.stat(self._location.path)  # noqa: PTH116 - as above
        except OSError:
            return None
        if FileId(status.st_dev, status.st_ino) != self._opened.get(self._location.path):
            return None
        return _Signature(status.st_mtime_ns, status.st_size)


def _later(one: FileStamp | None, other: FileStamp | None) -> FileStamp | None:
    """Return the stamp with the greater number: a slow reader may come after a writer."""
    if one is None or other is None:
        return one or other
    return one if one.number > other.number else other
