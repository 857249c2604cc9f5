"""A page at work: switches from click to paint, and typing while everything changes."""

import asyncio
import sys
from collections.abc import Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Any, Final

from playwright.async_api import Page, expect

from bench import screen
from bench.chromium import Chromium, told
from bench.contenders.mock_servers import MARKS
from bench.mocks import mock_servers
from bench.process import cores, line_of, started
from bench.up import environment, keep, up, url_of

SWITCHES: Final = 50
SESSIONS: Final = 1000

CHANGES: Final = 200
"""Health changes a second."""

TYPING: Final = 10.0
"""Seconds of them."""

_PAUSES: Final = (0.0, 0.05, 0.2, 0.5)
"""Seconds between two switches: some come while the fresh list is on its way, some after."""

_KEY_EVERY: Final = 0.1
"""Seconds between two keys: a quick typist's."""

_SEARCH: Final = "box 1"
_NAMES: Final = ("Alpha", "Beta")


async def switch(browser: Chromium, folder: Path) -> list[float]:
    """The milliseconds of each switch, from the click until the other sessions are painted."""
    env = environment(folder)
    shown: asyncio.Queue[float] = asyncio.Queue()

    def take(clicked: float, painted: float) -> None:
        shown.put_nowait(painted - clicked)

    async with mock_servers(SESSIONS, SESSIONS, core=cores()[1]) as urls:
        await keep(env, urls, _NAMES, cached=2)
        async with (
            up(env) as address,
            browser.cold_page(let_in=address, shown=take) as (page, _),
        ):
            await page.goto(url_of(address) + screen.HOME)
            await expect(screen.session(page, MARKS[1])).to_be_visible()
            return await _switch_often(page, shown)


async def _switch_often(page: Page, shown: asyncio.Queue[float]) -> list[float]:
    found = []
    for number, pause in enumerate(islice(cycle(_PAUSES), SWITCHES + 2)):
        to = number % 2
        await page.evaluate("marks => bench.expect(...marks)", [MARKS[to], MARKS[1 - to]])
        await screen.opener(page).click()
        await screen.pick(page, _NAMES[to]).click()
        found.append(await asyncio.wait_for(shown.get(), 20))
        await expect(screen.session(page, MARKS[to])).to_be_visible()
        await asyncio.sleep(pause)
    return found[2:]


async def type_in_a_storm(browser: Chromium, folder: Path, urls: Sequence[str]) -> dict[str, Any]:
    """How a search is typed into the manager while the servers' health changes."""
    folder.mkdir()
    listed = folder / "urls"
    listed.write_text("\n".join(urls))
    order = [str(CHANGES), str(TYPING)]
    command = [sys.executable, "-m", "bench.contenders.changing"]
    async with started(*command, folder, listed, *order) as app:
        address = await line_of(app, "ready", within=60)
        async with browser.cold_page(let_in=address) as (page, wire):
            await page.goto(url_of(address) + screen.MANAGER)
            await screen.search(page).focus()
            await wire.quiet()
            before = wire.total
            await told(page, "bench.beginWatch()")
            changed, typed = await _type_meanwhile(page, app)
            found = await told(page, "bench.endWatch()")
            sent = wire.total - before
            return {**found, "typed": typed, "changes": changed, "bytes": sent}


async def _type_meanwhile(page: Page, app: asyncio.subprocess.Process) -> tuple[int, int]:
    """Types until the app has changed all it was told to change: how many changes, and keys."""
    assert app.stdin is not None
    over = asyncio.Event()

    async def change() -> int:
        try:
            return int(await line_of(app, "changed", within=TYPING + 30))
        finally:
            over.set()

    async with asyncio.TaskGroup() as group:
        app.stdin.write(b"go\n")
        changed = group.create_task(change(), name="changes")
        typed = group.create_task(_type(page, over), name="typing")
    return changed.result(), typed.result()


async def _type(page: Page, over: asyncio.Event) -> int:
    """A search, letter by letter, taken back in the same way, until it is over; how many keys."""
    keys = cycle([*_SEARCH, *["Backspace"] * len(_SEARCH)])
    typed = 0
    while not over.is_set():
        await page.keyboard.press(next(keys))
        typed += 1
        await asyncio.sleep(_KEY_EVERY)
    return typed
