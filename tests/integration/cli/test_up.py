"""`codewalk up`: one app for each data folder, which starts, serves and stops in time."""

import asyncio
import json
import os
import signal
import socket
import stat
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Any

import aiohttp
import psutil
import pytest

from tests.fake_opencode import write_fake
from tests.integration.cli.command import CodeWalk, running
from tests.mock_opencode import MockOpenCode

HEADLESS = ("up", "--port", "0", "--no-browser", "--no-local")
STOP_SECONDS = 3.0
TOKEN = "a-token-of-my-own"


async def stop(process: asyncio.subprocess.Process, number: signal.Signals) -> tuple[str, float]:
    """Send a signal, and return the output on stderr and the seconds until the end."""
    began = monotonic()
    process.send_signal(number)
    _, err = await process.communicate()
    return err.decode(), monotonic() - began


async def test_app_serves_when_it_is_ready_and_a_second_one_names_its_address(
    codewalk: CodeWalk,
) -> None:
    async with running(codewalk, *HEADLESS) as (process, url):
        jar = aiohttp.CookieJar(unsafe=True)  # a browser keeps a cookie of an address too
        async with aiohttp.ClientSession(cookie_jar=jar) as client, client.get(url) as page:
            assert page.status == 200
        record = codewalk.data_dir / "running.json"
        place = url.partition("?")[0]
        document = json.loads(record.read_text())
        assert (document["pid"], document["url"]) == (process.pid, place)
        store = codewalk.data_dir / "codewalk.db"
        assert document["store"]["path"] == str(store)
        assert document["store"]["inode"] == store.stat().st_ino
        assert stat.S_IMODE(record.stat().st_mode) == 0o600
        second = await codewalk(*HEADLESS)
        assert (second.status, second.out) == (1, "")
        prefix = f"error: CodeWalk already runs at {place} (pid {process.pid})"
        assert second.err.startswith(prefix)
        report = await codewalk("doctor", "--json")
        app = next(check for check in json.loads(report.out)["checks"] if check["name"] == "app")
        assert place in app["detail"]
        err, seconds = await stop(process, signal.SIGTERM)
        assert (process.returncode, err) == (0, "")
        assert seconds < STOP_SECONDS
        assert not record.exists()


async def test_ctrl_c_stops_the_app_in_time_despite_an_open_event_stream(
    codewalk: CodeWalk,
) -> None:
    mine = replace(codewalk, environment={"CODEWALK_TOKEN": "a token of my own"})
    async with (
        running(mine, *HEADLESS) as (process, url),
        aiohttp.ClientSession(headers={"Authorization": "Bearer a token of my own"}) as client,
    ):
        place = url.partition("?")[0]
        assert url.endswith("?token=a%20token%20of%20my%20own")
        async with client.get(f"{place}api/v1/events") as events:
            assert events.status == 200
            _, seconds = await stop(process, signal.SIGINT)
        assert process.returncode == 0
        assert seconds < STOP_SECONDS
    assert not (codewalk.data_dir / "token").exists()


async def test_running_app_follows_changes_by_commands(
    codewalk: CodeWalk, server: MockOpenCode
) -> None:
    mine = replace(codewalk, environment={"CODEWALK_TOKEN": TOKEN})
    async with running(mine, *HEADLESS) as (_, url):
        added = await codewalk("server", "add", server.url, "--label", "new", "--no-check")
        assert added.status == 0
        async with asyncio.timeout(2):
            assert (await first_healthy(url))["name"] == "new"


@pytest.mark.parametrize("behaviour", ["serve", "stubborn"])
async def test_local_server_starts_and_stops_with_the_app(
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
        _, seconds = await stop(process, signal.SIGTERM)
        assert process.returncode == 0
        assert seconds < STOP_SECONDS
        assert not [child for child in children if child.is_running()]


async def first_healthy(url: str) -> dict[str, Any]:
    """Wait until the app reports the first server as healthy, and return it."""
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


async def test_app_without_opencode_says_how_to_install_it(codewalk: CodeWalk) -> None:
    bare = replace(codewalk, environment={"CODEWALK_OPENCODE": "", "PATH": "/nowhere"})
    async with running(bare, "up", "--port", "0", "--no-browser") as (process, _):
        err, _ = await stop(process, signal.SIGTERM)
    assert process.returncode == 0
    assert "npm install -g opencode-ai" in err


async def test_port_in_use_is_refused(codewalk: CodeWalk) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as sock:
        port = sock.getsockname()[1]
        result = await codewalk("up", "--port", str(port), "--no-browser", "--no-local")
    assert (result.status, result.out) == (1, "")
    assert result.err.startswith(f"error: Port {port} on 127.0.0.1 is taken")


async def test_addresses_that_others_can_reach_need_a_token_of_the_users_own(
    codewalk: CodeWalk,
) -> None:
    arguments = (*HEADLESS, "--host", "0.0.0.0")
    refused = await codewalk(*arguments)
    assert (refused.status, refused.out) == (2, "")
    assert "CODEWALK_TOKEN" in refused.err
    own = replace(codewalk, environment={"CODEWALK_TOKEN": TOKEN})
    async with running(own, *arguments) as (process, url):
        assert url.startswith("http://127.0.0.1:")
        err, _ = await stop(process, signal.SIGTERM)
    assert "plain HTTP" in err


async def test_host_names_are_allowed_by_an_option_and_a_variable(codewalk: CodeWalk) -> None:
    own = replace(codewalk, environment={"CODEWALK_ALLOWED_HOSTS": "one.example, two.example:8443"})
    options = ("--allow-host", "three.example", "--allow-host", "four.example")
    expected = {
        "one.example": 303,
        "two.example:8443": 303,
        "two.example:8444": 403,
        "three.example:99": 303,
        "four.example": 303,
        "evil.example": 403,
    }
    async with running(own, *HEADLESS, *options) as (_, url), aiohttp.ClientSession() as client:
        for host, status in expected.items():
            async with client.get(url, headers={"Host": host}, allow_redirects=False) as answer:
                assert answer.status == status, host


async def test_what_is_no_host_name_is_wrong_usage(codewalk: CodeWalk) -> None:
    result = await codewalk(*HEADLESS, "--allow-host", "https://codewalk.example/")
    assert (result.status, result.out) == (2, "")
    assert result.err == (
        "error: --allow-host takes host names such as codewalk.example or codewalk.example:8443, "
        "not 'https://codewalk.example/'.\n"
    )
    own = replace(codewalk, environment={"CODEWALK_ALLOWED_HOSTS": "*"})
    result = await own(*HEADLESS)
    assert (result.status, result.out) == (2, "")
    assert "CODEWALK_ALLOWED_HOSTS takes host names" in result.err


async def test_browser_gets_an_invitation_instead_of_the_token(
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
        opened_url = (await asyncio.to_thread(opened.read_text)).strip()
        assert opened_url.partition("?")[0] == url.partition("?")[0]
        # Other users can read the browser's arguments: what lets it in does so once.
        assert opened_url != url
        jar = aiohttp.CookieJar(unsafe=True)  # it keeps cookies of addresses too
        async with (
            aiohttp.ClientSession(cookie_jar=jar) as one,
            aiohttp.ClientSession() as another,
            one.get(opened_url) as let_in,
            another.get(opened_url) as left_out,
        ):
            assert (let_in.status, left_out.status) == (200, 401)
        await stop(process, signal.SIGTERM)
    assert process.returncode == 0
