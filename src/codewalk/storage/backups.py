"""The backups of a SQLite store as files: their names, which there are, how to restore one.

`codewalk.storage.backup_writer` writes them.
"""

import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Generic, TypeVar

BACKUP_FOLDER: Final = "backups"
"""The name of the folder for backups in the data folder."""

MAX_BACKUPS: Final = 3
"""Backups that are kept, besides rescued copies."""

_TIME: Final = "%Y%m%dT%H%M%SZ"
_NAME: Final = re.compile(r"-(?P<rescued>rescued-)?(?P<time>\d{8}T\d{6}Z)\.db")

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Backup:
    """A copy of a store.

    Attributes:
        path: The file.
        at: When it was made.
        rescued: Whether it was made because the store was lost while CodeWalk used it; such a copy
            is never deleted.
    """

    path: Path
    at: datetime
    rescued: bool = False


def backup_path(folder: Path, store: Path, at: datetime, *, rescued: bool = False) -> Path:
    """Return the path of a backup of `store` that is made at this time."""
    kind = "rescued-" if rescued else ""
    return folder / f"{store.stem}-{kind}{at.astimezone(UTC):{_TIME}}.db"


def list_backups(folder: Path, store: Path) -> list[Backup]:
    """Return the backups of `store`, newest first; none where the folder can't be read."""
    found = []
    with suppress(OSError):
        for path in folder.iterdir():
            match = _NAME.fullmatch(path.name.removeprefix(store.stem))
            if match and path.name.startswith(store.stem):
                at = datetime.strptime(match["time"], _TIME).replace(tzinfo=UTC)
                found.append(Backup(path=path, at=at, rescued=bool(match["rescued"])))
    return sorted(found, key=lambda backup: (backup.at, backup.rescued), reverse=True)


def newest_backup(folder: Path, store: Path) -> Backup | None:
    """Return the newest backup of `store`, None without one."""
    return next(iter(list_backups(folder, store)), None)


def describe_restore(backup: Backup, store: Path) -> str:
    """Return how to restore a backup, in a sentence for a person."""
    time, steps = f"{backup.at:%Y-%m-%d %H:%M} UTC", restore_steps(backup.path, store)
    return f"To restore the backup of {time}, {steps}."


def restore_steps(backup: Path, store: Path) -> str:
    """Return the steps of a restoration, as the end of a sentence."""
    return (
        f"stop CodeWalk, delete any {store.name}-wal and {store.name}-shm beside the store, and "
        f"copy {backup} to {store}"
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Contents(Generic[T]):
    """A backup and a value that is the same for backups with the same servers."""

    backup: Backup
    servers: T


def choose_obsolete(contents: Iterable[Contents[T]], *, limit: int = MAX_BACKUPS) -> list[Backup]:
    """Return the backups over the limit: repeated ones first, then the oldest.

    Several starts in a row must not push out the only backup with servers that are lost since.

    Args:
        contents: The backups with what is in them, newest first.
        limit: How many are kept.
    """
    kept, obsolete = list(contents), []
    while len(kept) > limit:
        repeated = (
            n for n in range(len(kept) - 1, 0, -1) if kept[n].servers == kept[n - 1].servers
        )
        obsolete.append(kept.pop(next(repeated, len(kept) - 1)).backup)
    return obsolete
