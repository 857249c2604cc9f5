"""The live link of the running app, over real sockets."""

import asyncio
from collections.abc import AsyncIterator, Callable
from time import monotonic

import pytest

import codewalk
from codewalk.app.app import App
from codewalk.app.composition import Parts, open_parts
from codewalk.events import Event, Kind
from codewalk.health.link import LinkState
from codewalk.reason import State
from codewalk.secret import Secret
from codewalk.settings import Settings
from tests.mock_opencode import MockOpenCode, Release

STREAM = "/global/event"
SOON = 10.0


@pytest.fixture
async def parts(settings: Settings) -> AsyncIterator[Parts]:
    async with open_parts(settings, watch=True) as parts:
        yield parts


@pytest.fixture
def app(parts: Parts) -> App:
    return parts.app


async def wait_until(
    app: App, events: "asyncio.Queue[Event]", condition: Callable[[App], bool]
) -> float:
    """Return the seconds until `condition` is true; it is evaluated at each announced event."""
    began = monotonic()
    async with asyncio.timeout(SOON):
        while not condition(app):
            await events.get()
    return monotonic() - began


def is_red(app: App) -> bool:
    return app.servers()[0].health.state is State.UNHEALTHY


def is_green(app: App) -> bool:
    return app.servers()[0].health.state is State.HEALTHY


async def titles(app: App) -> list[str]:
    return [session.title for session in (await app.work.sessions(cached=True)).sessions]


async def test_a_server_that_goes_is_red_at_once_and_the_other_keeps_its_stream(app: App) -> None:
    async with MockOpenCode(password="of a") as a, MockOpenCode() as b:
        await app.add_server(a.url, password=Secret("of a"))
        await app.add_server(b.url)
        await a.wait_for_requests(STREAM)
        await b.wait_for_requests(STREAM)
        for round_number in range(3):
            await a.wait_for_requests(STREAM, round_number + 1)
            await asyncio.wait_for(a.world.subscribed.wait(), SOON)
            a.world.subscribed.clear()
            with app.announcer.listen() as events:
                await a.stop()
                assert await wait_until(app, events, is_red) < 1
                assert app.servers()[0].link is not LinkState.LIVE
                await a.start()
                assert await wait_until(app, events, is_green) < 2
        assert b.count(STREAM) == 1
        assert app.servers()[1].health.state is State.HEALTHY
        assert app.servers()[1].link is LinkState.LIVE


async def test_after_a_sleep_no_connection_from_before_is_trusted(parts: Parts, app: App) -> None:
    async with MockOpenCode() as server:
        await app.add_server(server.url)
        await asyncio.wait_for(server.world.subscribed.wait(), SOON)
        parts.monitor.handle_suspend()
        async with asyncio.timeout(SOON):
            await server.wait_for_requests(STREAM, 2)
        assert is_green(app)


async def test_a_session_made_elsewhere_is_listed(app: App) -> None:
    async with MockOpenCode() as server:
        with app.announcer.listen() as events:
            await app.add_server(server.url)
            await asyncio.wait_for(server.world.subscribed.wait(), SOON)
            made = server.world.add_session("Made in a terminal")
            server.world.emit("session.created", {"info": made})
            async with asyncio.timeout(SOON):
                while await titles(app) != ["Made in a terminal"]:
                    while (await events.get()).kind is not Kind.SESSIONS:
                        pass


async def test_a_burst_of_news_is_one_fetch(app: App) -> None:
    async with MockOpenCode() as server:
        await app.add_server(server.url)
        await asyncio.wait_for(server.world.subscribed.wait(), SOON)
        await server.wait_for_requests(
            "/session", 2
        )  # when it became active, and when its stream was new
        with app.announcer.listen() as events:
            made = server.world.add_session("Busy")
            for _ in range(50):
                server.world.emit("session.updated", {"info": made})
            async with asyncio.timeout(SOON):
                while (await events.get()).kind is not Kind.SESSIONS:
                    pass
        assert server.count("/session") <= 4


async def test_the_oldest_releases_are_linked_by_their_own_stream(app: App) -> None:
    async with MockOpenCode(release=Release.OLD) as server:
        await app.add_server(server.url)
        await asyncio.wait_for(server.world.subscribed.wait(), SOON)
        assert server.count(STREAM) == 1
        assert server.count("/event") == 1


async def test_a_command_holds_no_stream(settings: Settings) -> None:
    async with MockOpenCode() as server, codewalk.open(settings) as app:
        added = await app.add_server(server.url)
        await app.work.sessions()
        assert added.link is LinkState.POLLING
        assert server.count(STREAM) == 0
