"""The managed local server is one of the servers, and keeps its identity over restarts."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

import codewalk
from codewalk.app.app import App
from codewalk.app.composition import Parts, open_parts
from codewalk.app.managed_server import STOPPED
from codewalk.errors import ServerManaged, ServerUnreachable
from codewalk.events import Kind
from codewalk.reason import State
from codewalk.server import Server
from codewalk.servers.draft import Change
from codewalk.settings import Settings
from tests.fake_opencode import write_fake
from tests.mock_opencode import MockOpenCode


@asynccontextmanager
async def running(settings: Settings, executable: Path) -> AsyncIterator[tuple[App, Server]]:
    """An open app and its local server, once that is healthy."""
    async with running_parts(settings, executable) as (parts, server):
        yield parts.app, server


@asynccontextmanager
async def running_parts(
    settings: Settings, executable: Path
) -> AsyncIterator[tuple[Parts, Server]]:
    """The parts of such an app."""
    async with open_parts(settings, watch=True) as parts, asyncio.timeout(20):
        app = parts.app
        with app.announcer.listen() as events:
            async with app.local.run(executable):
                while not (app.servers() and app.servers()[0].health.state is State.HEALTHY):
                    await events.get()
                yield parts, app.servers()[0]


@pytest.fixture
def opencode(tmp_path: Path) -> Path:
    return write_fake(tmp_path)


async def test_it_shows_as_managed_and_active(settings: Settings, opencode: Path) -> None:
    async with running(settings, opencode) as (app, server):
        assert (server.profile.managed, server.active, server.name) == (True, True, "Local")
        assert server.profile.basic_auth_password is not None
        assert app.local.message is None


async def test_it_can_be_neither_edited_nor_removed(settings: Settings, opencode: Path) -> None:
    async with running(settings, opencode) as (app, server):
        with pytest.raises(ServerManaged):
            await app.remove_server(server.id)
        with pytest.raises(ServerManaged):
            await app.edit_server(server.id, Change(label="Mine"))


async def test_it_keeps_its_id_and_gets_a_new_password_at_each_start(
    settings: Settings, opencode: Path
) -> None:
    async with running(settings, opencode) as (_, first):
        old = first.profile.basic_auth_password
        assert old
        old_text = old.reveal()
    async with running(settings, opencode) as (app, second):
        new = second.profile.basic_auth_password
        assert new
        assert new.reveal() != old_text
        assert second.id == first.id
        assert len(app.servers()) == 1


async def test_it_is_not_called_healthy_after_it_stopped(
    settings: Settings, opencode: Path
) -> None:
    async with running(settings, opencode):
        pass
    async with codewalk.open(settings) as command:
        (server,) = command.servers()
    assert (server.health.state, server.health.detail) == (State.UNKNOWN, STOPPED)


async def test_stranger_on_its_old_port_is_asked_nothing(
    settings: Settings, opencode: Path
) -> None:
    async with running(settings, opencode) as (_, server):
        url = server.profile.url
    port = int(url.rpartition(":")[2])
    async with MockOpenCode(port=port) as stranger:
        stranger.world.add_session("a stranger's")
        async with codewalk.open(settings, watch=True) as started:
            assert (await started.check(server.id)).health.state is State.UNKNOWN
            with pytest.raises(ServerUnreachable, match="runs while"):
                await started.work.sessions()
        async with codewalk.open(settings) as command:
            assert (await command.check(server.id)).health.state is State.UNKNOWN
        assert stranger.requests == []


async def test_label_that_the_user_gave_to_another_is_left_to_it(
    settings: Settings, opencode: Path
) -> None:
    async with codewalk.open(settings) as app:
        await app.add_server("box", label="local", check=False)
    async with codewalk.open(settings, watch=True) as app, asyncio.timeout(20):
        with app.announcer.listen() as events:
            async with app.local.run(opencode):
                while len(app.servers()) < 2:
                    await events.get()
                managed = app.servers()[1]
    assert managed.profile.label is None


async def test_crash_shows_red_until_it_is_up_again(settings: Settings, opencode: Path) -> None:
    async with running_parts(settings, opencode) as (parts, server):
        app = parts.app
        connection = await parts.connections.connect(app.server(server.id).profile)
        with app.announcer.listen() as events:
            with pytest.raises(codewalk.CodeWalkError):
                await connection.get("/crash")
            seen: list[State] = []
            while State.HEALTHY not in seen[1:] or State.UNHEALTHY not in seen:
                event = await events.get()
                if event.kind in (Kind.HEALTH, Kind.SERVERS):
                    seen.append(app.server(server.id).health.state)
        assert app.server(server.id).id == server.id
