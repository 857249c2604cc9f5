"""Cold visits to pages: an empty cache and a new profile each time, in turn."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from bench import locators
from bench.app import activate, add_servers, base_url, make_environment, run_app
from bench.chromium import Chromium, evaluate
from bench.mock_servers import mock_servers
from bench.opencode import run_opencode
from bench.process import cores

VISITS: Final = 15
SESSIONS: Final = (100, 1000)
UPSTREAM: Final = "OpenCode's own"
HELLO_PAGE: Final = "a page of one word"
"""Chromium's own part of any visit."""

_NAMES: Final = ("Laptop", "Workstation", "Cloud box", "Container", "Old laptop")
_DOWN_URL: Final = "http://127.0.0.1:9"

_SETTLE_SECONDS: Final = 0.5
"""Seconds after a switch in which the app finishes what follows from it."""

Visit = Mapping[str, float]


def codewalk_label(sessions: int) -> str:
    """Return the label of visits to CodeWalk with this number of sessions."""
    return f"CodeWalk, {sessions:,} sessions"


async def visit_homes(browser: Chromium, folder: Path) -> dict[str, list[Visit]]:
    """Visit CodeWalk's home with five servers, one of them down, and OpenCode's own page.

    Each round visits all of them. The first round isn't counted: servers warm up too.
    """
    env = make_environment(folder)
    names = (HELLO_PAGE, *map(codewalk_label, SESSIONS), UPSTREAM)
    visits: dict[str, list[Visit]] = {name: [] for name in names}
    async with (
        mock_servers(*SESSIONS, 20, 20, core=cores()[1]) as urls,
        run_opencode(folder) as upstream,
        _hello() as hello,
    ):
        ids = await add_servers(env, [*urls, _DOWN_URL], _NAMES, cached=len(SESSIONS))
        async with run_app(env) as address:
            home = base_url(address) + locators.HOME
            for _ in range(VISITS + 1):
                visits[HELLO_PAGE].append(await _visit(browser, hello))
                for sessions, server_id in zip(SESSIONS, ids, strict=False):
                    await activate(address, server_id)
                    await asyncio.sleep(_SETTLE_SECONDS)
                    visits[codewalk_label(sessions)].append(
                        await _visit(browser, home, invitation=address)
                    )
                visits[UPSTREAM].append(await _visit(browser, upstream))
    return {name: rounds[1:] for name, rounds in visits.items()}


@asynccontextmanager
async def _hello() -> AsyncIterator[str]:
    """Serve a page of one word for a block, and return its URL."""
    body = b"<!doctype html><title>Hello</title><h1>Hello</h1>"
    head = f"Content-Type: text/html\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n" + head.encode() + body)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"


async def _visit(browser: Chromium, url: str, *, invitation: str | None = None) -> Visit:
    async with browser.cold_page(invitation=invitation) as (page, traffic):
        before = await browser.cpu()
        await page.goto(url, wait_until="commit")
        paint = await evaluate(page, "bench.firstPaint()")
        used = await browser.cpu() - before
        await traffic.wait_until_quiet()
        return {
            "paint_ms": paint,
            "cpu_ms": used * 1000,
            "bytes": traffic.total,
            "requests": traffic.requests,
        }


async def visit_manager(browser: Chromium, folder: Path, urls: Sequence[str]) -> list[Visit]:
    """Visit the manager with many servers, until it answers a search and is idle."""
    env = make_environment(folder)
    names = [f"Box {number:03}" for number in range(len(urls))]
    await add_servers(env, urls, names)
    search = f"bench.answered({locators.SEARCH!r}, {names[-1]!r}, {names[1]!r})"
    init_script = f"bench.interactive = Promise.all([{search}, bench.idle()])"
    visits: list[Visit] = []
    async with run_app(env) as address:
        manager = base_url(address) + locators.MANAGER
        for _ in range(VISITS + 1):
            async with browser.cold_page(invitation=address, init_script=init_script) as (
                page,
                traffic,
            ):
                before = await browser.cpu()
                await page.goto(manager, wait_until="commit")
                answered, idle = await evaluate(page, "bench.interactive")
                used = await browser.cpu() - before
                paint = await evaluate(page, "bench.firstPaint()")
                await traffic.wait_until_quiet()
                visits.append(
                    {
                        "paint_ms": paint,
                        "answered_ms": answered,
                        "idle_ms": idle,
                        "interactive_ms": max(answered, idle),
                        "cpu_ms": used * 1000,
                        "bytes": traffic.total,
                    }
                )
    return visits[1:]
