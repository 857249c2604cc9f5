"""`codewalk up`: one for each data folder, ready when it says so, gone when it is told."""

import asyncio
import json
import os
import re
import signal
import socket
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Any

import aiohttp
import psutil
import pytest

from tests.fake_opencode import write_fake
from tests.integration.cli.command import CodeWalk, read_until
from tests.mock_opencode import MockOpenCode

ALONE = ("up", "--port", "0", "--no-browser", "--no-local")
STOPS_WITHIN = 3.0
TOKEN = "a-token-of-my-own"


@asynccontextmanager
async def running(
    codewalk: CodeWalk, *arguments: str
) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """A started app and the URL of its ready line."""
    async with codewalk.started(*arguments) as process:
        line = await read_until(process.stdout, "\n")
        match = re.fullmatch(r"CodeWalk is ready at (http://\S+/\?token=\S+)\n", line)
        assert match
        yield process, match[1]


async def stopped(process: asyncio.subprocess.Process, number: signal.Signals) -> tuple[str, float]:
    """Sends a signal; what came on stderr, and the seconds it took."""
    began = monotonic()
    process.send_signal(number)
    _, err = await process.communicate()
    return err.decode(), monotonic() - began


async def test_it_serves_when_it_says_so_and_a_second_one_says_where(codewalk: CodeWalk) -> None:
    async with running(codewalk, *ALONE) as (process, url):
        jar = aiohttp.CookieJar(unsafe=True)  # a browser keeps a cookie of an address too
        async with aiohttp.ClientSession(cookie_jar=jar) as client, client.get(url) as page:
            assert page.status == 200
        record = codewalk.data_dir / "running.json"
        place = url.partition("?")[0]
        assert json.loads(record.read_text()) == {"pid": process.pid, "url": place}
        assert stat.S_IMODE(record.stat().st_mode) == 0o600
        second = await codewalk(*ALONE)
        assert (second.status, second.out) == (1, "")
        prefix = f"error: CodeWalk already runs at {place} (pid {process.pid})"
        assert second.err.startswith(prefix)
        told = await codewalk("doctor", "--json")
        app = next(check for check in json.loads(told.out)["checks"] if check["name"] == "app")
        assert place in app["detail"]
        err, seconds = await stopped(process, signal.SIGTERM)
        assert (process.returncode, err) == (0, "")
        assert seconds < STOPS_WITHIN
        assert not record.exists()


async def test_ctrl_c_with_an_open_event_stream_stops_it_in_time(codewalk: CodeWalk) -> None:
    mine = replace(codewalk, environment={"CODEWALK_TOKEN": "a token of my own"})
    async with (
        running(mine, *ALONE) as (process, url),
        aiohttp.ClientSession(headers={"Authorization": "Bearer a token of my own"}) as client,
    ):
        place = url.partition("?")[0]
        assert url.endswith("?token=a%20token%20of%20my%20own")
        async with client.get(f"{place}api/v1/events") as events:
            assert events.status == 200
            _, seconds = await stopped(process, signal.SIGINT)
        assert process.returncode == 0
        assert seconds < STOPS_WITHIN
    assert not (codewalk.data_dir / "token").exists()


async def test_a_command_s_change_shows_in_the_running_app(
    codewalk: CodeWalk, server: MockOpenCode
) -> None:
    mine = replace(codewalk, environment={"CODEWALK_TOKEN": TOKEN})
    async with running(mine, *ALONE) as (_, url):
        added = await codewalk("server", "add", server.url, "--label", "new", "--no-check")
        assert added.status == 0
        async with asyncio.timeout(2):
            assert (await first_healthy(url))["name"] == "new"


@pytest.mark.parametrize("behaviour", ["serve", "stubborn"])
async def test_the_local_server_starts_and_stops_with_it(
    codewalk: CodeWalk, tmp_path: Path, behaviour: str
) -> None:
    fake = write_fake(tmp_path)
    own = {
        "CODEWALK_OPENCODE": str(fake),
        "FAKE_OPENCODE": behaviour,
        "CODEWALK_TOKEN": TOKEN,
    }
    arguments = ("up", "--port", "0", "--no-browser")
    async with running(replace(codewalk, environment=own), *arguments) as (process, url):
        local = await first_healthy(url)
        assert local["managed"]
        children = psutil.Process(process.pid).children(recursive=True)
        assert children
        _, seconds = await stopped(process, signal.SIGTERM)
        assert process.returncode == 0
        assert seconds < STOPS_WITHIN
        assert not [child for child in children if child.is_running()]


async def first_healthy(url: str) -> dict[str, Any]:
    """The first server, once the app says that it is healthy."""
    api = f"{url.partition('?')[0]}api/v1"
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {TOKEN}"}) as client,
        client.get(f"{api}/events") as events,
    ):
        while True:
            async with client.get(f"{api}/servers") as answer:
                servers = await answer.json()
            if servers and servers[0]["health"]["state"] == "healthy":
                return dict(servers[0])
            await events.content.readline()


async def test_without_opencode_it_runs_and_says_how_to_get_it(codewalk: CodeWalk) -> None:
    bare = replace(codewalk, environment={"CODEWALK_OPENCODE": "", "PATH": "/nowhere"})
    async with running(bare, "up", "--port", "0", "--no-browser") as (process, _):
        err, _ = await stopped(process, signal.SIGTERM)
    assert process.returncode == 0
    assert "npm install -g opencode-ai" in err


async def test_a_taken_port_is_a_clear_error(codewalk: CodeWalk) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as sock:
        port = sock.getsockname()[1]
        result = await codewalk("up", "--port", str(port), "--no-browser", "--no-local")
    assert (result.status, result.out) == (1, "")
    assert result.err.startswith(f"error: Port {port} on 127.0.0.1 is taken")


async def test_other_addresses_need_a_token_of_the_user_s_own(codewalk: CodeWalk) -> None:
    arguments = (*ALONE, "--host", "0.0.0.0")
    refused = await codewalk(*arguments)
    assert (refused.status, refused.out) == (2, "")
    assert "CODEWALK_TOKEN" in refused.err
    own = replace(codewalk, environment={"CODEWALK_TOKEN": TOKEN})
    async with running(own, *arguments) as (process, url):
        assert url.startswith("http://127.0.0.1:")
        err, _ = await stopped(process, signal.SIGTERM)
    assert "plain HTTP" in err


async def test_ipv6_has_brackets_and_the_browser_gets_the_address_without_the_token(
    codewalk: CodeWalk, tmp_path: Path
) -> None:
    browser, opened = tmp_path / "browser", tmp_path / "opened"
    # A pipe: whoever reads it waits for the browser.
    browser.write_text(f'#!/bin/sh\n[ -t 0 ] || echo "$1" > {opened}\n')
    browser.chmod(0o755)
    os.mkfifo(opened)
    own = replace(codewalk, environment={"BROWSER": str(browser)})
    async with running(own, "up", "--port", "0", "--no-local", "--host", "::1") as (process, url):
        assert url.startswith("http://[::1]:")
        shown = (await asyncio.to_thread(opened.read_text)).strip()
        assert shown.partition("?")[0] == url.partition("?")[0]
        # Other users can read the browser's arguments: what lets it in does so once.
        assert shown != url
        jar = aiohttp.CookieJar(unsafe=True)  # it keeps cookies of addresses too
        async with (
            aiohttp.ClientSession(cookie_jar=jar) as one,
            aiohttp.ClientSession() as another,
            one.get(shown) as let_in,
            another.get(shown) as left_out,
        ):
            assert (let_in.status, left_out.status) == (200, 401)
        await stopped(process, signal.SIGTERM)
    assert process.returncode == 0
