"""Many servers: found by a word, and one page that stays quick."""

from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from tests.browser.elements import (
    CHANGE_TIMEOUT_MS,
    CLOSED,
    choose_menu_item,
    expect_servers,
    row,
    rows,
    switcher_button,
    switcher_item,
    switcher_panel,
)
from tests.browser.tabs import opened
from tests.mock_opencode import MockOpenCode

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


async def test_the_list_is_searched_while_it_changes(chromium: Browser, tmp_path: Path) -> None:
    async with opened(chromium, tmp_path) as (web, tab):
        for number in range(7):
            await web.app.add_server(f"{CLOSED}/{number}", label=f"Box {number}", check=False)
        await expect(rows(tab)).to_have_count(7)
        field = tab.get_by_label("Search servers")
        await expect(field).to_have_count(0)
        other = await web.app.add_server(f"{CLOSED}/far", label="Elsewhere", check=False)

        await field.fill("ELSE 127.0.0.1")
        await expect_servers(tab, "Elsewhere")
        count = tab.get_by_role("main").get_by_role("status").filter(has_text="servers")
        await expect(count).to_have_text("1 of 8 servers")
        # What is sent meanwhile brings nothing back, and keeps what was typed.
        await web.app.check(other.id)
        await expect(rows(tab)).to_contain_text("unhealthy")
        await web.app.add_server(f"{CLOSED}/near", label="Near", check=False)
        await expect(count).to_have_text("1 of 9 servers")
        await expect(rows(tab)).to_have_count(1)
        await field.fill("nowhere")
        await expect(count).to_have_text("None of 9 servers")
        await field.press("Escape")
        await expect(rows(tab)).to_have_count(9)
        await expect(count).to_have_count(0)


async def test_one_server_is_a_list_too(chromium: Browser, tmp_path: Path) -> None:
    async with opened(chromium, tmp_path) as (web, tab), MockOpenCode() as mock:
        await web.app.add_server(mock.url, label="Only")
        await expect_servers(tab, "Only")
        await choose_menu_item(tab, "Only", "Move up")
        await choose_menu_item(tab, "Only", "Move down")
        await choose_menu_item(tab, "Only", "Set default")
        await expect(row(tab, "Only")).to_contain_text("Default", timeout=CHANGE_TIMEOUT_MS)
        await tab.keyboard.press("Control+k")
        await expect(switcher_panel(tab).get_by_role("listitem")).to_have_count(1)


async def test_two_hundred_servers_are_worked_with_as_one(
    chromium: Browser, tmp_path: Path
) -> None:
    async with opened(chromium, tmp_path) as (web, tab), MockOpenCode() as mock:
        for number in range(199):
            await web.app.add_server(f"{CLOSED}/{number}", label=f"Runner {number}", check=False)
        last = await web.app.add_server(mock.url, label="Last", check=False)
        await tab.reload()
        await expect(rows(tab)).to_have_count(200)
        await web.app.check(last.id)
        await expect(row(tab, "Last")).to_contain_text(
            "OpenCode 1.18.33", timeout=CHANGE_TIMEOUT_MS
        )
        await choose_menu_item(tab, "Last", "Set active")
        await expect(row(tab, "Last")).to_contain_text("Active", timeout=CHANGE_TIMEOUT_MS)
        await tab.get_by_label("Search servers").fill("runner 17")
        await expect(rows(tab)).to_have_count(12, timeout=CHANGE_TIMEOUT_MS)

        await tab.keyboard.press("Control+k")
        await tab.keyboard.type("runner 198")
        await expect(switcher_panel(tab).locator("li:visible")).to_have_count(
            1, timeout=CHANGE_TIMEOUT_MS
        )
        await tab.keyboard.press("Enter")
        await expect(tab.get_by_role("alert")).to_contain_text("Runner 198 is unhealthy")
        await expect(switcher_item(tab, "Runner 198")).to_be_hidden()
        await expect(switcher_button(tab)).to_have_accessible_description("healthy Last")
