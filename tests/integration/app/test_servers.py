"""Adding, editing, removing and choosing servers, through the core and a real store."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import codewalk
from codewalk.app import App
from codewalk.errors import (
    DuplicateServer,
    InvalidURL,
    ServerNotFound,
    ServerUnhealthy,
    ServerUnreachable,
)
from codewalk.health.status import Reason, State
from codewalk.secret import Secret
from codewalk.servers.draft import Change
from codewalk.settings import Settings
from tests.mock_opencode import MockOpenCode

NOBODY = "http://127.0.0.1:1"


@pytest.fixture
async def app(settings: Settings) -> AsyncIterator[App]:
    async with codewalk.open(settings) as app:
        yield app


async def test_first_server_added_is_active(app: App) -> None:
    async with MockOpenCode() as first, MockOpenCode() as second:
        added = await app.add_server(first.url, label="First")
        await app.add_server(second.url)
    assert added.active
    assert added.health.state is State.HEALTHY
    assert [server.active for server in app.servers()] == [True, False]


async def test_server_that_fails_its_check_is_not_saved(app: App) -> None:
    with pytest.raises(ServerUnreachable, match="refused"):
        await app.add_server(NOBODY)
    assert app.servers() == []


async def test_unchecked_server_is_saved_unknown(app: App) -> None:
    server = await app.add_server(NOBODY, check=False)
    assert (server.health.state, server.health.reason) == (State.UNKNOWN, Reason.UNCHECKED)


async def test_same_server_written_otherwise_is_refused_without_asking_it(app: App) -> None:
    async with MockOpenCode() as server:
        await app.add_server(server.url)
        asked = len(server.requests)
        with pytest.raises(DuplicateServer):
            await app.add_server(f" {server.url.upper()}/x/../ ")
        assert len(server.requests) == asked


async def test_duplicate_label_is_refused_in_any_case(app: App) -> None:
    await app.add_server("one", label="Box", check=False)
    with pytest.raises(DuplicateServer):
        await app.add_server("two", label="bOX", check=False)


async def test_bad_url_changes_nothing(app: App) -> None:
    with pytest.raises(InvalidURL):
        await app.add_server("ftp://box")
    assert app.servers() == []


async def test_missing_and_wrong_passwords_are_told_apart(app: App) -> None:
    async with MockOpenCode(password="right:ä") as server:
        with pytest.raises(ServerUnreachable, match="asks for a user name"):
            await app.add_server(server.url)
        with pytest.raises(ServerUnreachable, match="refused the user name or password"):
            await app.add_server(server.url, password=Secret("wrong"))
        added = await app.add_server(server.url, password=Secret("right:ä"))
    assert added.profile.basic_auth_enabled
    assert "right" not in repr(added)


async def test_credentials_in_the_url_are_kept_apart_from_it(app: App) -> None:
    async with MockOpenCode(username="me", password="p@w") as server:
        added = await app.add_server(server.url.replace("://", "://me:p%40w@"))
    assert added.profile.url == server.url
    assert added.profile.basic_auth_username == "me"


async def test_edited_label_causes_no_check(app: App) -> None:
    async with MockOpenCode() as server:
        added = await app.add_server(server.url)
        asked = len(server.requests)
        edited = await app.edit_server(added.id, Change(label=" Renamed "))
        assert len(server.requests) == asked
    assert edited.name == "Renamed"
    assert edited.health.state is State.HEALTHY


async def test_edit_that_fails_its_check_leaves_the_server_as_it_was(app: App) -> None:
    async with MockOpenCode() as server:
        added = await app.add_server(server.url)
        with pytest.raises(ServerUnreachable):
            await app.edit_server(added.id, Change(url=NOBODY))
        assert app.server(added.id) == added


async def test_active_server_stays_active_when_its_url_changes(app: App) -> None:
    async with MockOpenCode() as here, MockOpenCode() as there:
        added = await app.add_server(here.url)
        moved = await app.edit_server(added.id, Change(url=there.url))
    assert (moved.id, moved.profile.url, moved.active) == (
        added.id,
        there.url,
        True,
    )


async def test_new_password_replaces_the_old_one_and_no_auth_drops_it(app: App) -> None:
    async with MockOpenCode(password="new") as server:
        added = await app.add_server(server.url, password=Secret("old"), check=False)
        await app.edit_server(added.id, Change(password=Secret("new")))
        with pytest.raises(ServerUnreachable, match="asks for a user name"):
            await app.edit_server(added.id, Change(no_auth=True))


async def test_unhealthy_server_is_made_active_by_force_alone(app: App) -> None:
    async with MockOpenCode() as server:
        await app.add_server(server.url, label="good")
        await app.add_server(NOBODY, label="bad", check=False)
        with pytest.raises(ServerUnhealthy, match="refused"):
            await app.switch_to("bad")
        active = app.active()
        assert active
        assert active.name == "good"
        assert (await app.switch_to("bad", force=True)).active


async def test_server_that_came_back_is_not_refused_on_old_news(app: App) -> None:
    async with MockOpenCode() as server:
        await app.add_server("box", check=False)
        await server.stop()
        await app.add_server(server.url, label="back", check=False)
        assert (await app.check("back")).health.state is State.UNHEALTHY
        await server.start()
        app.parts.monitor.forget(app.server("back").id)
        assert (await app.switch_to("back")).active


async def test_minus_names_the_previously_active_server(app: App) -> None:
    await app.add_server("one", check=False)
    await app.add_server("two", check=False)
    with pytest.raises(ServerNotFound):
        await app.switch_to("-", force=True)
    await app.switch_to("two", force=True)
    assert (await app.switch_to("-", force=True)).name == "one"
    assert (await app.switch_to("-", force=True)).name == "two"


async def test_removal_of_the_active_server_falls_back_to_a_healthy_one(app: App) -> None:
    async with MockOpenCode() as server:
        first = await app.add_server("one", check=False)
        await app.add_server("two", check=False)
        healthy = await app.add_server(server.url)
        removed = await app.remove_server(first.id)
    assert (removed.removed, removed.active) == (first.id, healthy.id)


async def test_default_survives_and_is_active_after_a_start(settings: Settings) -> None:
    async with codewalk.open(settings) as app:
        await app.add_server("one", check=False)
        await app.add_server("two", check=False, default=True)
    async with codewalk.open(settings) as command:
        active = command.active()
        assert active
        assert active.name == "one"
    async with codewalk.open(settings, watch=True) as started:
        active = started.active()
        assert active
        assert active.name == "two"


async def test_password_is_in_no_file_of_the_data_folder(settings: Settings) -> None:
    async with codewalk.open(settings) as app:
        await app.add_server("one", password=Secret("needle in a haystack"), check=False)
        found = [p for p in _files(settings.data_dir) if b"needle" in p.read_bytes()]
    assert found == []


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]
