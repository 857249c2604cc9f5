"""Notices show in every open page, and on the desktop of those who allow it."""

from datetime import timedelta
from pathlib import Path
from typing import Final

import pytest
from playwright.async_api import Browser, Locator, Page, expect

from codewalk.health.link import LinkState
from codewalk.notifications.notice import NoticeKind
from codewalk.web.text import LINK_DESCRIPTIONS
from tests.browser.elements import (
    CHANGE_TIMEOUT_MS,
    CLOSED,
    button,
    notices,
    row,
    wait_for_stream,
)
from tests.browser.tabs import open_context, open_tab, opened
from tests.integration.web.notices import announce_notice
from tests.integration.web.web_app import running
from tests.mock_behaviours import never
from tests.mock_opencode import MockOpenCode

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

LOST = "Connection to CodeWalk lost."
RELOAD = "Reload this page"

PHONE: Final = {"width": 360, "height": 740}

DESK = """
    window.notifications = [];
    window.Notification = class extends Notification {
        constructor(title, options) {
            super(title, options);
            if (options) window.notifications.push([title, options.body, options.tag]);
        }
    };
    Object.defineProperty(document, "hidden", { get: () => window.away ?? false });
"""
"""Keeps what the desktop is asked to show, but for what only tries whether it could be. A tab is
hidden while `away` is true: a browser without a screen hides none."""

BLOCKED = """
    Object.defineProperty(Notification, "permission", { get: () => "denied" });
"""
WITHOUT = "delete window.Notification"
ANDROID = """
    window.Notification = class {
        static permission = "default";
        constructor() { throw new TypeError("Illegal constructor."); }
    };
"""
"""There it can be asked for, and a page alone can make none."""


def desktop_switch(tab: Page) -> Locator:
    return tab.get_by_role("switch", name="Desktop notifications", exact=True)


async def test_a_notice_is_a_toast_in_every_page_and_links_to_the_server(
    chromium: Browser, tmp_path: Path
) -> None:
    async with (
        opened(chromium, tmp_path) as (web, tab),
        open_tab(tab.context, web) as other,
    ):
        server = await web.app.add_server(CLOSED, label="Box", check=False)
        await other.goto(f"{web.url}/servers/new")
        for one in (tab, other):
            await wait_for_stream(one)
        announce_notice(web, "Box")
        said = "Box is down. Nothing listens at this address."
        for one in (tab, other):
            await expect(notices(one)).to_have_count(1, timeout=CHANGE_TIMEOUT_MS)
            await expect(notices(one).locator("p")).to_have_text(said)
        announce_notice(web, "Box", NoticeKind.UP, downtime=timedelta(seconds=9))
        for one in (tab, other):
            await expect(notices(one)).to_have_count(1, timeout=CHANGE_TIMEOUT_MS)
            await expect(notices(one)).to_contain_text("Box is back. It was down for 9 s.")
        await notices(other).get_by_role("link", name="Box").click()
        await expect(other).to_have_url(f"{web.url}/servers#server-{server.id}")
        await expect(row(other, "Box")).to_be_in_viewport()


async def test_two_hundred_at_once_are_one_toast_with_three_lines_and_a_link_to_all(
    chromium: Browser, tmp_path: Path
) -> None:
    async with opened(chromium, tmp_path, viewport=PHONE) as (web, tab):
        for number in range(20):
            name = f"Box {number} with a rather long name"
            await web.app.add_server(f"{CLOSED}/{number}", label=name, check=False)
        await tab.goto(f"{web.url}/servers/new")
        await wait_for_stream(tab)
        await expect(button(tab, "Close notices")).to_be_hidden()
        for number in range(20):
            announce_notice(web, f"Box {number} with a rather long name")
        await expect(notices(tab)).to_have_count(4, timeout=CHANGE_TIMEOUT_MS)
        await expect(notices(tab).last).to_have_text("17 more servers have news.")
        await expect(notices(tab).last).to_be_in_viewport(ratio=1)
        toast = await tab.locator("#notices").bounding_box()
        assert toast
        assert toast["height"] <= PHONE["height"] / 3
        await notices(tab).last.get_by_role("link").click()
        await expect(tab).to_have_url(f"{web.url}/servers")


@pytest.mark.parametrize("height", [740, 360])
async def test_toasts_take_a_third_of_a_phone_at_most_and_are_closed_together(
    chromium: Browser, tmp_path: Path, height: int
) -> None:
    view = {"width": 360, "height": height}
    async with opened(chromium, tmp_path, viewport=view, has_touch=True) as (web, tab):
        for number in range(6):
            await web.app.add_server(f"{CLOSED}/{number}", label=f"Box {number}", check=False)
        removed = web.app.server("Box 5").id
        await web.app.remove_server(removed)
        await tab.goto(f"{web.url}/servers?removed={removed}")
        await wait_for_stream(tab)
        for number in range(5):
            announce_notice(web, f"Box {number}")
        await web.app.switch_to("Box 1", force=True)
        await expect(notices(tab)).to_have_count(4, timeout=CHANGE_TIMEOUT_MS)
        await expect(tab.get_by_text("Box 1 is the active server now.")).to_have_count(1)
        stack = await tab.locator("#toasts").bounding_box()
        assert stack
        assert stack["height"] <= height / 3
        await expect(button(tab, "Undo")).to_be_in_viewport(ratio=1)
        close = button(tab, "Close notices")
        await expect(close).to_be_in_viewport(ratio=1)
        await close.tap()
        await expect(notices(tab)).to_have_count(0)
        await expect(close).to_be_hidden()
        await expect(tab.get_by_role("main")).to_be_focused()
        await expect(button(tab, "Undo")).to_be_visible()


async def test_one_tab_shows_notifications_on_the_desktop_while_it_is_hidden(
    chromium: Browser, tmp_path: Path
) -> None:
    async with running(tmp_path) as web, open_context(chromium) as context:
        server = await web.app.add_server(CLOSED, label="Box", check=False)
        await context.add_init_script(DESK)
        async with open_tab(context, web) as tab, open_tab(context, web) as other:
            await expect(desktop_switch(tab)).to_be_visible()
            await context.grant_permissions(["notifications"])
            await expect(desktop_switch(tab)).not_to_be_checked()
            await desktop_switch(tab).click()
            for one in (tab, other):
                await expect(desktop_switch(one)).to_be_checked()
                await wait_for_stream(one)

            announce_notice(web, "Box")  # somebody sees the toast
            for one in (tab, other):
                await expect(notices(one)).to_have_count(1, timeout=CHANGE_TIMEOUT_MS)
                await one.evaluate("window.away = true")
            announce_notice(web, "Box", NoticeKind.UP, downtime=timedelta(seconds=9))
            notification = ["Box is back", "It was down for 9 s.", f"state-of-{server.id}"]
            await tab.wait_for_function("() => window.notifications.length")
            await expect(notices(other)).to_contain_text("Box is back")
            assert await tab.evaluate("window.notifications") == [notification]
            assert await other.evaluate("window.notifications") == []

            # Another one takes it over.
            async with other.expect_response("**/live/notices"):
                await tab.close()
            announce_notice(web, "Box")
            await other.wait_for_function("() => window.notifications.length")


async def test_notifications_on_the_desktop_are_turned_off_and_on_for_the_whole_browser(
    chromium: Browser, tmp_path: Path
) -> None:
    async with running(tmp_path) as web, open_context(chromium) as context:
        await web.app.add_server(CLOSED, label="Box", check=False)
        await context.add_init_script(DESK)
        await context.grant_permissions(["notifications"])
        async with open_tab(context, web) as tab, open_tab(context, web) as other:
            await desktop_switch(other).press("Space")
            for one in (tab, other):
                await expect(desktop_switch(one)).to_be_checked()
                await one.evaluate("window.away = true")
            announce_notice(web, "Box")
            await tab.wait_for_function("() => window.notifications.length === 1")

            await desktop_switch(other).click()  # not the tab that shows them
            await expect(desktop_switch(tab)).not_to_be_checked()
            announce_notice(web, "Box", NoticeKind.UP, downtime=timedelta(seconds=9))
            for one in (tab, other):
                await expect(notices(one)).to_contain_text("Box is back")
            # Messages come in order: what follows shows that this one was read.
            await desktop_switch(other).click()
            await expect(desktop_switch(tab)).to_be_checked()
            announce_notice(web, "Box")
            await tab.wait_for_function("() => window.notifications.length === 2")
            titles = [title for title, *_ in await tab.evaluate("window.notifications")]
            assert titles == ["Box is down", "Box is down"]

            await desktop_switch(other).click()
            await tab.reload()
            await expect(desktop_switch(tab)).not_to_be_checked()


async def test_notifications_that_the_browser_blocks_are_said_to_be(
    chromium: Browser, tmp_path: Path
) -> None:
    async with running(tmp_path) as web, open_context(chromium) as context:
        await context.add_init_script(BLOCKED)
        async with open_tab(context, web) as tab:
            blocked = tab.get_by_role(
                "switch", name="Desktop notifications are blocked by the browser"
            )
            await expect(blocked).to_be_visible()
            await expect(blocked).to_be_disabled()
            await expect(blocked).not_to_be_checked()


@pytest.mark.parametrize("browser", [WITHOUT, ANDROID])
async def test_notices_are_not_offered_where_there_can_be_none(
    chromium: Browser, tmp_path: Path, browser: str
) -> None:
    async with running(tmp_path) as web, open_context(chromium) as context:
        await context.add_init_script(browser)
        async with open_tab(context, web) as tab:
            await wait_for_stream(tab)
            await expect(tab.locator("[data-notifies]")).to_be_hidden()


async def test_a_row_shows_the_link_state(chromium: Browser, tmp_path: Path) -> None:
    async with (
        opened(chromium, tmp_path, watch=True) as (web, tab),
        MockOpenCode() as mock,
        MockOpenCode() as mute,
    ):
        mute.script("/global/event", never())
        await web.app.add_server(mock.url, label="Tells")
        await web.app.add_server(mute.url, label="Mute")
        await web.app.add_server(CLOSED, label="Down", check=False)
        # Nothing announces that a link is there: the page looks by itself.
        for name, state in (("Tells", "live"), ("Mute", "connecting"), ("Down", "polling")):
            link = row(tab, name).get_by_text(state, exact=True)
            await expect(link).to_have_attribute("title", LINK_DESCRIPTIONS[LinkState(state)])


async def test_a_page_whose_first_connection_fails_connects_again(
    chromium: Browser, tmp_path: Path
) -> None:
    async with running(tmp_path) as web, open_context(chromium) as context:
        tab = await context.new_page()
        await tab.goto(web.login_address)
        await tab.route("**/live?*", lambda route: route.abort(), times=1)
        await tab.reload()
        await wait_for_stream(tab)
        await expect(tab.locator("#connection")).to_be_empty()
        # What happened in the meantime too.
        await web.app.add_server(CLOSED, label="Box", check=False)
        await expect(row(tab, "Box")).to_be_visible()


async def test_a_page_that_gets_no_answer_says_that_it_has_to_be_reloaded(
    chromium: Browser, tmp_path: Path
) -> None:
    async with running(tmp_path) as web, open_context(chromium) as context:
        tab = await context.new_page()
        await tab.goto(web.login_address)
        await tab.route("**/live?*", lambda route: route.abort())
        await tab.reload()
        banner = tab.locator("#connection")
        await expect(banner).to_have_text(f"{LOST} {RELOAD}", use_inner_text=True)
        await tab.unroute("**/live?*")
        async with tab.expect_navigation():
            await tab.get_by_role("link", name=RELOAD).click()
        await wait_for_stream(tab)
        await expect(banner).to_be_empty()


async def test_a_page_without_a_valid_cookie_says_so_until_it_has_one(
    chromium: Browser, tmp_path: Path
) -> None:
    async with open_context(chromium) as context:
        tab = await context.new_page()
        async with running(tmp_path) as web:
            await tab.goto(web.login_address)
            await wait_for_stream(tab)
            await context.clear_cookies()
        banner = tab.locator("#connection")
        await expect(banner).to_contain_text("CodeWalk has stopped")
        async with running(tmp_path, port=web.port) as again:
            await expect(banner).to_have_text(f"{LOST} {RELOAD}", use_inner_text=True)
            # Another tab was let in, and so is this one.
            await context.request.get(again.login_address)
            await expect(banner).to_be_empty()
