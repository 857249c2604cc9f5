"""A store of each kind, empty, for each test."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pytest

from codewalk.secret import Secret
from codewalk.settings import Settings
from codewalk.storage.database import Database, open_database
from codewalk.storage.health import HealthStore
from codewalk.storage.history import HistoryStore
from codewalk.storage.roster import RosterStore
from codewalk.storage.state import StateStore
from codewalk.storage.vault import Vault
from tests.fake_keyring import NoKeyring
from tests.integration.storage.workers import Workers

# One server for the whole run: a fixture imported twice would start two.
from tests.postgres import postgres_server, postgres_url

__all__ = ["postgres_server", "postgres_url"]


@dataclass(frozen=True, kw_only=True)
class Stores:
    """An open store and everything that is stored in it."""

    database: Database
    vault: Vault
    roster: RosterStore
    health: HealthStore
    history: HistoryStore
    state: StateStore

    @classmethod
    def on(cls, database: Database, settings: Settings) -> "Stores":
        vault = Vault(settings, keyring=NoKeyring())
        return cls(
            database=database,
            vault=vault,
            roster=RosterStore(database, vault),
            health=HealthStore(database),
            history=HistoryStore(database),
            state=StateStore(database),
        )

    async def unlocked(self) -> Self:
        """These stores, ready to take passwords."""
        await self.vault.unlock_to_seal(())
        return self


@pytest.fixture
def sqlite_settings(tmp_path: Path) -> Settings:
    """A data folder that isn't there yet, with a fixed key."""
    return Settings(data_dir=tmp_path / "data", secret_key=Secret("key of the test"))


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Names an empty store, of each kind in turn."""
    url = None
    if request.param == "postgres":
        url = Secret(request.getfixturevalue("postgres_url"))
    return Settings(
        data_dir=tmp_path / "data", secret_key=Secret("key of the test"), database_url=url
    )


@pytest.fixture
async def stores(settings: Settings) -> AsyncIterator[Stores]:
    async with open_database(settings) as database:
        yield Stores.on(database, settings)


@pytest.fixture
async def other(stores: Stores, settings: Settings) -> AsyncIterator[Stores]:
    """The same store, opened a second time, as another process would."""
    async with open_database(settings) as database:
        yield Stores.on(database, settings)


@pytest.fixture
async def workers(settings: Settings) -> AsyncIterator[Workers]:
    """Starts processes on the same store; ends those that are left."""
    async with Workers(settings) as workers:
        yield workers
