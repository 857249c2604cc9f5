"""The SQLite store as files: who may read them, what is in them, and what isn't touched."""

import os
import sqlite3
import stat
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from codewalk.errors import StorageError
from codewalk.secret import Secret
from codewalk.servers.roster import Roster
from codewalk.servers.rules import add
from codewalk.settings import Settings
from codewalk.storage.database import open_database
from codewalk.storage.sqlite import MAX_FULL_CHECK_BYTES
from codewalk.storage.tables import SCHEMA_VERSION
from tests.integration.storage.conftest import Stores
from tests.integration.storage.workers import profile

PASSWORD = "correct horse ☃ battery staple"

unprivileged = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.name != "posix", reason="Windows has no such modes"
)


@pytest.fixture
async def existing(sqlite_settings: Settings) -> Settings:
    """A store with one server, closed."""
    async with open_database(sqlite_settings) as database:
        stores = await Stores.on(database, sqlite_settings).unlocked()
        server = profile("http://a", basic_auth_password=Secret(PASSWORD))
        await stores.roster.update(Roster(), lambda r: add(r, server))
    return sqlite_settings


async def opening_error(settings: Settings) -> str:
    """The message with which the store refuses to open."""
    with pytest.raises(StorageError) as refused:
        async with open_database(settings):
            pass
    return refused.value.message


def snapshot(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {p.name: (p.read_bytes(), p.stat().st_mtime_ns) for p in folder.iterdir()}


def modes(folder: Path) -> dict[str, int]:
    return {p.name: stat.S_IMODE(p.stat().st_mode) for p in folder.iterdir()}


@unprivileged
async def test_only_the_owner_may_read_anything(sqlite_settings: Settings) -> None:
    umask = os.umask(0)
    try:
        settings = replace(sqlite_settings, secret_key=None)
        async with open_database(settings) as database:
            server = profile("http://a", basic_auth_password=Secret("pw"))
            stores = await Stores.on(database, settings).unlocked()
            await stores.roster.update(Roster(), lambda r: add(r, server))
            found = modes(settings.data_dir)
    finally:
        os.umask(umask)
    assert {"codewalk.db", "codewalk.db-wal", "codewalk.db-shm", "secret.key"} <= set(found)
    assert set(found.values()) == {0o600}
    assert stat.S_IMODE(settings.data_dir.stat().st_mode) == 0o700


@unprivileged
async def test_a_store_that_others_could_read_is_made_private(existing: Settings) -> None:
    existing.data_dir.chmod(0o755)
    existing.database_file.chmod(0o644)
    async with open_database(existing):
        assert modes(existing.data_dir)["codewalk.db"] == 0o600
    assert stat.S_IMODE(existing.data_dir.stat().st_mode) == 0o700


async def test_no_file_has_a_password_in_plain_text(sqlite_settings: Settings) -> None:
    settings = replace(sqlite_settings, secret_key=None)
    async with open_database(settings) as database:
        server = profile("http://a", basic_auth_password=Secret(PASSWORD))
        stores = await Stores.on(database, settings).unlocked()
        await stores.roster.update(Roster(), lambda r: add(r, server))
        opened = snapshot(settings.data_dir)
    for data, _ in (*opened.values(), *snapshot(settings.data_dir).values()):
        assert PASSWORD.encode() not in data
        assert b"battery staple" not in data


async def test_the_store_uses_wal_and_full_synchronous(existing: Settings) -> None:
    names = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
    async with open_database(existing) as database:
        found = await database.write(
            lambda c: [c.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names]
        )
    assert found == ["wal", 2, 1, 5000]


async def test_a_closed_store_is_one_file(existing: Settings) -> None:
    assert not [p.name for p in existing.data_dir.iterdir() if p.name.endswith(("-wal", "-shm"))]


async def test_a_newer_schema_is_refused_and_left_untouched(existing: Settings) -> None:
    with closing(sqlite3.connect(existing.database_file)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '0099'")
    before = snapshot(existing.data_dir)

    message = await opening_error(existing)

    assert str(existing.database_file) in message
    assert "newer" in message
    assert "0099" in message
    assert snapshot(existing.data_dir) == before


async def test_a_newer_schema_that_another_process_has_open_is_refused_too(
    existing: Settings,
) -> None:
    with closing(sqlite3.connect(existing.database_file)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0099'")
        connection.commit()
        before = existing.database_file.read_bytes()
        assert "0099" in await opening_error(existing)
        assert existing.database_file.read_bytes() == before


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda _: b"no database at all, " * 300, id="something else"),
        pytest.param(lambda data: data[:20], id="cut off in the header"),
        pytest.param(lambda data: data[: len(data) // 2], id="cut off in the middle"),
        pytest.param(lambda data: data[:4096] + b"\x5a" * 8192 + data[12288:], id="overwritten"),
        pytest.param(lambda data: b"\0" * len(data), id="zeros"),
    ],
)
async def test_a_damaged_file_is_refused_and_left_untouched(
    existing: Settings, damage: object
) -> None:
    assert callable(damage)
    existing.database_file.write_bytes(damage(existing.database_file.read_bytes()))
    before = snapshot(existing.data_dir)

    message = await opening_error(existing)

    assert str(existing.database_file) in message
    assert "damaged" in message
    assert snapshot(existing.data_dir) == before


@pytest.mark.parametrize(("table", "refused"), [("servers", True), ("health_periods", False)])
async def test_of_a_large_file_the_servers_and_pointers_are_checked(
    existing: Settings, table: str, refused: bool
) -> None:
    with closing(sqlite3.connect(existing.database_file, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE filling AS SELECT zeroblob(?)", (MAX_FULL_CHECK_BYTES,))
        root = "SELECT rootpage FROM sqlite_master WHERE name = ?"
        (page,) = connection.execute(root, (table,)).fetchone()
    with existing.database_file.open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\x5a" * 4096)
    if refused:
        assert "damaged" in await opening_error(existing)
        return
    async with open_database(existing) as database:
        assert len((await Stores.on(database, existing).roster.load()).profiles) == 1


async def test_another_programs_database_is_refused_and_left_untouched(
    sqlite_settings: Settings,
) -> None:
    sqlite_settings.data_dir.mkdir()
    with closing(sqlite3.connect(sqlite_settings.database_file)) as connection:
        connection.execute("CREATE TABLE recipes (name TEXT)")
    sqlite_settings.database_file.chmod(0o600)
    before = snapshot(sqlite_settings.data_dir)

    assert "isn't a CodeWalk store" in await opening_error(sqlite_settings)
    assert snapshot(sqlite_settings.data_dir) == before


async def test_an_empty_file_is_refused_and_left_untouched(existing: Settings) -> None:
    os.truncate(existing.database_file, 0)
    before = snapshot(existing.data_dir)

    message = await opening_error(existing)

    assert f"{existing.database_file} is empty (0 bytes)" in message
    assert "There is no backup in" in message
    assert snapshot(existing.data_dir) == before


async def test_a_first_start_that_was_killed_leaves_no_store(sqlite_settings: Settings) -> None:
    sqlite_settings.data_dir.mkdir()
    draft = sqlite_settings.database_file.with_name("codewalk.db.new")
    draft.write_bytes(b"half a store")
    async with open_database(sqlite_settings) as database:
        assert await Stores.on(database, sqlite_settings).roster.load() == Roster()
    assert not draft.exists()


async def test_a_file_that_is_missing_beside_its_wal_is_not_created_again(
    existing: Settings,
) -> None:
    existing.database_file.with_name("codewalk.db-wal").write_bytes(b"x")
    existing.database_file.unlink()
    before = snapshot(existing.data_dir)

    message = await opening_error(existing)

    assert f"{existing.database_file} is missing" in message
    assert snapshot(existing.data_dir) == before


async def test_damage_that_the_start_did_not_see_is_an_error_when_it_is_read(
    existing: Settings,
) -> None:
    async with open_database(existing) as database:
        stores = Stores.on(database, existing)
        # Past the first page, which is read already, and not through SQLite.
        with existing.database_file.open("r+b") as file:
            file.seek(4096)
            file.write(b"\x5a" * (existing.database_file.stat().st_size - 4096))
        with pytest.raises(StorageError, match="damaged") as refused:
            await stores.roster.load()
    assert refused.value.value == str(existing.database_file)


async def test_a_folder_in_place_of_the_file_is_refused(sqlite_settings: Settings) -> None:
    sqlite_settings.data_dir.mkdir()
    sqlite_settings.database_file.mkdir()
    assert str(sqlite_settings.database_file) in await opening_error(sqlite_settings)


async def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("not a folder")
    assert str(tmp_path / "data") in await opening_error(Settings(data_dir=tmp_path / "data"))


async def test_a_store_that_another_program_locks_is_busy_after_a_timeout(
    existing: Settings,
) -> None:
    async with open_database(existing) as database:
        stores = Stores.on(database, existing)
        with closing(sqlite3.connect(existing.database_file, isolation_level=None)) as holder:
            holder.execute("BEGIN IMMEDIATE")
            # Reading goes on beside it.
            roster = await stores.roster.load()
            with pytest.raises(StorageError, match="busy"):
                await stores.roster.update(roster, lambda r: add(r, profile("http://b")))
            holder.execute("ROLLBACK")
        await stores.roster.update(roster, lambda r: add(r, profile("http://b")))


async def test_the_url_can_name_another_sqlite_file(
    sqlite_settings: Settings, tmp_path: Path
) -> None:
    place = tmp_path / "odd #name%20?" / "my store.db"
    place.parent.mkdir()
    url = f"sqlite:///{str(place).replace('%', '%25').replace('#', '%23').replace('?', '%3F')}"
    settings = replace(sqlite_settings, database_url=Secret(url))
    async with open_database(settings) as database:
        assert database.name.startswith(str(tmp_path))
        await Stores.on(database, settings).roster.update(
            Roster(), lambda r: add(r, profile("http://a"))
        )
    assert not settings.database_file.exists()


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("sqlite://", "names no SQLite file"),
        ("sqlite:///:memory:", "names no SQLite file"),
        ("mysql://me:hunter2@db/x", "'mysql', which isn't supported"),
        ("me:hunter2@db/x", "isn't a database URL"),
        ("postgresql://me:hunter2@db:no-port/x", "isn't a database URL"),
    ],
)
async def test_the_error_for_an_unusable_url_does_not_repeat_its_password(
    sqlite_settings: Settings, url: str, problem: str
) -> None:
    message = await opening_error(replace(sqlite_settings, database_url=Secret(url)))
    assert problem in message
    assert "hunter2" not in message


async def test_a_restored_copy_without_wal_opens(existing: Settings, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    with closing(sqlite3.connect(existing.database_file)) as connection:
        connection.execute("VACUUM INTO ?", [str(copy)])
    copy.replace(existing.database_file)
    async with open_database(existing) as database:
        assert len((await Stores.on(database, existing).roster.load()).profiles) == 1
        mode = await database.read(lambda c: c.exec_driver_sql("PRAGMA journal_mode").scalar())
    assert mode == "wal"


async def test_the_version_of_the_schema_is_in_the_file(existing: Settings) -> None:
    with closing(sqlite3.connect(existing.database_file)) as connection:
        found = connection.execute("SELECT version_num FROM alembic_version").fetchall()
    assert found == [(SCHEMA_VERSION,)]
