"""The stamp in a SQLite store, by which a store that another program overwrote is recognised.

The inode says whether another file was put in the store's place, but `cp` writes a copy into the
same file. SQLite doesn't notice that: it goes on to apply the `-wal` to a file that it doesn't fit.

So the store has a stamp. What the file alone has, without the `-wal`, changes only by a checkpoint,
so it is either the stamp that is stored now or the one before: once a checkpoint has brought the
stored stamp into the file, the next write stores a new one. A file with any other stamp is a copy
of an earlier time.
"""

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import Final
from urllib.parse import quote

from sqlalchemy.engine import Connection

from codewalk.storage.tables import FILE_STAMP

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
        tag: A random text, different for each stamp.
        previous: The tag of the stamp before; empty for the first one.
    """

    number: int
    tag: str
    previous: str

    def encode(self) -> str:
        return f"{self.number} {self.tag} {self.previous}"

    @classmethod
    def decode(cls, text: str | None) -> "FileStamp | None":
        """Read a stored stamp; None without one, or for one of another form."""
        parts = (text or "").split(" ")
        if len(parts) != 3 or not parts[0].isdecimal():
            return None
        return cls(number=int(parts[0]), tag=parts[1], previous=parts[2])


def is_overwritten(
    in_file: FileStamp | None, stored: FileStamp | None, known: FileStamp | None
) -> bool:
    """Return whether the file is no state of the store that it was.

    Args:
        in_file: The stamp that the file has without its `-wal`.
        stored: The stamp that is stored now.
        known: The stamp that was stored when this process last looked; None if it never did.
    """
    tag = in_file.tag if in_file else ""
    if stored is None:
        return bool(tag) or known is not None
    # Each new stamp has a greater number.
    is_older = bool(known and stored.tag != known.tag and stored.number <= known.number)
    return is_older or tag not in (stored.tag, stored.previous)


def next_stamp(in_file: FileStamp | None, stored: FileStamp | None) -> FileStamp | None:
    """Return the stamp to store now, None while the file hasn't got the stored one yet."""
    if stored is None:
        return FileStamp(number=1, tag=token_hex(8), previous="")
    if in_file and in_file.tag == stored.tag:
        return FileStamp(number=stored.number + 1, tag=token_hex(8), previous=stored.tag)
    return None


def read_stored_stamp(connection: Connection) -> FileStamp | None:
    """Return the stamp that is stored now."""
    return FileStamp.decode(connection.exec_driver_sql(_SELECT, (FILE_STAMP,)).scalar())


def write_stamp(connection: Connection, stamp: FileStamp) -> None:
    """Store a stamp."""
    connection.exec_driver_sql(_UPSERT, (FILE_STAMP, stamp.encode()))


def read_stamp(connection: sqlite3.Connection) -> FileStamp | None:
    """Return the stamp that a connection of the driver reads."""
    row = connection.execute(_SELECT, (FILE_STAMP,)).fetchone()
    return FileStamp.decode(row[0]) if row else None


def delete_stamp(connection: sqlite3.Connection) -> None:
    """Delete the stamp from a copy, which must not be taken for the store."""
    connection.execute(_DELETE, (FILE_STAMP,))


def read_stamp_in_file(path: Path) -> FileStamp | None:
    """Return the stamp that the file has without its `-wal`. Blocks.

    Through SQLite: on POSIX, closing any other descriptor of the file would drop the process's
    locks on it.

    Raises:
        sqlite3.Error: The file can't be read, or isn't a store.
    """
    uri = f"file:{quote(str(path))}?immutable=1"
    with closing(sqlite3.connect(uri, uri=True)) as connection:
        return read_stamp(connection)
