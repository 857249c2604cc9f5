"""Chromium with an empty cache, and a count of the bytes that its pages receive."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

from playwright.async_api import Browser, CDPSession, Page, async_playwright

from bench.process import wait_until
from tests.browser.conftest import CHROMIUM, system_chromium

QUIET_SECONDS: Final = 0.5
"""Seconds without a request in flight after which a page has loaded."""

LOAD_TIMEOUT: Final = 10.0
"""Seconds to wait for that."""

_MAX_IDLE_LOAD: Final = 0.1
"""CPU load of all its processes, in cores, below which the browser is idle."""

_POLL_INTERVAL: Final = 0.2

_PAGE_SCRIPT: Final = Path(__file__).with_name("in_page.js")
_EVENT_STREAM: Final = "text/event-stream"

Message = dict[str, Any]
OnPainted = Callable[[float, float], Awaitable[None] | None]


@asynccontextmanager
async def chromium() -> AsyncIterator["Chromium"]:
    """Start a Chromium whose processes may use every core, as on a user's machine."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=system_chromium(), args=[*CHROMIUM]
        )
        yield Chromium(browser, await browser.new_browser_cdp_session())
        await browser.close()


class Chromium:
    """One browser; each of its pages has a profile of its own."""

    def __init__(self, browser: Browser, session: CDPSession) -> None:
        self._browser = browser
        self._session = session

    @asynccontextmanager
    async def cold_page(
        self,
        *,
        invitation: str | None = None,
        init_script: str = "",
        on_painted: OnPainted | None = None,
    ) -> AsyncIterator[tuple[Page, "Traffic"]]:
        """Open a page with a new profile for a block, and return it with its traffic.

        Args:
            invitation: A URL that gives the profile access to the app.
            init_script: JavaScript to run in each new document.
            on_painted: Called with the two times that `bench.expect` measures.
        """
        context = await self._browser.new_context()
        try:
            context.set_default_timeout(30_000)
            if invitation:
                # Not by the page, whose requests all have to be its first ones.
                await context.request.get(invitation)
            if on_painted:
                await context.expose_binding("benchPainted", lambda _, *times: on_painted(*times))
            await context.add_init_script(path=_PAGE_SCRIPT)
            if init_script:
                await context.add_init_script(script=init_script)
            page = await context.new_page()
            await self._wait_until_idle()
            traffic = Traffic(await context.new_cdp_session(page))
            await traffic.watch()
            yield page, traffic
        finally:
            await context.close()

    async def cpu(self) -> float:
        """Return the seconds of CPU time that all of the browser's processes have used."""
        info = await self._session.send("SystemInfo.getProcessInfo")
        return sum(float(process["cpuTime"]) for process in info["processInfo"])

    async def _wait_until_idle(self) -> None:
        """Wait until the browser has prepared the window of a new page.

        Although it is headless, it loads the suggestions of an address bar, which uses a core for
        seconds: those are closed.
        """
        with suppress(TimeoutError):
            await asyncio.wait_for(self._poll_until_idle(), 20)

    async def _poll_until_idle(self) -> None:
        before, now = 0.0, await self.cpu()
        while now - before > _MAX_IDLE_LOAD * _POLL_INTERVAL:
            for target in (await self._session.send("Target.getTargets"))["targetInfos"]:
                if target["type"] == "browser_ui":
                    closing = {"targetId": target["targetId"]}
                    await self._session.send("Target.closeTarget", closing)
            await asyncio.sleep(_POLL_INTERVAL)
            before, now = now, await self.cpu()


async def evaluate(page: Page, expression: str) -> Any:
    """Evaluate an expression of `in_page.js` in the page; it may take a minute."""
    return await asyncio.wait_for(page.evaluate(expression), 60)


class Traffic:
    """The bytes that a page received, as the browser's network stack counts them.

    Headers and bodies, compressed as they were sent, redirects and event streams included.
    """

    def __init__(self, session: CDPSession) -> None:
        self._session = session
        self._bytes: dict[str, int] = {}
        self._redirects = 0
        self._in_flight: set[str] = set()
        self._last_change = 0.0

    @property
    def total(self) -> int:
        return self._redirects + sum(self._bytes.values())

    @property
    def requests(self) -> int:
        return len(self._bytes)

    async def watch(self) -> None:
        for name, handler in (
            ("requestWillBeSent", self._on_request),
            ("responseReceived", self._on_response),
            ("dataReceived", self._on_data),
            ("loadingFinished", self._on_finished),
            ("loadingFailed", self._on_ended),
        ):
            self._session.on(f"Network.{name}", handler)
        await self._session.send("Network.enable")
        await self._session.send("Network.setCacheDisabled", {"cacheDisabled": True})

    async def wait_until_quiet(self) -> None:
        """Wait until only event streams are in flight, for `LOAD_TIMEOUT` at most."""
        self._touch()
        with suppress(TimeoutError):
            await wait_until(self._is_quiet, timeout=LOAD_TIMEOUT)

    async def _is_quiet(self) -> bool:
        return (
            not self._in_flight
            and asyncio.get_running_loop().time() - self._last_change > QUIET_SECONDS
        )

    def _on_request(self, message: Message) -> None:
        self._redirects += message.get("redirectResponse", {}).get("encodedDataLength", 0)
        self._bytes.setdefault(message["requestId"], 0)
        self._in_flight.add(message["requestId"])
        self._touch()

    def _on_response(self, message: Message) -> None:
        self._bytes[message["requestId"]] = message["response"]["encodedDataLength"]
        if message["response"]["mimeType"] == _EVENT_STREAM:
            self._in_flight.discard(message["requestId"])

    def _on_data(self, message: Message) -> None:
        self._bytes[message["requestId"]] += message["encodedDataLength"]

    def _on_finished(self, message: Message) -> None:
        self._bytes[message["requestId"]] = message["encodedDataLength"]
        self._on_ended(message)

    def _on_ended(self, message: Message) -> None:
        self._in_flight.discard(message["requestId"])
        self._touch()

    def _touch(self) -> None:
        self._last_change = asyncio.get_running_loop().time()
