"""The pages while the store is gone: they say so, show what is in memory, and lose no input."""

import os
from pathlib import Path

import pytest
from playwright.async_api import Browser, Locator, Page, expect

from tests.browser.elements import (
    CLOSED,
    button,
    choose_menu_item,
    expect_servers,
    field,
    fill_in_add_form,
    row,
    save,
)
from tests.browser.tabs import opened

pytestmark = [
    pytest.mark.browser,
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.skipif(os.name != "posix", reason="Windows deletes no open files"),
]


def problem(tab: Page) -> Locator:
    return tab.locator("#store-problem")


async def test_a_deleted_store_is_reported_on_open_pages_until_it_is_back(
    chromium: Browser, tmp_path: Path
) -> None:
    async with opened(chromium, tmp_path, watch=True) as (web, tab):
        await web.app.add_server(f"{CLOSED}/a", label="First", check=False)
        await expect_servers(tab, "First")
        await expect(problem(tab)).to_be_empty()
        store = web.app.settings.database_file
        store.rename(tmp_path / "elsewhere.db")
        await expect(problem(tab)).to_contain_text("was deleted or moved away")
        await expect(problem(tab).get_by_role("alert")).to_contain_text("Move it back")
        await expect_servers(tab, "First")
        (tmp_path / "elsewhere.db").rename(store)
        await expect(problem(tab)).to_be_empty()
        await choose_menu_item(tab, "First", "Set default")
        await expect(row(tab, "First").get_by_text("Default", exact=True)).to_be_visible()


async def test_the_form_keeps_what_was_typed_while_nothing_can_be_saved(
    chromium: Browser, tmp_path: Path
) -> None:
    async with opened(chromium, tmp_path, watch=True) as (web, tab):
        await web.app.add_server(f"{CLOSED}/a", label="First", check=False)
        await expect_servers(tab, "First")
        await fill_in_add_form(tab, f"{CLOSED}/b", label="Typed")
        store = web.app.settings.database_file
        store.rename(tmp_path / "elsewhere.db")
        await button(tab, "Save").click()
        await button(tab, "Save anyway").click()
        await expect(tab.locator("#server-form")).to_contain_text("Nothing can be saved")
        await expect(field(tab, "Label")).to_have_value("Typed")
        await expect(field(tab, "URL")).to_have_value(f"{CLOSED}/b")
        (tmp_path / "elsewhere.db").rename(store)
        await button(tab, "Save").click()
        await save(tab, "Save anyway")
        await expect_servers(tab, "First", "Typed")
