"""A store that is deleted, replaced or overwritten while it is open, and its backups."""

import asyncio
import os
import shutil
import sqlite3
import stat
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from functools import partial
from pathlib import Path

import pytest

from codewalk.errors import StorageError
from codewalk.secret import Secret
from codewalk.servers.profile import ServerProfile
from codewalk.servers.roster import Roster
from codewalk.servers.rules import add
from codewalk.settings import Settings
from codewalk.storage.backups import Backup, list_backups
from codewalk.storage.database import Database, open_database
from codewalk.storage.sqlite_database import THREADS
from tests.integration.storage.conftest import Stores
from tests.integration.storage.workers import Workers, profile

pytestmark = pytest.mark.skipif(os.name != "posix", reason="Windows deletes no open files")


@pytest.fixture
async def backup(sqlite_settings: Settings, tmp_path: Path) -> Path:
    """A copy of a closed store with the server `old`, which the store has too."""
    async with open_database(sqlite_settings) as database:
        await put(database, sqlite_settings, profile("http://old"))
    target = tmp_path / "my-backup.db"
    shutil.copy(sqlite_settings.database_file, target)
    return target


async def put(database: Database, settings: Settings, *servers: ServerProfile) -> None:
    stores = await Stores.on(database, settings).unlocked()
    for server in servers:
        await stores.roster.update(Roster(), partial(add, profile=server))


async def urls(database: Database, settings: Settings) -> list[str]:
    roster = await Stores.on(database, settings).roster.load()
    return [p.url for p in roster.profiles]


async def stored_urls(settings: Settings) -> list[str]:
    """The servers that a later start finds."""
    async with open_database(settings) as database:
        return await urls(database, settings)


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Database]:
    """A store as the app has it open, with the servers `old` and `new`."""
    async with open_database(settings) as database:
        await database.back_up()
        await put(database, settings, profile("http://new"))
        yield database


async def refusal(database: Database, settings: Settings) -> str:
    """The message with which a write is refused."""
    with pytest.raises(StorageError) as refused:
        await put(database, settings, profile("http://lost"))
    return refused.value.message


async def backups(settings: Settings) -> list[Backup]:
    folder = settings.data_dir / "backups"
    return await asyncio.to_thread(list_backups, folder, settings.database_file)


async def rescued_copy(settings: Settings) -> Path:
    (copy,) = [backup.path for backup in await backups(settings) if backup.rescued]
    return copy


def urls_in(path: Path) -> list[str]:
    with closing(sqlite3.connect(f"file:{path}?immutable=1", uri=True)) as connection:
        rows = connection.execute("SELECT url FROM servers ORDER BY position")
        return [row[0] for row in rows]


def side_file(settings: Settings, suffix: str) -> Path:
    return settings.database_file.with_name(f"codewalk.db{suffix}")


async def test_a_deleted_store_refuses_writes_and_its_data_is_copied(
    sqlite_settings: Settings, backup: Path
) -> None:
    async with running(sqlite_settings) as database:
        sqlite_settings.database_file.unlink()
        message = await refusal(database, sqlite_settings)
        assert f"{sqlite_settings.database_file} was deleted or moved away" in message
        assert "Nothing can be saved" in message
        assert database.problem is not None
        # Each of the connections goes on with the open file, whichever is used.
        for _ in range(2 * THREADS):
            assert await urls(database, sqlite_settings) == ["http://old", "http://new"]
    rescued = await rescued_copy(sqlite_settings)
    assert urls_in(rescued) == ["http://old", "http://new"]
    assert stat.S_IMODE(rescued.stat().st_mode) == 0o600
    assert not sqlite_settings.database_file.exists()


async def test_a_store_that_is_moved_back_is_used_again(
    sqlite_settings: Settings, backup: Path, tmp_path: Path
) -> None:
    async with running(sqlite_settings) as database:
        sqlite_settings.database_file.rename(tmp_path / "elsewhere.db")
        assert "Move it back" in await refusal(database, sqlite_settings)
        (tmp_path / "elsewhere.db").rename(sqlite_settings.database_file)
        await put(database, sqlite_settings, profile("http://newer"))
        assert database.problem is None
    assert await stored_urls(sqlite_settings) == ["http://old", "http://new", "http://newer"]


async def test_a_backup_that_replaces_the_store_is_what_the_next_start_has(
    sqlite_settings: Settings, backup: Path
) -> None:
    async with running(sqlite_settings) as database:
        backup.replace(sqlite_settings.database_file)
        message = await refusal(database, sqlite_settings)
        assert "was replaced by another file" in message
        assert await urls(database, sqlite_settings) == ["http://old", "http://new"]
    rescued = await rescued_copy(sqlite_settings)
    assert urls_in(rescued) == ["http://old", "http://new"]
    assert not side_file(sqlite_settings, "-wal").exists()
    assert await stored_urls(sqlite_settings) == ["http://old"]


@pytest.mark.parametrize("checkpointed", [False, True])
async def test_a_backup_that_is_copied_into_the_store_is_what_the_next_start_has(
    sqlite_settings: Settings, backup: Path, checkpointed: bool
) -> None:
    async with running(sqlite_settings) as database:
        if checkpointed:
            checkpoint(sqlite_settings)
            await put(database, sqlite_settings, profile("http://newer"))
        shutil.copy(backup, sqlite_settings.database_file)
        message = await refusal(database, sqlite_settings)
        assert "was overwritten by another program" in message
        with pytest.raises(StorageError, match="overwritten"):
            await urls(database, sqlite_settings)
    assert sqlite_settings.database_file.read_bytes() == backup.read_bytes()
    assert not side_file(sqlite_settings, "-wal").exists()
    assert side_file(sqlite_settings, "-wal.old").exists()
    assert await stored_urls(sqlite_settings) == ["http://old"]


async def test_codewalks_own_backup_of_this_start_can_be_copied_into_the_store(
    sqlite_settings: Settings, backup: Path
) -> None:
    async with running(sqlite_settings) as database:
        (own,) = await backups(sqlite_settings)
        shutil.copy(own.path, sqlite_settings.database_file)
        assert "overwritten" in await refusal(database, sqlite_settings)
    assert await stored_urls(sqlite_settings) == ["http://old"]


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda path: os.truncate(path, 0), id="emptied"),
        pytest.param(lambda path: path.write_bytes(b"no store " * 5000), id="something else"),
        pytest.param(lambda path: os.truncate(path, 100), id="cut off"),
    ],
)
async def test_a_store_that_is_damaged_while_it_is_open_refuses_writes_and_stays_as_it_is(
    sqlite_settings: Settings, backup: Path, damage: Callable[[Path], object]
) -> None:
    async with running(sqlite_settings) as database:
        damage(sqlite_settings.database_file)
        damaged = sqlite_settings.database_file.read_bytes()
        message = await refusal(database, sqlite_settings)
        assert "overwritten by another program" in message
        assert "restore a backup" in message
    assert sqlite_settings.database_file.read_bytes() == damaged
    (own,) = await backups(sqlite_settings)
    with pytest.raises(StorageError) as refused:
        await stored_urls(sqlite_settings)
    assert str(own.path) in refused.value.message


@pytest.mark.parametrize("suffix", ["-wal", "-shm"])
async def test_a_deleted_side_file_refuses_writes_and_a_restart_has_everything(
    sqlite_settings: Settings, backup: Path, suffix: str
) -> None:
    async with running(sqlite_settings) as database:
        side_file(sqlite_settings, suffix).unlink()
        message = await refusal(database, sqlite_settings)
        assert "lost its -wal or -shm file" in message
        assert "Restart CodeWalk" in message
        assert await urls(database, sqlite_settings) == ["http://old", "http://new"]
    assert await stored_urls(sqlite_settings) == ["http://old", "http://new"]


async def test_a_write_is_not_acknowledged_if_the_store_is_deleted_during_it(
    sqlite_settings: Settings, backup: Path
) -> None:
    async with running(sqlite_settings) as database:

        def work(_: object) -> str:
            sqlite_settings.database_file.unlink()
            return "acknowledged"

        with pytest.raises(StorageError, match="deleted"):
            await database.write(work)


async def test_checkpoints_of_other_processes_and_new_times_disturb_nobody(
    sqlite_settings: Settings, backup: Path
) -> None:
    async with (
        running(sqlite_settings) as database,
        open_database(sqlite_settings) as other,
    ):
        for number in range(4):
            checkpoint(sqlite_settings)
            os.utime(sqlite_settings.database_file)
            await urls(other, sqlite_settings)
            for each in (database, other)[:: 1 if number % 2 else -1]:
                await put(each, sqlite_settings, profile(f"http://{number}-{id(each)}"))
            checkpoint(sqlite_settings)
        assert len(await urls(database, sqlite_settings)) == 10
        assert (database.problem, other.problem) == (None, None)
    assert len(await stored_urls(sqlite_settings)) == 10


async def test_checkpoints_that_are_under_way_are_not_taken_for_damage(
    sqlite_settings: Settings, backup: Path
) -> None:
    """In the middle of a checkpoint, the file without its `-wal` looks damaged to SQLite."""
    async with running(sqlite_settings) as database, Workers(sqlite_settings) as workers:
        writer = await workers.start("fill", "150")
        await writer.ready()
        await writer.go()
        async with asyncio.TaskGroup() as group:
            end = group.create_task(writer.finish(), name="end of the writer")
            while not end.done():
                await urls(database, sqlite_settings)
                await asyncio.sleep(0)
        await put(database, sqlite_settings, profile("http://newer"))
        assert database.problem is None
        assert end.result() == ["filled"]


def checkpoint(settings: Settings) -> None:
    with closing(sqlite3.connect(settings.database_file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


async def test_a_wal_that_is_left_from_another_file_is_refused(
    sqlite_settings: Settings, backup: Path, tmp_path: Path
) -> None:
    """As after a crash, where a backup is put back without deleting the `-wal`."""
    async with running(sqlite_settings):
        wal = side_file(sqlite_settings, "-wal").read_bytes()
    shutil.copy(backup, sqlite_settings.database_file)
    side_file(sqlite_settings, "-wal").write_bytes(wal)
    with pytest.raises(StorageError) as refused:
        await stored_urls(sqlite_settings)
    assert "codewalk.db-wal belongs to another file" in refused.value.message
    assert sqlite_settings.database_file.read_bytes() == backup.read_bytes()
    side_file(sqlite_settings, "-wal").unlink()
    side_file(sqlite_settings, "-shm").unlink(missing_ok=True)
    assert await stored_urls(sqlite_settings) == ["http://old"]


async def test_each_start_makes_a_backup_and_three_are_kept(
    sqlite_settings: Settings, backup: Path
) -> None:
    for number in range(5):
        async with open_database(sqlite_settings) as database:
            await put(database, sqlite_settings, profile(f"http://{number}"))
            await database.back_up()
            await age_backups(sqlite_settings)
    found = await backups(sqlite_settings)
    assert [urls_in(b.path)[-1] for b in found] == ["http://4", "http://3", "http://2"]
    folder = sqlite_settings.data_dir / "backups"
    files = await asyncio.to_thread(lambda: list(folder.iterdir()))
    assert [stat.S_IMODE(path.stat().st_mode) for path in files] == [0o600] * 3
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


async def age_backups(settings: Settings) -> None:
    """Give each backup a name that is a day older: they are named by the second."""
    for one in reversed(await backups(settings)):
        day = f"{one.at:%Y%m%d}"
        one.path.rename(one.path.with_name(one.path.name.replace(day, f"{int(day) - 1:08}")))


async def test_starts_without_a_change_do_not_push_out_the_backup_before_a_loss(
    sqlite_settings: Settings, backup: Path
) -> None:
    async with open_database(sqlite_settings) as database:
        await database.back_up()
        await database.write(lambda c: c.exec_driver_sql("DELETE FROM servers"))
    for _ in range(4):
        await age_backups(sqlite_settings)
        async with open_database(sqlite_settings) as database:
            await database.back_up()
    assert [urls_in(b.path) for b in await backups(sqlite_settings)] == [[], [], ["http://old"]]


async def test_a_restored_backup_opens_and_its_passwords_were_sealed(
    sqlite_settings: Settings,
) -> None:
    async with open_database(sqlite_settings) as database:
        server = profile("http://a", basic_auth_password=Secret("battery staple"))
        await put(database, sqlite_settings, server)
        await database.back_up()
    (own,) = await backups(sqlite_settings)
    assert b"battery staple" not in own.path.read_bytes()
    shutil.copy(own.path, sqlite_settings.database_file)
    async with open_database(sqlite_settings) as database:
        stores = await Stores.on(database, sqlite_settings).unlocked()
        (stored,) = (await stores.roster.load()).profiles
        assert stored.basic_auth_password is not None
        assert stored.basic_auth_password.reveal() == "battery staple"


async def test_a_backup_that_cannot_be_written_disturbs_nobody(
    sqlite_settings: Settings, backup: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (sqlite_settings.data_dir / "backups").write_text("no folder")
    async with running(sqlite_settings) as database:
        assert await urls(database, sqlite_settings) == ["http://old", "http://new"]
    assert "can't be backed up" in caplog.text


@pytest.mark.skipif(sys.platform == "win32", reason="Windows limits no sizes of files")
async def test_a_full_disk_keeps_the_backups_of_before(
    sqlite_settings: Settings, backup: Path, caplog: pytest.LogCaptureFixture
) -> None:
    import resource

    async with running(sqlite_settings) as database:
        (before,) = await backups(sqlite_settings)
        await database.write(
            lambda c: c.exec_driver_sql("CREATE TABLE filling AS SELECT zeroblob(2000000)")
        )
        checkpoint(sqlite_settings)  # what is written from now on is small
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
        try:
            await database.back_up()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert "can't be backed up" in caplog.text
        assert await backups(sqlite_settings) == [before]
        left = await asyncio.to_thread(os.listdir, sqlite_settings.data_dir / "backups")
        assert left == [before.path.name]
        await put(database, sqlite_settings, profile("http://newer"))


async def test_a_new_store_beside_old_backups_is_announced(
    sqlite_settings: Settings, backup: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(sqlite_settings):
        pass
    sqlite_settings.database_file.unlink()
    assert await stored_urls(sqlite_settings) == []
    assert "There was no store; an empty one was created" in caplog.text
    (own,) = await backups(sqlite_settings)
    assert str(own.path) in caplog.text
