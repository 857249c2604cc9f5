"""A removed server can be had back for a while, by the process that removed it."""

from collections.abc import AsyncIterator

import pytest

import codewalk
from codewalk.app.app import App
from codewalk.errors import DuplicateServer, ServerNotFound
from codewalk.events import Kind
from codewalk.reason import State
from codewalk.secret import Secret
from codewalk.server import Server
from codewalk.settings import Settings
from tests.mock_opencode import MockOpenCode


@pytest.fixture
async def mock() -> AsyncIterator[MockOpenCode]:
    async with MockOpenCode(password="of the mock") as server:
        server.world.add_session("Fix the build", directory="/work")
        yield server


@pytest.fixture
async def app(settings: Settings) -> AsyncIterator[App]:
    async with codewalk.open(settings) as app:
        yield app


@pytest.fixture
async def first(app: App, mock: MockOpenCode) -> Server:
    """The active and default one of three, with a session list stored for it."""
    first = await app.add_server(
        mock.url, label="First", password=Secret("of the mock"), default=True
    )
    for name in ("two", "three"):
        await app.add_server(name, check=False)
    await app.work.sessions()
    return app.server(first.id)


async def test_undone_removal_brings_back_the_place_the_marks_the_password_and_the_state(
    app: App, first: Server, mock: MockOpenCode
) -> None:
    before = app.servers()
    removed = await app.remove_server(first.id)
    assert removed.active != first.id
    with app.announcer.listen() as events:
        back = await app.restore_server(first.id)
        kinds = {events.get_nowait().kind for _ in range(events.qsize())}
    assert {Kind.SERVERS, Kind.ACTIVE} <= kinds
    assert (back.id, back.active, back.default) == (first.id, True, True)
    assert [server.id for server in app.servers()] == [server.id for server in before]
    cached = await app.work.sessions(cached=True)
    assert [session.title for session in cached.sessions] == ["Fix the build"]
    # The mock refuses who doesn't know its password.
    assert (await app.check(first.id)).health.state is State.HEALTHY


async def test_undone_removal_leaves_a_server_active_that_was_chosen_meanwhile(
    app: App, first: Server
) -> None:
    await app.remove_server(first.id)
    await app.switch_to("three", force=True)
    back = await app.restore_server(first.id)
    assert (back.active, back.default) == (False, True)
    active = app.active()
    assert active
    assert active.name == "three"


async def test_removal_is_on_disk_at_once_and_nobody_elses_to_undo(
    app: App, settings: Settings, first: Server
) -> None:
    await app.remove_server(first.id)
    # As after a crash: nothing of the process that removed it is left.
    async with codewalk.open(settings) as after:
        assert [server.name for server in after.servers()] == ["two", "three"]
        assert await after.stored_state() == []
        with pytest.raises(ServerNotFound, match="undone"):
            await after.restore_server(first.id)


async def test_undo_is_refused_where_another_process_has_taken_the_url(
    app: App, settings: Settings, first: Server
) -> None:
    await app.remove_server(first.id)
    async with codewalk.open(settings) as other:
        await other.add_server(first.profile.url, label="Other", check=False)
    with pytest.raises(DuplicateServer, match="Other"):
        await app.restore_server(first.id)


async def test_second_undo_finds_the_server_there(app: App, first: Server) -> None:
    await app.remove_server(first.id)
    await app.restore_server(first.id)
    assert (await app.restore_server(first.id)).id == first.id
