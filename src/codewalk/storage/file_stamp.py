"""The stamp in a SQLite store, by which a store that another program overwrote is recognised.

The inode says whether another file was put in the store's place, but `cp` writes a copy into the
same file. SQLite doesn't notice that: it goes on to apply the `-wal` to a file that it doesn't fit.

So the store has a stamp: a row, whose tag is in the file's header too. The header changes only by a
checkpoint, so it has either the tag that is stored now or the one before: once a checkpoint has
brought the stored tag into the file, the next write stores a new stamp. A file with any other tag
is a copy of an earlier time.
"""

import sqlite3
from dataclasses import dataclass
from secrets import randbelow
from typing import Final

from sqlalchemy.engine import Connection

from codewalk.storage.tables import FILE_STAMP

NO_TAG: Final = 0
"""The tag of a file without a stamp."""

_MAX_TAG: Final = 2**31 - 1

_SELECT: Final = "SELECT value FROM pointers WHERE key = ?"
_DELETE: Final = "DELETE FROM pointers WHERE key = ?"
_UPSERT: Final = (
    "INSERT INTO pointers (key, value) VALUES (?, ?) "
    "ON CONFLICT (key) DO UPDATE SET value = excluded.value"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class FileStamp:
    """The stamp of a store.

    Attributes:
        number: Grows with each new stamp.
        tag: A random number from 1, in the file's header too.
        previous: The tag of the stamp before; `NO_TAG` for the first one.
    """

    number: int
    tag: int
    previous: int

    def encode(self) -> str:
        return f"{self.number} {self.tag} {self.previous}"

    @classmethod
    def decode(cls, text: str | None) -> "FileStamp | None":
        """Read a stored stamp; None without one, or for one of another form."""
        parts = (text or "").split(" ")
        if len(parts) != 3 or not all(part.isdecimal() for part in parts):
            return None
        number, tag, previous = map(int, parts)
        return cls(number=number, tag=tag, previous=previous)


def is_overwritten(
    tag_in_file: int, stored: FileStamp | None, known: FileStamp | None = None
) -> bool:
    """Return whether the file is no state of the store that it was.

    Args:
        tag_in_file: The tag in the file's header.
        stored: The stamp that is stored now.
        known: The stamp that was stored when this process last looked; None if it never did.
    """
    if stored is None:
        return tag_in_file != NO_TAG or known is not None
    # Each new stamp has a greater number.
    is_older = bool(known and stored.tag != known.tag and stored.number <= known.number)
    return is_older or tag_in_file not in (stored.tag, stored.previous)


def next_stamp(tag_in_file: int, stored: FileStamp | None) -> FileStamp | None:
    """Return the stamp to store now, None while the file hasn't got the stored one yet."""
    if stored is None:
        return FileStamp(number=1, tag=_new_tag(), previous=NO_TAG)
    if tag_in_file == stored.tag:
        return FileStamp(number=stored.number + 1, tag=_new_tag(), previous=stored.tag)
    return None


def _new_tag() -> int:
    return 1 + randbelow(_MAX_TAG)


def read_stored_stamp(connection: Connection) -> FileStamp | None:
    """Return the stamp that is stored now."""
    return FileStamp.decode(connection.exec_driver_sql(_SELECT, (FILE_STAMP,)).scalar())


def write_stamp(connection: Connection, stamp: FileStamp) -> None:
    """Store a stamp."""
    connection.exec_driver_sql(_UPSERT, (FILE_STAMP, stamp.encode()))
    connection.exec_driver_sql(f"PRAGMA user_version = {stamp.tag:d}")


def read_stamp(connection: sqlite3.Connection) -> FileStamp | None:
    """Return the stamp that a connection of the driver reads."""
    row = connection.execute(_SELECT, (FILE_STAMP,)).fetchone()
    return FileStamp.decode(row[0]) if row else None


def delete_stamp(connection: sqlite3.Connection) -> None:
    """Delete the stamp from a copy, which must not be taken for the store."""
    connection.execute(_DELETE, (FILE_STAMP,))
    connection.execute(f"PRAGMA user_version = {NO_TAG:d}")
