"""The doctor's checks: what is wrong is named with what helps, and nothing is changed."""

import asyncio
import sqlite3
import stat
from dataclasses import replace
from pathlib import Path
from time import monotonic

import pytest

from codewalk.app.composition import open_app
from codewalk.cli.doctor import DoctorCheck, run_checks
from codewalk.cli.instance import OpenStore, single_instance
from codewalk.secret import Secret
from codewalk.settings import Settings
from codewalk.storage.database import open_database
from codewalk.storage.keyring import Keyring, SystemKeyring
from codewalk.storage.roster import RosterStore
from codewalk.storage.tables import SCHEMA_VERSION
from codewalk.storage.vault import Vault
from tests.fake_keyring import FakeBackend, FakeKeyring, wait_for_keyring_threads
from tests.fakes import profile

SHORT = 0.05
"""Seconds, where the keyring can't answer."""


def snapshot(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Return the mode and the content of each file below a folder, and of the folder."""
    paths = [folder, *sorted(folder.rglob("*"))]
    return {
        str(path): (stat.S_IMODE(path.stat().st_mode), path.read_bytes() if path.is_file() else b"")
        for path in paths
        if path.exists()
    }


async def store_password(settings: Settings, keyring: Keyring) -> None:
    """Create a store with one server and its password, under a key in `keyring`."""
    async with open_database(settings) as database:
        vault = Vault(settings, keyring=keyring)
        await vault.unlock_to_seal([])
        store = RosterStore(database, vault)
        server = profile(basic_auth_enabled=True, basic_auth_password=Secret("hunter2"))
        empty = await store.load()
        await store.update(empty, lambda roster: replace(roster, profiles=(server,)))


async def check(settings: Settings, keyring: Keyring | None = None) -> dict[str, DoctorCheck]:
    checks = await run_checks(settings, keyring=keyring or FakeKeyring())
    return {result.name: result for result in checks}


async def test_nothing_is_created_where_nothing_exists(settings: Settings) -> None:
    keyring = FakeKeyring()
    checks = await check(settings, keyring)
    assert "not created yet" in checks["store"].detail
    assert "not created yet" in checks["secret key"].detail
    assert not settings.data_dir.exists()
    assert keyring.entries == {}


async def test_readable_passwords_are_counted(settings: Settings) -> None:
    keyring = FakeKeyring()
    await store_password(settings, keyring)
    checks = await check(settings, keyring)
    assert checks["store"] == DoctorCheck(
        name="store",
        ok=True,
        detail=f"{settings.database_file}, schema {SCHEMA_VERSION}, "
        "servers: 1, passwords: 1, all readable",
    )
    assert checks["secret key"].detail == "in the system keyring"


async def test_backups_are_named_with_their_times(settings: Settings) -> None:
    assert "none in" in (await check(settings))["backups"].detail
    async with open_database(settings) as database:
        await database.back_up()
    backups = (await check(settings))["backups"]
    assert backups.ok
    (file,) = (settings.data_dir / "backups").glob("*.db")
    assert f"{file.name} (20" in backups.detail
    (settings.data_dir / "backups").chmod(0o755)
    file.chmod(0o644)
    folder = (await check(settings))["data folder"]
    assert not folder.ok
    assert f"backups (0755), {file.name} (0644)" in folder.detail


async def test_store_that_is_not_the_running_apps_any_more_is_reported(
    settings: Settings,
) -> None:
    def check_beside(inode: int) -> DoctorCheck:
        with single_instance(settings) as instance:
            instance.record_url("http://127.0.0.1:4090/")
            path, device = settings.database_file, settings.database_file.stat().st_dev
            instance.record_store(OpenStore(path=str(path), device=device, inode=inode))
            return asyncio.run(check(settings))["app"]

    await store_password(settings, FakeKeyring())
    inode = settings.database_file.stat().st_ino
    assert (await asyncio.to_thread(check_beside, inode)).ok
    other = await asyncio.to_thread(check_beside, inode + 1)
    assert not other.ok
    assert "isn't the file that it has open any more" in other.detail


async def test_hanging_keyring_is_reported_in_time_and_nothing_is_changed(
    settings: Settings,
) -> None:
    backend = FakeBackend()
    await store_password(settings, SystemKeyring(find_backend=lambda: backend))
    before, entries = snapshot(settings.data_dir), dict(backend.entries)
    backend.gate.clear()
    hanging = SystemKeyring(find_backend=lambda: backend, timeout=SHORT)
    started = monotonic()
    checks = await check(settings, hanging)
    assert monotonic() - started < 20
    for name in ("store", "secret key"):
        assert not checks[name].ok
        assert f"the system keyring didn't answer within {SHORT:g} s" in checks[name].detail
        assert "Unlock it and try again, or set CODEWALK_SECRET_KEY." in checks[name].detail
    assert snapshot(settings.data_dir) == before
    backend.gate.set()
    wait_for_keyring_threads()
    assert backend.entries == entries
    readable = await check(settings, SystemKeyring(find_backend=lambda: backend))
    assert readable["store"].ok


async def test_locked_keyring_without_a_store_is_reported_too(settings: Settings) -> None:
    keyring = FakeKeyring()
    keyring.unavailable = "is locked"
    checks = await check(settings, keyring)
    assert not checks["secret key"].ok
    assert "the system keyring is locked" in checks["secret key"].detail
    assert checks["store"].ok
    assert not settings.data_dir.exists()


async def test_password_under_another_key_is_reported(settings: Settings) -> None:
    await store_password(settings, FakeKeyring())
    other = Settings(data_dir=settings.data_dir, secret_key=Secret("another key"))
    checks = await check(other)
    assert not checks["store"].ok
    assert "was stored under another key" in checks["store"].detail
    assert checks["secret key"].detail == "from CODEWALK_SECRET_KEY"


async def test_files_that_others_can_read_are_named_and_left_as_they_are(
    settings: Settings,
) -> None:
    await store_password(settings, FakeKeyring(forgetful=True))
    for path in (settings.data_dir / "secret.key", settings.database_file):
        path.chmod(0o644)
    settings.data_dir.chmod(0o755)
    before = snapshot(settings.data_dir)
    folder = (await check(settings))["data folder"]
    assert not folder.ok
    for name in ("data (0755)", "secret.key (0644)", "codewalk.db (0644)"):
        assert name in folder.detail
    assert snapshot(settings.data_dir) == before


async def test_store_of_another_version_is_not_migrated(settings: Settings) -> None:
    await store_password(settings, FakeKeyring())
    await set_schema_version(settings, "0001")
    before = snapshot(settings.data_dir)
    store = (await check(settings))["store"]
    assert snapshot(settings.data_dir) == before
    assert store.ok
    assert store.detail.endswith(f", schema 0001; the next command upgrades it to {SCHEMA_VERSION}")
    await set_schema_version(settings, "9999")
    store = (await check(settings))["store"]
    assert not store.ok
    assert "is from a newer CodeWalk" in store.detail


async def set_schema_version(settings: Settings, version: str) -> None:
    def update() -> None:
        connection = sqlite3.connect(settings.database_file)
        with connection:
            connection.execute("UPDATE alembic_version SET version_num = ?", (version,))
        connection.close()

    await asyncio.to_thread(update)


async def test_database_that_cannot_be_reached_is_reported(
    settings: Settings, tmp_path: Path
) -> None:
    url = Secret(f"postgresql://nobody:s3cret@127.0.0.1:1/none?passfile={tmp_path}/none")
    remote = Settings(data_dir=settings.data_dir, database_url=url)
    store = (await check(remote))["store"]
    assert not store.ok
    assert "can't be reached" in store.detail
    assert "s3cret" not in store.detail


@pytest.mark.parametrize("running", [False, True])
async def test_app_is_reported_as_running_or_not(settings: Settings, running: bool) -> None:
    def check_beside() -> DoctorCheck:
        with single_instance(settings) as instance:
            instance.record_url("http://127.0.0.1:4090/")
            return asyncio.run(check(settings))["app"]

    if running:
        assert "running at http://127.0.0.1:4090/" in (await asyncio.to_thread(check_beside)).detail
    else:
        assert (await check(settings))["app"].detail == "not running"


async def test_store_is_shared_with_a_running_app(settings: Settings) -> None:
    async with open_app(settings) as app:
        await app.add_server("http://devbox:4096", check=False)
        assert (await check(settings))["store"].ok
