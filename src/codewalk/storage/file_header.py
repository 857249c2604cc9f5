"""The header of a SQLite file, read from the file alone, without its `-wal`.

SQLite itself can't read it while another process is in the middle of a checkpoint: then the rest of
the file doesn't fit. And no file of a store may be opened here: on POSIX, closing any descriptor of
a file drops the process's locks on it. So the header is read through a descriptor of SQLite's own.
"""

import os
import struct
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

HEADER_BYTES: Final = 100
_MAGIC: Final = b"SQLite format 3\0"
_DESCRIPTORS: Final = Path("/dev/fd")
"""Lists the descriptors of this process, on Linux, macOS and the BSDs."""


class FileId(NamedTuple):
    """The device and the inode of a file, which a name may lead to or not."""

    device: int
    inode: int

    @classmethod
    def of(cls, path: Path) -> "FileId | None":
        """Return those of the file at a path, None without one."""
        try:
            status = os.stat(path)  # noqa: PTH116 - twice as fast, several times for each write
        except OSError:
            return None
        return cls(status.st_dev, status.st_ino)


class FileHeader(NamedTuple):
    """The header of a SQLite file: its size in bytes by its own account, and a number.

    `user_version` is SQLite's name for a number that means nothing to SQLite itself.
    """

    size: int
    user_version: int


def parse_header(data: bytes) -> FileHeader | None:
    """Return the header of a SQLite file; None for other data."""
    if len(data) < HEADER_BYTES or not data.startswith(_MAGIC):
        return None
    page_size, pages = struct.unpack_from(">H", data, 16)[0], struct.unpack_from(">I", data, 28)[0]
    (user_version,) = struct.unpack_from(">i", data, 60)
    return FileHeader(
        size=pages * (65_536 if page_size == 1 else page_size), user_version=user_version
    )


def read_header_bytes(path: Path, file_id: FileId) -> bytes | None:
    """Return the beginning of a file that this process has open through SQLite. Blocks.

    Returns:
        At most `HEADER_BYTES` bytes; None if they can't be read on this system.
    """
    if sys.platform == "win32":
        with suppress(OSError), path.open("rb") as file:
            return file.read(HEADER_BYTES)
        return None
    with suppress(OSError):
        for name in os.listdir(_DESCRIPTORS):  # noqa: PTH208 - names alone are enough
            descriptor = int(name)
            with suppress(OSError):
                if _id_of(descriptor) == file_id:
                    data = os.pread(descriptor, HEADER_BYTES, 0)
                    # Another thread may have closed it, and its number may be another file's now.
                    if _id_of(descriptor) == file_id:
                        return data
    return None


def _id_of(descriptor: int) -> FileId:
    status = os.fstat(descriptor)
    return FileId(status.st_dev, status.st_ino)
