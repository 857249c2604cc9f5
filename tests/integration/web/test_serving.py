"""The web app is served, and stops."""

import asyncio
import socket
from pathlib import Path

import pytest

from codewalk.app.composition import open_app
from codewalk.secret import Secret
from codewalk.web.server import make_web, serve
from tests.integration.web.web_app import TOKEN, running, settings_in


async def test_a_cancelled_app_stops_listening(tmp_path: Path) -> None:
    # The next socket may get the number of the closed one, and who still listens by that number
    # takes its connections.
    with pytest.raises(ExceptionGroup, match="unhandled"):
        async with running(tmp_path / "first"):
            raise RuntimeError
    async with running(tmp_path / "second") as web, asyncio.timeout(10):
        assert await web.call("GET", "/healthz")


async def test_a_body_does_not_wait_until_its_head_was_acknowledged(tmp_path: Path) -> None:
    stop, ready = asyncio.Event(), asyncio.Event()
    with socket.create_server(("127.0.0.1", 0)) as sock:
        async with open_app(settings_in(tmp_path)) as app, asyncio.TaskGroup() as group:
            web = make_web(app, Secret(TOKEN), hosts=())
            group.create_task(serve(web, sock, ready=ready.set, stop=stop), name="web app")
            await ready.wait()
            # Of the one that listens: those it takes have it from there.
            at_once = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            stop.set()
    assert at_once, "each page would take 40 ms longer"
