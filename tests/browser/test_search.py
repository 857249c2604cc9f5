"""Many servers: found by a word, and one page that stays quick."""

from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from tests.browser.tabs import open_context, open_tab
from tests.integration.web.running import running

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

CLOSED = "http://127.0.0.1:9"


async def test_the_list_is_searched_while_it_changes(chromium: Browser, tmp_path: Path) -> None:
    async with (
        running(tmp_path) as web,
        open_context(chromium) as context,
        open_tab(context, web) as tab,
    ):
        for number in range(7):
            await web.app.add_server(f"{CLOSED}/{number}", label=f"Box {number}", check=False)
        rows = tab.get_by_role("main").get_by_role("list", name="Servers").get_by_role("listitem")
        await expect(rows).to_have_count(7)
        field = tab.get_by_label("Search servers")
        await expect(field).to_have_count(0)
        other = await web.app.add_server(f"{CLOSED}/far", label="Elsewhere", check=False)

        await field.fill("ELSE 127.0.0.1")
        await expect(rows).to_have_count(1)
        told = tab.get_by_role("main").get_by_role("status").filter(has_text="servers")
        await expect(told).to_have_text("1 of 8 servers")
        # What is sent meanwhile brings nothing back, and keeps what was typed.
        await web.app.check(other.id)
        await expect(rows).to_contain_text("unhealthy")
        await web.app.add_server(f"{CLOSED}/near", label="Near", check=False)
        await expect(told).to_have_text("1 of 9 servers")
        await expect(rows).to_have_count(1)
        await field.fill("nowhere")
        await expect(told).to_have_text("None of 9 servers")
        await field.press("Escape")
        await expect(rows).to_have_count(9)
        await expect(told).to_have_count(0)
