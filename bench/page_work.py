"""Pages in use: switches from click to paint, and typing while servers change."""

import asyncio
import sys
from collections.abc import Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Any, Final

from playwright.async_api import Page, expect

from bench import locators
from bench.app import add_servers, base_url, make_environment, run_app
from bench.chromium import Chromium, evaluate
from bench.contenders.mock_servers import MARKS
from bench.mock_servers import mock_servers
from bench.process import cores, read_line, started

SWITCHES: Final = 50
SESSIONS: Final = 1000

CHANGES_PER_SECOND: Final = 200
"""Health changes a second while a search is typed."""

TYPING_SECONDS: Final = 10.0
"""Seconds for which a search is typed."""

_PAUSES: Final = (0.0, 0.05, 0.2, 0.5)
"""Seconds between two switches: some come while the list is being fetched, some after that."""

_KEY_INTERVAL: Final = 0.1
"""Seconds between two keys of a quick typist."""

_SEARCH_TEXT: Final = "box 1"
_NAMES: Final = ("Alpha", "Beta")


async def measure_switches(browser: Chromium, folder: Path) -> list[float]:
    """Return the milliseconds of each switch, from the click until the sessions are painted."""
    env = make_environment(folder)
    durations: asyncio.Queue[float] = asyncio.Queue()

    def on_painted(clicked: float, painted: float) -> None:
        durations.put_nowait(painted - clicked)

    async with mock_servers(SESSIONS, SESSIONS, core=cores()[1]) as urls:
        await add_servers(env, urls, _NAMES, cached=2)
        async with (
            run_app(env) as address,
            browser.cold_page(invitation=address, on_painted=on_painted) as (page, _),
        ):
            await page.goto(base_url(address) + locators.HOME)
            await expect(locators.session_title(page, MARKS[1])).to_be_visible()
            return await _switch_repeatedly(page, durations)


async def _switch_repeatedly(page: Page, durations: asyncio.Queue[float]) -> list[float]:
    results = []
    for number, pause in enumerate(islice(cycle(_PAUSES), SWITCHES + 2)):
        target = number % 2
        await page.evaluate("marks => bench.expect(...marks)", [MARKS[target], MARKS[1 - target]])
        await locators.switcher_button(page).click()
        await locators.switch_button(page, _NAMES[target]).click()
        results.append(await asyncio.wait_for(durations.get(), 20))
        await expect(locators.session_title(page, MARKS[target])).to_be_visible()
        await asyncio.sleep(pause)
    return results[2:]


async def type_during_changes(
    browser: Chromium, folder: Path, urls: Sequence[str]
) -> dict[str, Any]:
    """Type a search into the manager while the health of its servers changes."""
    folder.mkdir()
    url_file = folder / "urls"
    url_file.write_text("\n".join(urls))
    arguments = [str(CHANGES_PER_SECOND), str(TYPING_SECONDS)]
    command = [sys.executable, "-m", "bench.contenders.changing_app"]
    async with started(*command, folder, url_file, *arguments) as app:
        address = await read_line(app, "ready", timeout=60)
        async with browser.cold_page(invitation=address) as (page, traffic):
            await page.goto(base_url(address) + locators.MANAGER)
            await locators.search_field(page).focus()
            await traffic.wait_until_quiet()
            before = traffic.total
            await evaluate(page, "bench.beginWatch()")
            changes, keys = await _type_meanwhile(page, app)
            measured = await evaluate(page, "bench.endWatch()")
            sent = traffic.total - before
            return {**measured, "typed": keys, "changes": changes, "bytes": sent}


async def _type_meanwhile(page: Page, app: asyncio.subprocess.Process) -> tuple[int, int]:
    """Type until the app has made all its changes; return the numbers of changes and of keys."""
    assert app.stdin is not None
    done = asyncio.Event()

    async def wait_for_changes() -> int:
        try:
            return int(await read_line(app, "changed", timeout=TYPING_SECONDS + 30))
        finally:
            done.set()

    async with asyncio.TaskGroup() as group:
        app.stdin.write(b"go\n")
        changed = group.create_task(wait_for_changes(), name="changes")
        typed = group.create_task(_type(page, done), name="typing")
    return changed.result(), typed.result()


async def _type(page: Page, done: asyncio.Event) -> int:
    """Type a search and delete it again, until `done`; return the number of keys."""
    keys = cycle([*_SEARCH_TEXT, *["Backspace"] * len(_SEARCH_TEXT)])
    typed = 0
    while not done.is_set():
        await page.keyboard.press(next(keys))
        typed += 1
        await asyncio.sleep(_KEY_INTERVAL)
    return typed
