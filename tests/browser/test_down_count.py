"""Every page says how many servers are down, in the link to them and in its title."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, expect

from codewalk.servers.draft import Change
from codewalk.servers.profile import NotifySetting
from tests.browser.elements import (
    CHANGE_TIMEOUT_MS,
    CLOSED,
    servers_link,
    switch,
    switcher_button,
    wait_for_stream,
)
from tests.browser.tabs import open_tab, opened
from tests.mock_opencode import MockOpenCode

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


async def expect_down(tab: Page, count: int) -> None:
    """Wait until the bar and the title of the page say that so many servers are down."""
    name, title = ("Servers", r"^(?!\(\d+ down\))")
    if count:
        name, title = f"Servers, {count} down", rf"^\({count} down\) (?!\()"
    link = servers_link(tab)
    await expect(link).to_have_accessible_name(name, timeout=CHANGE_TIMEOUT_MS)
    await expect(link).to_have_text(f"Servers {count or ''}")
    await expect(tab).to_have_title(re.compile(title + r".* · CodeWalk$"))


@pytest.mark.parametrize("path", ["/", "/servers", "/servers/new"])
async def test_the_number_follows_what_happens_to_servers(
    chromium: Browser, tmp_path: Path, path: str
) -> None:
    async with opened(chromium, tmp_path) as (web, tab), MockOpenCode() as mock:
        await web.app.add_server(mock.url, label="Box")
        down = [
            (await web.app.add_server(f"{CLOSED}/{number}", check=False)).id for number in range(2)
        ]
        await tab.goto(web.url + path)
        await wait_for_stream(tab)
        await expect_down(tab, 0)
        for number, server_id in enumerate(down, 1):
            await web.app.check(server_id)
            await expect_down(tab, number)
        current = await servers_link(tab).get_attribute("aria-current")
        assert current == ("page" if path == "/servers" else None)
        await tab.reload()
        await expect_down(tab, 2)

        # Who has muted a server knows about it.
        await web.app.snooze(down[0], datetime.now(UTC) + timedelta(hours=1))
        await expect_down(tab, 1)
        await web.app.edit_server(down[1], Change(notify=NotifySetting.OFF), check=False)
        await expect_down(tab, 0)
        await web.app.snooze(down[0], None)
        await expect_down(tab, 1)
        await web.app.remove_server(down[0])
        await expect_down(tab, 0)


async def test_a_snooze_that_ends_counts_again(chromium: Browser, tmp_path: Path) -> None:
    async with opened(chromium, tmp_path) as (web, tab):
        server = await web.app.add_server(CLOSED, label="Box", check=False)
        await web.app.check(server.id)
        await web.app.snooze(server.id, datetime.now(UTC) + timedelta(seconds=2))
        await tab.goto(f"{web.url}/servers/{server.id}")
        await expect(servers_link(tab)).to_have_accessible_name("Servers")
        # Nothing announces it: the page looks every two seconds.
        await expect(servers_link(tab)).to_have_accessible_name("Servers, 1 down")
        await expect(tab).to_have_title("(1 down) Box · CodeWalk")
        await expect(servers_link(tab)).to_have_attribute("aria-current", "true")


async def test_the_title_of_a_hidden_tab_follows_too(chromium: Browser, tmp_path: Path) -> None:
    async with opened(chromium, tmp_path) as (web, tab), open_tab(tab.context, web) as hidden:
        server = await web.app.add_server(CLOSED, label="Box", check=False)
        await hidden.goto(f"{web.url}/servers/new")
        # As in a hidden tab, no stream keeps the page up to date.
        await hidden.locator("#live").evaluate("live => live.remove()")
        await web.app.check(server.id)
        await expect(hidden).to_have_title("(1 down) Add server · CodeWalk")
        await tab.close()
        await web.app.remove_server(server.id)
        await expect(hidden).to_have_title("Add server · CodeWalk")


async def test_a_switch_keeps_the_number_in_the_title(chromium: Browser, tmp_path: Path) -> None:
    async with (
        opened(chromium, tmp_path) as (web, tab),
        MockOpenCode() as a,
        MockOpenCode() as b,
    ):
        await web.app.add_server(a.url, label="Box A")
        await web.app.add_server(b.url, label="Box B")
        down = await web.app.add_server(CLOSED, check=False)
        await web.app.check(down.id)
        await tab.goto(web.url)
        await expect(tab).to_have_title("(1 down) Box A · CodeWalk")
        await switch(tab, "Box B")
        await expect(switcher_button(tab)).to_contain_text("Box B")
        await expect(tab).to_have_title("(1 down) Box B · CodeWalk")


async def test_it_is_there_without_javascript(chromium: Browser, tmp_path: Path) -> None:
    async with opened(chromium, tmp_path, java_script_enabled=False) as (web, tab):
        server = await web.app.add_server(CLOSED, label="Box", check=False)
        await web.app.check(server.id)
        await tab.goto(f"{web.url}/servers/new")
        await expect(servers_link(tab)).to_have_accessible_name("Servers, 1 down")
        await expect(tab).to_have_title("(1 down) Add server · CodeWalk")
