"""Lists, forms and switching, in a browser that runs no script."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, expect

from tests.browser.elements import (
    CLOSED,
    button,
    choose_menu_item,
    expect_servers,
    expect_sessions,
    field,
    fill_in_add_form,
    name_link,
    row,
    switch,
    switcher_button,
    toasts,
)
from tests.browser.tabs import open_context
from tests.integration.web.web_app import RunningApp, running
from tests.mock_opencode import MockOpenCode

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


@asynccontextmanager
async def plain(browser: Browser, folder: Path) -> AsyncIterator[tuple[RunningApp, Page]]:
    """A running app and a tab without scripts; a page that refuses a form is an error to it."""
    async with (
        running(folder) as web,
        open_context(browser, java_script_enabled=False) as context,
    ):
        tab = await context.new_page()
        await tab.goto(web.login_address)
        yield web, tab


async def test_servers_are_managed(chromium: Browser, tmp_path: Path) -> None:
    async with (
        plain(chromium, tmp_path) as (_, tab),
        MockOpenCode() as mock,
    ):
        await fill_in_add_form(tab, mock.url, label="Box")
        await expect(button(tab, "Show password")).to_have_count(0)
        await button(tab, "Test connection").click()
        await expect(tab.locator("#outcome")).to_contain_text("OpenCode 1.18.33.")
        await button(tab, "Save").click()
        await expect(row(tab, "Box")).to_contain_text("healthy")
        await fill_in_add_form(tab, CLOSED, label="Other")
        await button(tab, "Save").click()
        await expect(tab.locator("#outcome")).to_contain_text("Nothing listens")
        await button(tab, "Save anyway").click()
        await expect_servers(tab, "Box", "Other")

        await choose_menu_item(tab, "Box", "Set default")
        await expect(row(tab, "Box")).to_contain_text("Default")
        await choose_menu_item(tab, "Box", "Clear default")
        await expect(row(tab, "Box")).not_to_contain_text("Default")
        await choose_menu_item(tab, "Other", "Move up")
        await expect_servers(tab, "Other", "Box")
        await button(tab, "Check all").click()
        await expect(row(tab, "Other")).to_contain_text("unhealthy")
        await choose_menu_item(tab, "Other", "Edit")
        await field(tab, "Label").fill("Renamed")
        await button(tab, "Save").click()
        await expect_servers(tab, "Renamed", "Box")
        # What only a script moves isn't shown.
        await expect(button(tab, "Move Box")).to_have_count(0)

        await choose_menu_item(tab, "Renamed", "Remove")
        await button(tab, "Remove").click()
        await expect_servers(tab, "Box")
        await expect(toasts(tab)).to_contain_text("Renamed is removed.")
        await button(tab, "Undo").click()
        await expect_servers(tab, "Renamed", "Box")


async def test_servers_are_switched_between(chromium: Browser, tmp_path: Path) -> None:
    async with (
        plain(chromium, tmp_path) as (web, tab),
        MockOpenCode() as a,
        MockOpenCode() as b,
    ):
        for name, mock in (("A", a), ("B", b)):
            mock.world.add_session(f"Of {name}")
            await web.app.add_server(mock.url, label=f"Box {name}")
        await web.app.add_server(CLOSED, label="Bad", check=False)
        await tab.goto(web.url)
        await button(tab, "Refresh").click()
        await expect_sessions(tab, "Of A")
        await switcher_button(tab).click()
        await expect(tab.get_by_label("Filter servers")).to_be_hidden()
        await switcher_button(tab).click()
        await switch(tab, "Box B")
        await button(tab, "Refresh").click()
        await expect_sessions(tab, "Of B")
        await expect(switcher_button(tab)).to_have_accessible_description("healthy Box B")

        await tab.go_back()
        await tab.go_back()
        await tab.reload()
        await expect(tab.get_by_role("heading", name="Box A isn’t the active")).to_be_visible()
        await button(tab, "Switch to Box A").click()
        await expect_sessions(tab, "Of A")

        await tab.goto(f"{web.url}/servers")
        await name_link(tab, "Box B").click()
        await expect(tab.get_by_role("heading", name="Box B", level=1)).to_be_visible()
        await tab.goto(f"{web.url}/servers")
        await name_link(tab, "Box B").click()
        await expect(tab.get_by_role("heading", name="Box B", level=1)).to_be_visible()

        await switch(tab, "Bad")
        await expect(tab.get_by_role("alert")).to_contain_text("Bad is unhealthy")
        await button(tab, "Switch anyway").click()
        await expect(switcher_button(tab)).to_have_accessible_description(
            re.compile("^unhealthy Bad")
        )


async def test_sessions_are_searched_and_paged(chromium: Browser, tmp_path: Path) -> None:
    async with (
        plain(chromium, tmp_path) as (web, tab),
        MockOpenCode() as mock,
    ):
        for number in range(70):
            mock.world.add_session(f"Session {number}")
        await web.app.add_server(mock.url, label="Box")
        await tab.goto(web.url)
        await button(tab, "Refresh").click()
        await tab.get_by_role("link", name="Older").click()
        await expect_sessions(tab, *(f"Session {number}" for number in range(19, -1, -1)))
        words = tab.get_by_label("Search sessions")
        await words.fill("session 66")
        await words.press("Enter")
        await expect_sessions(tab, "Session 66")
        await expect(words).to_have_value("session 66")


async def test_a_form_for_a_server_that_is_not_active_any_more_is_refused(
    chromium: Browser, tmp_path: Path
) -> None:
    async with (
        plain(chromium, tmp_path) as (web, tab),
        MockOpenCode() as a,
        MockOpenCode() as b,
    ):
        await web.app.add_server(a.url, label="Box A")
        await web.app.add_server(b.url, label="Box B")
        await tab.goto(web.url)
        await web.app.switch_to("Box B")
        await button(tab, "Refresh").click()
        await expect(tab.get_by_role("heading", name="Box A isn’t the active")).to_be_visible()
        assert [mock.count("/session") for mock in (a, b)] == [0, 0]


async def test_a_server_on_this_machine_is_looked_for(chromium: Browser, tmp_path: Path) -> None:
    async with plain(chromium, tmp_path) as (web, tab):
        web.app.drafts.default_url = "http://127.0.0.1:9"
        await tab.reload()
        await button(tab, "Look at 127.0.0.1:9").click()
        await expect(button(tab, "Look again")).to_be_visible()
        await expect(tab.locator("#local-check").get_by_role("status")).to_be_visible()
