"""The names of backups, and which of them are kept."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from codewalk.storage.backups import (
    Backup,
    Contents,
    backup_path,
    choose_obsolete,
    list_backups,
    newest_backup,
)

NOW = datetime(2026, 2, 9, 20, 51, 50, tzinfo=UTC)


def obsolete(servers: str) -> str:
    """The numbers of the backups to delete, of some with these servers, newest first."""
    contents = [
        Contents(backup=Backup(path=Path(str(number)), at=NOW), servers=name)
        for number, name in enumerate(servers)
    ]
    return "".join(str(backup.path) for backup in choose_obsolete(contents))


def test_oldest_backups_over_the_limit_are_deleted() -> None:
    assert obsolete("") == ""
    assert obsolete("abc") == ""
    assert obsolete("abcd") == "3"
    assert obsolete("abcde") == "43"
    assert obsolete("aaaa") == "3"


def test_backups_that_repeat_a_newer_one_are_deleted_before_others() -> None:
    assert obsolete("aaab") == "2"
    assert obsolete("aabc") == "1"
    assert obsolete("abbc") == "2"
    assert obsolete("abab") == "3"


def test_backups_are_listed_by_the_time_in_their_names(tmp_path: Path) -> None:
    store = tmp_path / "codewalk.db"
    folder = tmp_path / "backups"
    assert newest_backup(folder, store) is None
    folder.mkdir()
    expected = [
        Backup(path=backup_path(folder, store, at, rescued=rescued), at=at, rescued=rescued)
        for at, rescued in [(NOW, False), (NOW - timedelta(days=1), True)]
    ]
    others = ("notes.txt", ".codewalk-20260209T205150Z.db.part", "other-20260209T205150Z.db")
    for name in (*others, *(backup.path.name for backup in expected)):
        (folder / name).touch()
    assert list_backups(folder, store) == expected
    assert newest_backup(folder, store) == expected[0]
