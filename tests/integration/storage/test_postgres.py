"""Behaviour of PostgreSQL alone: its failures, and that none reveals the password."""

import traceback
from dataclasses import replace

import pytest
from sqlalchemy.engine import make_url

from codewalk.errors import StorageError
from codewalk.secret import Secret
from codewalk.settings import Settings
from codewalk.storage.database import open_database
from tests.integration.storage.conftest import Stores
from tests.postgres import PostgresServer

pytestmark = pytest.mark.postgres


async def refusal(settings: Settings, url: str) -> str:
    with pytest.raises(StorageError) as refused:
        async with open_database(replace(settings, database_url=Secret(url))):
            pass
    text = "".join(traceback.format_exception(refused.value))
    assert "hunter2" not in text
    return refused.value.message


@pytest.fixture
def base(sqlite_settings: Settings) -> Settings:
    return sqlite_settings


async def test_the_error_for_an_unreachable_server(base: Settings) -> None:
    # The discard port: nothing listens there.
    message = await refusal(base, "postgresql://me:hunter2@127.0.0.1:9/codewalk")
    assert "'codewalk' at 127.0.0.1:9" in message
    assert "can't be reached" in message


async def test_the_error_for_a_missing_database(
    base: Settings, postgres_server: PostgresServer
) -> None:
    message = await refusal(base, postgres_server.database_url("nowhere"))
    assert "'nowhere'" in message
    assert "doesn't exist" in message


async def test_the_error_for_an_unknown_user(base: Settings, postgres_url: str) -> None:
    url = make_url(postgres_url).set(username="nobody", password="hunter2")
    message = await refusal(base, url.render_as_string(hide_password=False))
    assert "refused the user name or password" in message


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+asyncpg"])
async def test_every_spelling_of_the_scheme_is_accepted(
    base: Settings, postgres_url: str, scheme: str
) -> None:
    url = scheme + postgres_url[postgres_url.index("://") :]
    settings = replace(base, database_url=Secret(url))
    async with open_database(settings) as database:
        assert "any" not in database.name
        assert await Stores.on(database, settings).roster.revision() == 0
    assert not settings.database_file.exists()


async def test_connections_that_the_server_closed_are_replaced(
    base: Settings, postgres_url: str
) -> None:
    settings = replace(base, database_url=Secret(postgres_url))
    async with open_database(settings) as database, open_database(settings) as other:
        stores = Stores.on(database, settings)
        assert await stores.roster.revision() == 0
        await other.write(
            lambda c: c.exec_driver_sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )
        assert await stores.roster.revision() == 0
