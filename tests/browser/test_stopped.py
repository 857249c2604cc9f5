"""CodeWalk itself stops: open pages say so, keep what was typed, and continue when it is back."""

import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import Browser, BrowserContext, Locator, Page, Request, expect

from tests.browser.elements import (
    CLOSED,
    button,
    expect_servers,
    expect_sessions,
    field,
    row,
    save,
    switcher_button,
    switcher_panel,
    wait_for_stream,
)
from tests.browser.tabs import open_context
from tests.integration.cli.command import CodeWalk, running
from tests.mock_opencode import MockOpenCode
from tests.real.servers import free_port

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

STOPPED_WITHIN_MS = 4000
"""Milliseconds until a page says that CodeWalk has stopped."""

HEALTHY = "rgb(23, 116, 58)"
GREY = "rgb(93, 95, 100)"

COUNT_READINGS = """() => {
    window.readings = 0;
    const count = ([{ addedNodes }]) => (window.readings += addedNodes.length);
    new MutationObserver(count).observe(document.querySelector("#connection"), { childList: true });
}"""
"""Counts how often the live region is read out."""


def banner(tab: Page) -> Locator:
    return tab.get_by_role("status").filter(has_text="CodeWalk has stopped; run codewalk up.")


@asynccontextmanager
async def up(codewalk: CodeWalk, port: int) -> AsyncIterator[str]:
    """The real command on this port; it is killed at the end. Returns the address to log in."""
    arguments = ("up", "--port", str(port), "--no-browser", "--no-local")
    async with running(codewalk, *arguments) as (_, address):
        yield address


async def open_pages(context: BrowserContext, address: str) -> tuple[Page, Page, Page]:
    """The list of servers, the home and a half-filled form."""
    url = address.partition("/?")[0]
    servers, home, form = [await context.new_page() for _ in range(3)]
    await servers.goto(address)
    await servers.goto(f"{url}/servers")
    await home.goto(url)
    await form.goto(f"{url}/servers/new")
    for tab in (servers, home, form):
        await wait_for_stream(tab)
        await tab.evaluate("window.untouched = true")
        await tab.evaluate(COUNT_READINGS)
    return servers, home, form


async def test_pages_say_that_codewalk_has_stopped_and_continue_when_it_is_back(
    chromium: Browser, tmp_path: Path
) -> None:
    codewalk, port = CodeWalk(data_dir=tmp_path / "data"), free_port()
    async with (
        MockOpenCode() as mock,
        open_context(chromium, color_scheme="light") as context,
        AsyncExitStack() as stack,
    ):
        mock.world.add_session("First")
        added = await codewalk("server", "add", mock.url, "--label", "Box", "--json")
        assert added.status == 0
        async with up(codewalk, port) as address:
            servers, home, form = await open_pages(context, address)
            await expect_sessions(home, "First")
            await expect(row(servers, "Box").locator(".badge")).to_have_css("color", HEALTHY)
            await field(form, "URL").fill(CLOSED)
            await field(form, "Label").fill("Typed")
            await button(home, "New session").click()
            await field(home, "Title").fill("Typed too")
        for tab in (servers, home, form):
            await expect(banner(tab)).to_have_count(1, timeout=STOPPED_WITHIN_MS)
            await expect(banner(tab)).to_be_visible()
            assert await tab.evaluate("window.readings") == 1
            await expect(switcher_button(tab).locator(".badge")).to_have_css("color", GREY)
            await expect(switcher_button(tab)).to_be_disabled()
            await expect(tab.get_by_role("link", name="Servers", exact=True)).to_be_disabled()
        await expect(row(servers, "Box").locator(".badge")).to_have_css("color", GREY)
        for disabled in (
            button(servers, "Check all"),
            button(servers, "Actions for Box"),
            button(home, "Create"),
            button(home, "Refresh"),
            button(form, "Save"),
        ):
            await expect(disabled).to_be_disabled()
        await expect(button(home, "New session")).to_be_enabled()

        added = await codewalk("server", "add", f"{CLOSED}/2", "--label", "New", "--no-check")
        assert added.status == 0
        mock.world.add_session("Second")
        await stack.enter_async_context(up(codewalk, port))
        for tab in (servers, home, form):
            await expect(banner(tab)).to_have_count(0)
            await expect(switcher_button(tab)).to_be_enabled()
            await expect(switcher_button(tab).locator(".badge")).to_have_css("color", HEALTHY)
            assert await tab.evaluate("window.untouched") is True
        await expect_servers(servers, "Box", "New")
        await expect(row(servers, "Box").locator(".badge")).to_have_css("color", HEALTHY)
        await expect_sessions(home, "Second", "First")
        await expect(field(home, "Title")).to_have_value("Typed too")
        await button(home, "Create").click()
        await expect_sessions(home, "Typed too", "Second", "First")
        await expect(field(form, "Label")).to_have_value("Typed")
        await button(form, "Save").click()
        await save(form, "Save anyway")
        await expect_servers(servers, "Box", "New", "Typed")


async def test_a_stopped_page_sends_nothing_but_asks_without_credentials(
    chromium: Browser, tmp_path: Path
) -> None:
    codewalk, port = CodeWalk(data_dir=tmp_path / "data"), free_port()
    requests: list[Request] = []

    def record(request: Request) -> None:
        requests.append(request)

    async with MockOpenCode() as mock, open_context(chromium) as context:
        await codewalk("server", "add", mock.url, "--label", "Box", "--json")
        async with up(codewalk, port) as address:
            servers, home, form = await open_pages(context, address)
            await field(form, "Label").fill("Typed")
        for tab in (servers, home, form):
            await expect(banner(tab)).to_be_visible(timeout=STOPPED_WITHIN_MS)
        context.on("request", record)
        address = form.url
        await field(form, "Label").press("Enter")
        await button(form, "Save").click(force=True)
        await form.get_by_role("link", name="Sessions", exact=True).click(force=True)
        await expect(field(form, "Label")).to_have_value("Typed")
        assert form.url == address
        for act in ("Control+k", "Control+K", "Meta+k"):
            before = await home.evaluate("window.readings")
            await home.keyboard.press(act)
            await home.wait_for_function("(before) => window.readings > before", arg=before)
            await expect(switcher_panel(home)).to_be_hidden()
        await home.evaluate("window.dispatchEvent(new Event('focus'))")
        await button(servers, "Move Box").focus()
        await servers.keyboard.press("ArrowDown")
        await expect(servers.locator("[data-moving]")).to_have_count(0)
        async with servers.expect_request("**/healthz"):
            pass
        paths = {request.url.removeprefix(f"http://127.0.0.1:{port}") for request in requests}
        assert paths == {"/api/v1/healthz"}
        for request in requests:
            assert "cookie" not in await request.all_headers()


async def test_a_stop_in_the_usual_way_is_seen_by_windows_with_and_without_a_stream(
    chromium: Browser, tmp_path: Path
) -> None:
    codewalk, port = CodeWalk(data_dir=tmp_path / "data"), free_port()
    arguments = ("up", "--port", str(port), "--no-browser", "--no-local")
    async with open_context(chromium) as context:
        async with running(codewalk, *arguments) as (process, address):
            tabs = [await context.new_page() for _ in range(5)]
            for tab in tabs:
                await tab.goto(address if tab is tabs[0] else tabs[0].url)
                await wait_for_stream(tab)
            process.send_signal(signal.SIGTERM)
            for tab in tabs:
                await expect(banner(tab)).to_be_visible(timeout=STOPPED_WITHIN_MS)
            await process.wait()
        async with up(codewalk, port):
            for tab in tabs:
                await expect(banner(tab)).to_have_count(0)
                await wait_for_stream(tab)


async def test_a_codewalk_that_hangs_is_noticed_by_its_silence(
    chromium: Browser, tmp_path: Path
) -> None:
    codewalk, port = CodeWalk(data_dir=tmp_path / "data"), free_port()
    arguments = ("up", "--port", str(port), "--no-browser", "--no-local")
    async with (
        open_context(chromium) as context,
        running(codewalk, *arguments) as (process, address),
    ):
        tab = await context.new_page()
        await tab.clock.install()
        await tab.goto(address)
        await wait_for_stream(tab)
        process.send_signal(signal.SIGSTOP)
        try:
            await tab.clock.fast_forward("01:00")
            await expect(banner(tab)).to_be_visible()
        finally:
            process.send_signal(signal.SIGCONT)
        await expect(banner(tab)).to_have_count(0)
        await wait_for_stream(tab)
