"""Many visible windows of one browser: all load and follow, over the six connections it allows."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import Browser, BrowserContext, Error, Page, expect

from tests.browser.elements import (
    CHANGE_TIMEOUT_MS,
    CLOSED,
    expect_sessions,
    notices,
    row,
    switcher_button,
    wait_for_stream,
)
from tests.browser.tabs import open_context, open_tab
from tests.integration.web.notices import announce_notice
from tests.integration.web.web_app import RunningApp, running
from tests.mock_opencode import MockOpenCode

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

WINDOWS = 10
STREAMS = 3
"""Windows of a browser that hold a stream."""

STREAMS_ARE_HELD = """async (count) => {
    const { held } = await navigator.locks.query();
    return held.filter(({ name }) => name.startsWith("stream-")).length === count;
}"""

CAN_BE_HIDDEN = """
    Object.defineProperty(document, "hidden", { get: () => window.away ?? false });
    window.leave = (away) => {
        window.away = away;
        document.dispatchEvent(new Event("visibilitychange"));
    };
"""
"""Windows are hidden by `leave`: a browser without a screen hides none."""

WITHOUT_FOCUS = "document.hasFocus = () => false"
"""A browser without a screen gives each window the focus, so that each takes a stream over."""

WITHOUT_LOCKS = """
    delete Navigator.prototype.locks;
    document.hasFocus = () => !window.away;
    window.leave = (away) => {
        window.away = away;
        window.dispatchEvent(new Event(away ? "blur" : "focus"));
    };
"""
"""As in a page that is neither of this machine nor of HTTPS; `leave` takes the focus away."""


@asynccontextmanager
async def windows(
    context: BrowserContext, web: RunningApp, count: int = WINDOWS, *, init_script: str = ""
) -> AsyncIterator[list[Page]]:
    """Windows with the list of servers, all of them loaded."""
    if init_script:
        await context.add_init_script(init_script)
    async with AsyncExitStack() as stack:
        tabs = [await stack.enter_async_context(open_tab(context, web)) for _ in range(count)]
        for tab in tabs:
            await wait_for_stream(tab)
        yield tabs


async def by_connection(tabs: list[Page]) -> tuple[list[Page], list[Page]]:
    """Waits until three windows hold a stream; returns them, and those that ask again and again."""
    await tabs[0].wait_for_function(STREAMS_ARE_HELD, arg=STREAMS)
    async with asyncio.timeout(10):
        while True:
            kinds = [await tab.locator("#live").get_attribute("data-connected") for tab in tabs]
            if kinds.count("stream") == STREAMS and None not in kinds:
                break
    with_stream = [tab for tab, kind in zip(tabs, kinds, strict=True) if kind == "stream"]
    return with_stream, [tab for tab in tabs if tab not in with_stream]


async def test_ten_visible_windows_load_and_follow(chromium: Browser, tmp_path: Path) -> None:
    async with (
        running(tmp_path, watch=True) as web,
        MockOpenCode() as mock,
        MockOpenCode() as other,
        open_context(chromium) as context,
        windows(context, web) as tabs,
    ):
        mock.world.add_session("First")
        server = await web.app.add_server(mock.url, label="Box")
        await web.app.add_server(other.url, label="Other")
        lists, homes, about = tabs[:4], tabs[4:8], tabs[8:]
        for tabs_of_page, path in ((homes, ""), (about, f"/servers/{server.id}")):
            for tab in tabs_of_page:
                await tab.goto(f"{web.url}{path}")
        for tab in tabs:
            await wait_for_stream(tab)
            await tab.evaluate("window.untouched = true")
        await by_connection(tabs)

        made = mock.world.add_session("Second")
        mock.world.emit("session.created", {"info": made}, directory=mock.world.directory)
        for tab in homes:
            await expect_sessions(tab, "Second", "First", within=CHANGE_TIMEOUT_MS)
        await web.app.add_server(CLOSED, label="New", check=False)
        for tab in lists:
            await expect(row(tab, "New")).to_be_visible(timeout=CHANGE_TIMEOUT_MS)
        announce_notice(web, "New")
        for tab in tabs:
            await expect(notices(tab)).to_have_count(1, timeout=CHANGE_TIMEOUT_MS)
        await mock.stop()
        for tab in about:
            await expect(tab.get_by_role("main")).to_contain_text(
                "unhealthy", timeout=CHANGE_TIMEOUT_MS
            )
        await web.app.switch_to("Other")
        for tab in tabs:
            await expect(switcher_button(tab)).to_contain_text("Other", timeout=CHANGE_TIMEOUT_MS)
            assert await tab.evaluate("window.untouched") is True
        await by_connection(tabs)


async def test_a_window_that_closes_crashes_or_is_hidden_hands_its_stream_over(
    chromium: Browser, tmp_path: Path
) -> None:
    async with running(tmp_path) as web, open_context(chromium) as context:
        await context.add_init_script(CAN_BE_HIDDEN)
        async with windows(context, web, 6) as tabs:
            with_stream, others = await by_connection(tabs)
            closed, crashed, hidden = with_stream
            await closed.close()
            async with crashed.expect_event("crash"):
                with pytest.raises(Error):
                    await crashed.goto("chrome://crash")
            await hidden.evaluate("leave(true)")
            heirs, _ = await by_connection(others)
            assert heirs == others
            await web.app.add_server(CLOSED, label="Box", check=False)
            for tab in others:
                await expect(row(tab, "Box")).to_be_visible(timeout=CHANGE_TIMEOUT_MS)
            # A hidden window catches up when it is looked at again.
            await expect(row(hidden, "Box")).to_have_count(0)
            await hidden.evaluate("leave(false)")
            await expect(row(hidden, "Box")).to_be_visible(timeout=CHANGE_TIMEOUT_MS)


async def test_the_window_that_gets_the_focus_takes_a_stream_over(
    chromium: Browser, tmp_path: Path
) -> None:
    async with (
        running(tmp_path) as web,
        open_context(chromium) as context,
        windows(context, web, 5, init_script=WITHOUT_FOCUS) as tabs,
    ):
        _, (asking, _) = await by_connection(tabs)
        await asking.evaluate("window.dispatchEvent(new Event('focus'))")
        await asking.locator("[data-connected=stream]").wait_for(state="attached")
        with_stream, (loser, _) = await by_connection(tabs)
        assert asking in with_stream
        await web.app.add_server(CLOSED, label="Box", check=False)
        await expect(row(loser, "Box")).to_be_visible(timeout=CHANGE_TIMEOUT_MS)


async def test_without_locks_the_window_with_the_focus_has_the_stream(
    chromium: Browser, tmp_path: Path
) -> None:
    async with running(tmp_path) as web, open_context(chromium) as context:
        await context.add_init_script(WITHOUT_LOCKS)
        async with windows(context, web, 2) as (tab, other):
            await tab.evaluate("leave(true)")
            await tab.locator("[data-connected=poll]").wait_for(state="attached")
            await other.locator("[data-connected=stream]").wait_for(state="attached")
            await web.app.add_server(CLOSED, label="Box", check=False)
            for one in (tab, other):
                await expect(row(one, "Box")).to_be_visible(timeout=CHANGE_TIMEOUT_MS)
            await tab.evaluate("leave(false)")
            await tab.locator("[data-connected=stream]").wait_for(state="attached")
