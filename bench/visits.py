"""Cold visits: nothing in the browser's cache, a new profile each time, alternating."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from bench import screen
from bench.chromium import Chromium, told
from bench.mocks import mock_servers
from bench.process import cores
from bench.up import activate, environment, keep, up, url_of
from bench.upstream import opencode

VISITS: Final = 15
SESSIONS: Final = (100, 1000)
UPSTREAM: Final = "OpenCode's own"
HELLO: Final = "a page of one word"
"""The floor: what is Chromium's own part of any visit."""

_NAMES: Final = ("Laptop", "Workstation", "Cloud box", "Container", "Old laptop")
_REFUSES: Final = "http://127.0.0.1:9"

_SETTLED: Final = 0.5
"""Seconds after a switch; what follows from it is over then."""

Visit = Mapping[str, float]


def ours(sessions: int) -> str:
    """What a visit to CodeWalk is called, whose active server has so many sessions."""
    return f"CodeWalk, {sessions:,} sessions"


async def visit_homes(browser: Chromium, folder: Path) -> dict[str, list[Visit]]:
    """CodeWalk's home with five servers, one of them down, and the page of an OpenCode server.

    Each round visits all of them; the first one isn't counted: servers warm up too.
    """
    env = environment(folder)
    names = (HELLO, *map(ours, SESSIONS), UPSTREAM)
    found: dict[str, list[Visit]] = {name: [] for name in names}
    async with (
        mock_servers(*SESSIONS, 20, 20, core=cores()[1]) as urls,
        opencode(folder) as upstream,
        _hello() as hello,
    ):
        ids = await keep(env, [*urls, _REFUSES], _NAMES, cached=len(SESSIONS))
        async with up(env) as address:
            home = url_of(address) + screen.HOME
            for _ in range(VISITS + 1):
                found[HELLO].append(await _visit(browser, hello))
                for sessions, server_id in zip(SESSIONS, ids, strict=False):
                    await activate(address, server_id)
                    await asyncio.sleep(_SETTLED)
                    found[ours(sessions)].append(await _visit(browser, home, let_in=address))
                found[UPSTREAM].append(await _visit(browser, upstream))
    return {name: visits[1:] for name, visits in found.items()}


@asynccontextmanager
async def _hello() -> AsyncIterator[str]:
    """The URL of a page of one word."""
    body = b"<!doctype html><title>Hello</title><h1>Hello</h1>"
    head = f"Content-Type: text/html\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n" + head.encode() + body)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"


async def _visit(browser: Chromium, url: str, *, let_in: str | None = None) -> Visit:
    async with browser.cold_page(let_in=let_in) as (page, wire):
        before = await browser.cpu()
        await page.goto(url, wait_until="commit")
        paint = await told(page, "bench.firstPaint()")
        used = await browser.cpu() - before
        await wire.quiet()
        return {
            "paint_ms": paint,
            "cpu_ms": used * 1000,
            "bytes": wire.total,
            "requests": wire.requests,
        }


async def visit_manager(browser: Chromium, folder: Path, urls: Sequence[str]) -> list[Visit]:
    """The manager with many servers, until it answers a search and has nothing left to do."""
    env = environment(folder)
    names = [f"Box {number:03}" for number in range(len(urls))]
    await keep(env, urls, names)
    asked = f"bench.answered({screen.SEARCH!r}, {names[-1]!r}, {names[1]!r})"
    prepare = f"bench.interactive = Promise.all([{asked}, bench.idle()])"
    found: list[Visit] = []
    async with up(env) as address:
        manager = url_of(address) + screen.MANAGER
        for _ in range(VISITS + 1):
            async with browser.cold_page(let_in=address, prepare=prepare) as (page, wire):
                before = await browser.cpu()
                await page.goto(manager, wait_until="commit")
                answered, idle = await told(page, "bench.interactive")
                used = await browser.cpu() - before
                paint = await told(page, "bench.firstPaint()")
                await wire.quiet()
                found.append(
                    {
                        "paint_ms": paint,
                        "answered_ms": answered,
                        "idle_ms": idle,
                        "interactive_ms": max(answered, idle),
                        "cpu_ms": used * 1000,
                        "bytes": wire.total,
                    }
                )
    return found[1:]
