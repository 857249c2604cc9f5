"""Chromium, measured: with nothing cached, and what comes over the wire counted."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

from playwright.async_api import Browser, CDPSession, Page, async_playwright

from bench.process import until
from tests.browser.conftest import CHROMIUM, system_chromium

QUIET: Final = 0.5
"""Seconds without a request under way after which a page has loaded."""

LOADED_WITHIN: Final = 10.0
"""Seconds that a page has for that at most."""

_IDLE: Final = 0.1
"""Of a core, all processes together."""

_LOOK_EVERY: Final = 0.2

_IN_PAGE: Final = Path(__file__).with_name("in_page.js")
_EVENTS: Final = "text/event-stream"

Message = dict[str, Any]
Shown = Callable[[float, float], Awaitable[None] | None]


@asynccontextmanager
async def chromium() -> AsyncIterator["Chromium"]:
    """A Chromium whose processes run where there is room, as on a user's machine."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=system_chromium(), args=[*CHROMIUM]
        )
        yield Chromium(browser, await browser.new_browser_cdp_session())
        await browser.close()


class Chromium:
    """One browser, whose pages know nothing of each other."""

    def __init__(self, browser: Browser, session: CDPSession) -> None:
        self._browser = browser
        self._session = session

    @asynccontextmanager
    async def cold_page(
        self, *, let_in: str | None = None, prepare: str = "", shown: Shown | None = None
    ) -> AsyncIterator[tuple[Page, "Wire"]]:
        """A page of a new profile, which has nothing but the access cookie that `let_in` gives.

        `prepare` is JavaScript for each new document; `shown` is what `bench.expect` tells.
        """
        context = await self._browser.new_context()
        try:
            context.set_default_timeout(30_000)
            if let_in:
                # Not by the page: what it loads is loaded for the first time.
                await context.request.get(let_in)
            if shown:
                await context.expose_binding("benchShown", lambda _, *times: shown(*times))
            await context.add_init_script(path=_IN_PAGE)
            if prepare:
                await context.add_init_script(script=prepare)
            page = await context.new_page()
            await self._calm()
            wire = Wire(await context.new_cdp_session(page))
            await wire.watch()
            yield page, wire
        finally:
            await context.close()

    async def cpu(self) -> float:
        """Seconds of CPU time that all of the browser's processes have used."""
        found = await self._session.send("SystemInfo.getProcessInfo")
        return sum(float(process["cpuTime"]) for process in found["processInfo"])

    async def _calm(self) -> None:
        """Waits until the browser has nothing left to do for a new page's window.

        Headless as it is, it loads what would drop down from the address bar, which takes a core
        for seconds: that is closed.
        """
        with suppress(TimeoutError):
            await asyncio.wait_for(self._until_idle(), 20)

    async def _until_idle(self) -> None:
        before, now = 0.0, await self.cpu()
        while now - before > _IDLE * _LOOK_EVERY:
            for target in (await self._session.send("Target.getTargets"))["targetInfos"]:
                if target["type"] == "browser_ui":
                    gone = {"targetId": target["targetId"]}
                    await self._session.send("Target.closeTarget", gone)
            await asyncio.sleep(_LOOK_EVERY)
            before, now = now, await self.cpu()


async def told(page: Page, what: str) -> Any:
    """What the page tells of itself; an expression of `in_page.js`, awaited for a minute."""
    return await asyncio.wait_for(page.evaluate(what), 60)


class Wire:
    """The bytes that a page got, as the browser's network stack counted them: heads and bodies,
    compressed as they came, redirects and event streams included."""

    def __init__(self, session: CDPSession) -> None:
        self._session = session
        self._bytes: dict[str, int] = {}
        self._redirects = 0
        self._under_way: set[str] = set()
        self._at = 0.0

    @property
    def total(self) -> int:
        return self._redirects + sum(self._bytes.values())

    @property
    def requests(self) -> int:
        return len(self._bytes)

    async def watch(self) -> None:
        for name, take in (
            ("requestWillBeSent", self._asked),
            ("responseReceived", self._began),
            ("dataReceived", self._went_on),
            ("loadingFinished", self._finished),
            ("loadingFailed", self._ended),
        ):
            self._session.on(f"Network.{name}", take)
        await self._session.send("Network.enable")
        await self._session.send("Network.setCacheDisabled", {"cacheDisabled": True})

    async def quiet(self) -> None:
        """Waits until nothing but event streams is under way, for `LOADED_WITHIN` at most."""
        self._touch()
        with suppress(TimeoutError):
            await until(self._is_quiet, within=LOADED_WITHIN)

    async def _is_quiet(self) -> bool:
        return not self._under_way and asyncio.get_running_loop().time() - self._at > QUIET

    def _asked(self, message: Message) -> None:
        self._redirects += message.get("redirectResponse", {}).get("encodedDataLength", 0)
        self._bytes.setdefault(message["requestId"], 0)
        self._under_way.add(message["requestId"])
        self._touch()

    def _began(self, message: Message) -> None:
        self._bytes[message["requestId"]] = message["response"]["encodedDataLength"]
        if message["response"]["mimeType"] == _EVENTS:
            self._under_way.discard(message["requestId"])

    def _went_on(self, message: Message) -> None:
        self._bytes[message["requestId"]] += message["encodedDataLength"]

    def _finished(self, message: Message) -> None:
        self._bytes[message["requestId"]] = message["encodedDataLength"]
        self._ended(message)

    def _ended(self, message: Message) -> None:
        self._under_way.discard(message["requestId"])
        self._touch()

    def _touch(self) -> None:
        self._at = asyncio.get_running_loop().time()
