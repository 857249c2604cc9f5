"""The migrations make what the tables say, and a store that doesn't need them never loads them."""

import asyncio
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, inspect
from sqlalchemy.engine import Connection

from codewalk.errors import StorageError
from codewalk.history.period import DAY, EPOCH
from codewalk.servers.health_check import DEFAULT_SETTINGS
from codewalk.servers.profile import NotifySetting
from codewalk.settings import Settings
from codewalk.storage.database import Database, open_database
from codewalk.storage.hook_outbox import HookOutbox
from codewalk.storage.migrate import load_migrations
from codewalk.storage.reports import ReportStore
from codewalk.storage.tables import METADATA, SCHEMA_VERSION
from tests.integration.storage.conftest import Stores
from tests.integration.storage.workers import ROOT


async def test_the_migrations_create_the_tables(stores: Stores) -> None:
    def differences(connection: Connection) -> object:
        return compare_metadata(MigrationContext.configure(connection), METADATA)

    assert await stores.database.read(differences) == []


def test_the_newest_migration_is_the_schemas_version() -> None:
    migrations = load_migrations()
    assert migrations.scripts[-1].revision == SCHEMA_VERSION
    assert migrations.directory.get_heads() == [SCHEMA_VERSION]


async def test_a_newer_schema_is_refused(settings: Settings) -> None:
    async with open_database(settings) as database:
        await _execute(database, "UPDATE alembic_version SET version_num = '0099'")
    with pytest.raises(StorageError, match=r"newer.*0099"):
        async with open_database(settings):
            pass


async def test_a_migration_that_fails_changes_nothing(settings: Settings) -> None:
    async with open_database(settings) as database:
        # As if there were no schema yet but for the last table of the first, over which it then
        # stumbles.
        others = METADATA.tables.keys() - {"servers", "server_state"}
        await _execute(
            database,
            "DELETE FROM alembic_version",
            *(f"DROP TABLE {name}" for name in others),
            "ALTER TABLE servers RENAME TO former",
        )
        with pytest.raises(StorageError, match="already exists"):
            async with open_database(settings):
                pass
        names = await database.read(lambda c: inspect(c).get_table_names())
    assert set(names) == {"alembic_version", "former", "server_state"}


async def test_a_store_of_the_first_schema_keeps_its_data(
    sqlite_settings: Settings,
) -> None:
    await asyncio.to_thread(_make_first_store, sqlite_settings)
    async with open_database(sqlite_settings) as database:
        stores = Stores.on(database, sqlite_settings)
        (server,) = (await stores.roster.load()).profiles
        status = (await stores.health.load())["a"]
        history = await stores.history.load("a", EPOCH, (EPOCH, EPOCH + DAY), by_minute=True)
        assert (history.periods, history.old_minutes) == ([], {})
    assert (server.id, server.label, server.health_check) == ("a", "A", DEFAULT_SETTINGS)
    assert (status.version, status.successes) == ("1.18.33", 0)


async def test_the_setting_for_notifications_survives_its_new_name(
    sqlite_settings: Settings,
) -> None:
    await asyncio.to_thread(
        _make_store, sqlite_settings, "0006", "UPDATE servers SET tell_me='off'"
    )
    async with open_database(sqlite_settings) as database:
        (server,) = (await Stores.on(database, sqlite_settings).roster.load()).profiles
    assert server.notify is NotifySetting.OFF


async def test_what_was_reported_survives_the_new_names_of_its_keys(
    sqlite_settings: Settings,
) -> None:
    await asyncio.to_thread(
        _make_store,
        sqlite_settings,
        "0007",
        "INSERT INTO server_state VALUES"
        " ('told_down::a', 'a', CAST('1970-01-02T00:00:00+00:00' AS BLOB), 1)",
        "INSERT INTO server_state VALUES ('told_version::a', 'a', X'31', 1)",
        "INSERT INTO server_state VALUES ('selected_model::a', 'a', X'31', 1)",
    )
    async with open_database(sqlite_settings) as database:
        stores = Stores.on(database, sqlite_settings)
        keys = [size.key for size in await stores.state.list("a")]
        assert keys == ["reported_down::a", "reported_version::a", "selected_model::a"]
        assert await ReportStore(database, HookOutbox(database)).load() == {"a": EPOCH + DAY}


async def test_lists_stored_under_an_empty_directory_are_dropped_and_no_others(
    sqlite_settings: Settings,
) -> None:
    keys = (
        "cached_models::a",
        "cached_sessions::a::",
        "cached_sessions::a::/srv",
        "current_session_id::a::",
        "current_session_id::a::/srv",
        "selected_model::a",
    )
    insert = "INSERT INTO server_state VALUES ('{}', 'a', X'31', 1)"
    statements = [insert.format(key) for key in keys]
    await asyncio.to_thread(_make_store, sqlite_settings, "0008", *statements)
    async with open_database(sqlite_settings) as database:
        sizes = await Stores.on(database, sqlite_settings).state.list("a")
    assert [size.key for size in sizes] == [key for key in keys if not key.endswith("::")]


def _make_store(settings: Settings, version: str, *statements: str) -> None:
    """A store of an older release with one server, and what `statements` make of it."""
    _make_first_store(settings)
    migrations = load_migrations()
    versions = [script.revision for script in migrations.scripts]
    engine = create_engine(f"sqlite:///{settings.data_dir / 'codewalk.db'}")
    with engine.begin() as connection:
        upto = migrations.scripts[: versions.index(version) + 1]
        replace(migrations, scripts=upto).run(connection)
        for statement in statements:
            connection.exec_driver_sql(statement)
    engine.dispose()


def _make_first_store(settings: Settings) -> None:
    everything = load_migrations()
    first = replace(everything, scripts=everything.scripts[:1])
    settings.data_dir.mkdir(mode=0o700)
    engine = create_engine(f"sqlite:///{settings.data_dir / 'codewalk.db'}")
    with engine.begin() as connection:
        first.run(connection)
        connection.exec_driver_sql(
            "INSERT INTO servers VALUES"
            " ('a', 0, 'http://a:4096', 'A', 'a', 0, 'opencode', NULL, 0, 1, 2)"
        )
        connection.exec_driver_sql(
            "INSERT INTO server_health VALUES ('a', 'healthy', 'ok', NULL, '1.18.33', 3.5, 1, 1, 0)"
        )
    engine.dispose()


async def _execute(database: Database, *statements: str) -> None:
    def execute(connection: Connection) -> None:
        for statement in statements:
            connection.exec_driver_sql(statement)

    await database.write(execute)


def test_a_store_that_is_up_to_date_loads_nothing_heavy(tmp_path: Path) -> None:
    script = """
import asyncio, sys
from codewalk.settings import Settings
from codewalk.storage.database import Database, open_database
from codewalk.storage.health import HealthStore
from codewalk.storage.roster import RosterStore
from codewalk.storage.vault import Vault

async def main():
    settings = Settings.from_environment()
    async with open_database(settings) as database:
        await RosterStore(database, Vault(settings)).load()
        await HealthStore(database).load()

asyncio.run(main())
heavy = {"alembic", "asyncpg", "sqlalchemy.orm", "cryptography", "filelock", "keyring", "aiohttp"}
print(sorted(heavy & set(sys.modules)))
"""
    environment = {"PYTHONPATH": f"{ROOT / 'src'}", "CODEWALK_DATA_DIR": f"{tmp_path / 'data'}"}
    loaded = [
        subprocess.run(
            [sys.executable, "-c", script],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout.strip()
        for _ in range(2)
    ]
    assert loaded == ["['alembic', 'filelock', 'sqlalchemy.orm']", "[]"]
