"""Records when a page shows a server's state, for the tests and the benchmark of outages."""

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, NamedTuple, Self

import aiohttp
from playwright.async_api import Page

WATCH: Final = """() => {
    const states = new Map();
    const look = () => {
        for (const row of document.querySelectorAll("#rows > li")) {
            const state = row.querySelector(".badge").textContent.trim();
            const name = row.querySelector(".name").textContent;
            if (states.get(name) === state) continue;
            states.set(name, state);
            // A first frame's callback runs before that frame is painted.
            const painted = () => rowShown(name, state, Date.now());
            requestAnimationFrame(() => requestAnimationFrame(painted));
        }
    };
    look();
    new MutationObserver(look).observe(document, {
        subtree: true, childList: true, characterData: true, attributes: true,
    });
}"""
"""Reports each state that a row in the manager shows, and when it was painted: up to a frame too
late, never too early."""


class RowState(NamedTuple):
    """A row showed a state, at a time in seconds since the epoch."""

    name: str
    state: str
    at: float


@dataclass(frozen=True, kw_only=True, slots=True)
class RowWatcher:
    """The states that the rows of the manager show from now on."""

    queue: "asyncio.Queue[RowState]"

    @classmethod
    async def watch(cls, page: Page) -> Self:
        queue: asyncio.Queue[RowState] = asyncio.Queue()

        def take(_: object, name: str, state: str, at: float) -> None:
            queue.put_nowait(RowState(name, state, at / 1000))

        await page.expose_binding("rowShown", take)
        await page.evaluate(WATCH)
        return cls(queue=queue)

    async def until(self, name: str, state: str, *, within: float) -> tuple[float, list[RowState]]:
        """Return when the row showed this, and what others showed meanwhile.

        Raises:
            TimeoutError: It didn't within so many seconds.
        """
        others: list[RowState] = []
        async with asyncio.timeout(within):
            while True:
                change = await self.queue.get()
                if change.name != name:
                    others.append(change)
                elif change.state == state:
                    return change.at, others


async def wait_for_link(page: Page, name: str, *, within: float = 30.0) -> None:
    """Waits until a row says that its server's link is live."""
    row = page.get_by_role("listitem", name=name, exact=True)
    await row.get_by_text("live", exact=True).wait_for(timeout=within * 1000)


async def first_answer(url: str, *, within: float = 60.0) -> float:
    """Return the time at which a server answers again, in seconds since the epoch.

    Asked each 50 ms, also while earlier requests are under way: one that has just begun to listen
    takes some and leaves them.
    """
    first: asyncio.Future[float] = asyncio.get_running_loop().create_future()

    async def ask(session: aiohttp.ClientSession) -> None:
        with suppress(aiohttp.ClientError, TimeoutError):
            async with session.get(f"{url}/global/health") as answer:
                if answer.ok and not first.done():
                    first.set_result(time.time())

    async with (
        asyncio.timeout(within),
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as session,
        asyncio.TaskGroup() as group,
    ):
        asking: list[asyncio.Task[None]] = []
        while not first.done():
            asking.append(group.create_task(ask(session), name=f"ask {url}"))
            await asyncio.wait((first,), timeout=0.05)
        for task in asking:
            task.cancel()
    return first.result()
