"""Pages that say what is in the way and lead on."""

from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from tests.browser.elements import CLOSED, button, row
from tests.browser.tabs import open_context
from tests.integration.web.web_app import running

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


async def test_without_the_token_the_page_explains(chromium: Browser, tmp_path: Path) -> None:
    async with running(tmp_path) as web, open_context(chromium) as context:
        tab = await context.new_page()
        answer = await tab.goto(f"{web.url}/servers")
        assert answer is not None
        assert answer.status == 401
        await expect(tab.get_by_text("codewalk up")).to_be_visible()
        await tab.goto(web.login_address)
        await expect(tab.get_by_role("heading", name="Servers")).to_be_visible()


async def test_an_address_with_nothing_there_leads_back(chromium: Browser, tmp_path: Path) -> None:
    async with running(tmp_path) as web, open_context(chromium) as context:
        tab = await context.new_page()
        await tab.goto(web.login_address)
        for path in ("/nowhere", "/s/gone/", "/servers/gone/edit"):
            answer = await tab.goto(f"{web.url}{path}")
            assert answer is not None
            assert answer.status == 404
            await tab.get_by_role("link", name="Back to the servers").click()
            await expect(tab.get_by_role("heading", name="Servers")).to_be_visible()


async def test_a_request_for_a_removed_server_says_so(chromium: Browser, tmp_path: Path) -> None:
    async with running(tmp_path) as web, open_context(chromium) as context:
        tab = await context.new_page()
        await tab.goto(web.login_address)
        gone = await web.app.add_server(CLOSED, label="Gone", check=False)
        await expect(row(tab, "Gone")).to_be_visible()
        # Without its stream the page doesn't hear of the removal.
        await tab.evaluate("document.querySelector('#live').remove()")
        await web.app.remove_server(gone.id)
        await button(tab, "Actions for Gone").click()
        await expect(tab.get_by_role("alert")).to_contain_text("No server has the id")
        await expect(tab.get_by_role("menu")).to_have_count(0)
        await tab.goto(f"{web.url}/servers/{gone.id}/remove")
        await expect(tab.get_by_role("heading")).to_have_text("Server not found")
        assert await button(tab, "Remove").count() == 0
