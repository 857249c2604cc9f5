"""A store is inspected without a change to it."""

import pytest
from sqlalchemy import text

from codewalk.errors import StorageError
from codewalk.settings import Settings
from codewalk.storage.database import open_database
from codewalk.storage.inspection import inspect_schema_version, open_unchanged
from codewalk.storage.roster import RosterStore
from codewalk.storage.tables import SCHEMA_VERSION
from codewalk.storage.vault import Vault


async def set_schema_version(settings: Settings, version: str) -> None:
    statement = text("UPDATE alembic_version SET version_num = :version")
    async with open_unchanged(settings) as database:
        await database.write(lambda connection: connection.execute(statement, {"version": version}))


async def test_empty_store_has_no_version_and_stays_empty(settings: Settings) -> None:
    assert await inspect_schema_version(settings) is None
    assert await inspect_schema_version(settings) is None
    assert not settings.data_dir.exists()


async def test_older_version_is_returned_and_not_migrated(settings: Settings) -> None:
    async with open_database(settings):
        pass
    assert await inspect_schema_version(settings) == SCHEMA_VERSION
    await set_schema_version(settings, "0001")
    assert await inspect_schema_version(settings) == "0001"
    assert await inspect_schema_version(settings) == "0001"


async def test_newer_version_is_refused(settings: Settings) -> None:
    async with open_database(settings):
        pass
    await set_schema_version(settings, "9999")
    with pytest.raises(StorageError, match=r"newer CodeWalk .* '9999'"):
        await inspect_schema_version(settings)


async def test_roster_is_read_from_a_store_that_is_opened_unchanged(settings: Settings) -> None:
    async with open_database(settings):
        pass
    async with open_unchanged(settings) as database:
        roster = await RosterStore(database, Vault(settings)).load()
    assert roster.profiles == ()
