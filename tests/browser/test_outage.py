"""Real servers that die, come back or hang, as the manager shows them.

`make bench ARGS=outage` makes more rounds, and prints the figures.
"""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page

from tests.browser.row_watcher import RowState, RowWatcher, first_answer, wait_for_link
from tests.browser.tabs import opened
from tests.integration.web.web_app import RunningApp
from tests.real.linking import started
from tests.real.servers import RealServer, free_port

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

ROUNDS = 3
RED_WITHIN = 1.0
GREEN_WITHIN = 2.0
SILENT_WITHIN = 20.0
SLOW = 60.0
"""Seconds. A busy machine may take long for one round; the promises are kept by most of them."""


@pytest_asyncio.fixture(loop_scope="session")
async def manager(
    chromium: Browser, tmp_path: Path, real_a: RealServer, real_b: RealServer
) -> AsyncIterator[tuple[RunningApp, Page]]:
    """The manager, with two servers that stay as they are."""
    async with opened(chromium, tmp_path, watch=True) as (web, tab):
        for server in (real_a, real_b):
            await web.app.add_server(server.url, label=server.release, password=server.password)
        await tab.goto(f"{web.url}/servers")
        for server in (real_a, real_b):
            await wait_for_link(tab, server.release)
        yield web, tab


def assert_steady(others: list[RowState]) -> None:
    """Nothing but the first look at each."""
    assert [shown.state for shown in others] == ["healthy", "healthy"]


async def test_a_killed_server_is_red_in_a_second_and_green_in_two_once_it_answers(
    manager: tuple[RunningApp, Page], tmp_path: Path
) -> None:
    web, tab = manager
    red: list[float] = []
    green: list[float] = []
    others: list[RowState] = []
    rows = await RowWatcher.watch(tab)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    await web.app.add_server(url, label="Victim", check=False)
    for number in range(ROUNDS):
        async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:
            # Asked while it starts: it may answer before it says so.
            answering = group.create_task(first_answer(url), name="first answer")
            server = await started(stack, tmp_path / f"victim {number}", port)
            at, more = await rows.until("Victim", "healthy", within=SLOW)
            green.append(at - await answering)
            others += more
            await wait_for_link(tab, "Victim")
            killed = time.time()
            os.kill(server.pid, signal.SIGKILL)
            at, more = await rows.until("Victim", "unhealthy", within=SLOW)
            red.append(at - killed)
            others += more
    assert_steady(others)
    assert median(red) < RED_WITHIN
    assert median(green) < GREEN_WITHIN


async def test_a_server_that_accepts_and_never_answers_is_red_within_twenty_seconds(
    manager: tuple[RunningApp, Page], tmp_path: Path
) -> None:
    web, tab = manager
    rows = await RowWatcher.watch(tab)
    async with AsyncExitStack() as stack:
        server = await started(stack, tmp_path / "victim", 0)
        await first_answer(server.url)
        await web.app.add_server(server.url, label="Victim", check=False)
        await wait_for_link(tab, "Victim")
        stopped = time.time()
        os.kill(server.pid, signal.SIGSTOP)
        try:
            at, others = await rows.until("Victim", "unhealthy", within=SLOW)
        finally:
            os.kill(server.pid, signal.SIGCONT)
    assert at - stopped < SILENT_WITHIN
    assert_steady(others)
