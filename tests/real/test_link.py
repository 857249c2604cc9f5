"""The live link on real servers: killed, red; restarted, green; the others unmoved."""

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from time import monotonic

import pytest

from codewalk.app.app import App
from codewalk.app.composition import Parts
from codewalk.events import Event
from codewalk.reason import State
from codewalk.server import Server
from codewalk.servers.health_check import DEFAULT_SETTINGS
from tests.real.linking import linked, started
from tests.real.servers import CURRENT, RealServer, executable

pytestmark = pytest.mark.real

ROUNDS = 2
LONG_BEFORE = DEFAULT_SETTINGS.interval / 2
"""Seconds. It proves that the link saw it and not the clock; how quick it is on an idle machine is
a figure, and no property of a loaded one."""


async def wait_until(
    app: App, ref: str, events: "asyncio.Queue[Event]", true: Callable[[Server], bool]
) -> float:
    """Wait until `true` holds for a server, and return the time; checked at each announcement."""
    async with asyncio.timeout(30):
        while not true(app.server(ref)):
            await events.get()
    return monotonic()


async def answers(parts: Parts, app: App, ref: str) -> None:
    """Waits until a server that has said it listens does answer: a fresh one takes its time."""
    connection = await parts.connections.connect(app.server(ref).profile)
    await connection.get_json("/global/health", timeout=30)


async def test_every_release_has_a_live_link(app: App, real_servers: list[RealServer]) -> None:
    for server in real_servers:
        await linked(app, server.release)


async def test_a_session_made_by_another_program_is_listed(
    parts: Parts, app: App, real_a: RealServer
) -> None:
    await linked(app, real_a.release)
    connection = await parts.connections.connect(app.server(real_a.release).profile)
    with app.announcer.listen() as events:
        await connection.post_json("/session", {"title": "from the stream"}, timeout=30)
        async with asyncio.timeout(30):
            while "from the stream" not in {
                session.title for session in (await app.work.sessions(cached=True)).sessions
            }:
                await events.get()


async def test_a_killed_server_is_red_and_green_again_long_before_the_next_check(
    parts: Parts, app: App, real_servers: list[RealServer], tmp_path: Path
) -> None:
    if executable(CURRENT) is None:
        pytest.skip("OpenCode isn't installed")
    others = [app.server(server.release).id for server in real_servers]
    port, victim = 0, ""
    async with AsyncExitStack() as stack:
        events = stack.enter_context(app.announcer.listen())
        for round_number in range(ROUNDS):
            server = await started(stack, tmp_path / str(round_number), port)
            if not victim:
                port = int(server.url.rpartition(":")[2])
                victim = (await app.add_server(server.url, label="victim")).id
            await answers(parts, app, victim)
            answering = monotonic()
            green = await wait_until(app, victim, events, lambda s: s.health.state is State.HEALTHY)
            assert green - answering < LONG_BEFORE
            await linked(app, victim)
            killed = monotonic()
            os.kill(server.pid, signal.SIGKILL)
            red = await wait_until(app, victim, events, lambda s: s.health.state is State.UNHEALTHY)
            assert red - killed < LONG_BEFORE
        changed = {events.get_nowait().server_id for _ in range(events.qsize())}
        assert not changed & set(others)
        assert all(app.server(ref).health.state is State.HEALTHY for ref in others)
