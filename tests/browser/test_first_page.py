"""The first page in Chromium: add, switch, remove, and what happens without a reload."""

import re
from pathlib import Path

import pytest
from playwright.async_api import Browser, Locator, Page, expect

from tests.browser.tabs import open_context, open_tab
from tests.integration.web.running import running
from tests.mock_behaviours import page as web_page
from tests.mock_opencode import MockOpenCode

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

CLOSED = "http://127.0.0.1:9"
SOON = 2000
"""Milliseconds within which a change shows: a second is promised, and a busy machine has two."""


def row(tab: Page, name: str) -> Locator:
    return tab.get_by_role("listitem", name=name, exact=True)


async def choose(tab: Page, name: str, item: str) -> None:
    """Picks an item of a server's menu."""
    await tab.get_by_role("button", name=f"Actions for {name}", exact=True).click()
    await tab.get_by_role("menuitem", name=item, exact=True).click()


async def fill_in(tab: Page, url: str, *, label: str = "", password: str = "") -> None:
    await tab.get_by_role("button", name="Add server").click()
    await tab.get_by_label("URL", exact=True).fill(url)
    await tab.get_by_label("Label", exact=True).fill(label)
    await tab.get_by_label("Password", exact=True).fill(password)


async def save(tab: Page, button: str = "Save") -> None:
    await tab.get_by_role("button", name=button, exact=True).click()


async def test_a_person_adds_switches_and_removes(chromium: Browser, tmp_path: Path) -> None:
    async with (
        running(tmp_path, watch=True) as web,
        MockOpenCode(password="first") as a,
        MockOpenCode() as b,
        open_context(chromium) as context,
        open_tab(context, web) as tab,
    ):
        a.world.add_session("Of A")
        b.world.add_session("Of B")
        assert "token" not in tab.url
        await expect(tab.get_by_role("heading", name="Servers")).to_be_visible()
        await expect(tab.get_by_role("heading", name="Sessions")).to_be_visible()

        await fill_in(tab, a.url, label="Box A", password="first")
        await expect(tab.get_by_label("Username", exact=True)).to_have_value("opencode")
        await save(tab)
        await expect(row(tab, "Box A")).to_contain_text("healthy")
        await expect(row(tab, "Box A")).to_contain_text("OpenCode 1.18.33")
        await expect(row(tab, "Box A")).to_contain_text("Active")
        await expect(tab.get_by_text("Of A")).to_be_visible()

        await fill_in(tab, b.url, label="Box B")
        await save(tab)
        await choose(tab, "Box B", "Set active")
        await expect(row(tab, "Box B")).to_contain_text("Active", timeout=SOON)
        await expect(tab.get_by_text("Of B")).to_be_visible()
        await expect(tab.get_by_text("Of A")).to_have_count(0)

        await choose(tab, "Box B", "Set default")
        await expect(row(tab, "Box B")).to_contain_text("Default", timeout=SOON)
        await choose(tab, "Box B", "Clear default")
        await expect(row(tab, "Box B")).not_to_contain_text("Default", timeout=SOON)

        await choose(tab, "Box B", "Remove")
        await tab.get_by_role("button", name="Remove", exact=True).click()
        await expect(row(tab, "Box B")).to_have_count(0)
        await expect(row(tab, "Box A")).to_contain_text("Active")


async def test_a_refused_form_says_why_and_keeps_what_was_typed(
    chromium: Browser, tmp_path: Path
) -> None:
    async with (
        running(tmp_path, watch=True) as web,
        MockOpenCode() as mock,
        open_context(chromium) as context,
        open_tab(context, web) as tab,
    ):
        await fill_in(tab, "ftp://x", label="Box", password="typed")
        await save(tab)
        url = tab.get_by_label("URL", exact=True)
        await expect(tab.get_by_text("not http or https")).to_be_visible()
        await expect(url).to_have_attribute("aria-invalid", "true")
        await expect(url).to_have_accessible_description(re.compile("not http or https"))
        await expect(tab.get_by_label("Label", exact=True)).to_have_value("Box")
        # Never sent back by the server: it is what the person typed, still in the field.
        await expect(tab.get_by_label("Password", exact=True)).to_have_value("typed")

        await url.fill(mock.url)
        await tab.get_by_role("button", name="Test connection").click()
        await expect(tab.get_by_role("status").filter(has_text="1.18.33")).to_be_visible()

        await url.fill(CLOSED)
        await save(tab)
        await expect(tab.get_by_text("Nothing listens")).to_be_visible()
        await save(tab, "Save anyway")
        await expect(row(tab, "Box")).to_contain_text("unhealthy")


async def test_what_happens_shows_in_all_tabs_without_a_reload(
    chromium: Browser, tmp_path: Path
) -> None:
    async with (
        running(tmp_path, watch=True) as web,
        MockOpenCode() as mock,
        MockOpenCode() as other,
        open_context(chromium) as context,
        open_tab(context, web) as first,
        open_tab(context, web) as second,
    ):
        for tab in (first, second):
            await tab.evaluate("window.untouched = true")
            await expect(tab.get_by_text("No servers yet.")).to_be_visible()

        server = await web.app.add_server(mock.url, label="Box")
        for tab in (first, second):
            await expect(row(tab, "Box")).to_contain_text("healthy", timeout=SOON)

        mock.script("*", web_page())
        web.app.parts.monitor.check_soon(server.id)
        for tab in (first, second):
            await expect(row(tab, "Box")).to_contain_text("unhealthy", timeout=SOON)
            await expect(row(tab, "Box")).to_contain_text("is it an OpenCode server?")

        other.world.add_session("Elsewhere")
        await web.app.add_server(other.url, label="Other", use=True)
        for tab in (first, second):
            await expect(row(tab, "Other")).to_contain_text("Active", timeout=SOON)
            await expect(tab.get_by_text("Elsewhere")).to_be_visible()
            assert await tab.evaluate("window.untouched") is True


async def test_an_unhealthy_server_is_switched_to_after_a_second_word(
    chromium: Browser, tmp_path: Path
) -> None:
    async with (
        running(tmp_path, watch=True) as web,
        MockOpenCode() as mock,
        open_context(chromium) as context,
        open_tab(context, web) as tab,
    ):
        await web.app.add_server(mock.url, label="Good")
        await web.app.add_server(CLOSED, label="Bad", check=False)
        await choose(tab, "Bad", "Set active")
        await expect(tab.get_by_role("alert")).to_contain_text("Bad is unhealthy: Nothing listens")
        await expect(row(tab, "Good")).to_contain_text("Active")
        await tab.get_by_role("button", name="Switch anyway").click()
        await expect(row(tab, "Bad")).to_contain_text("Active", timeout=SOON)
        await expect(tab.get_by_role("alert")).to_be_empty()


async def test_checks_can_be_asked_for(chromium: Browser, tmp_path: Path) -> None:
    async with (
        running(tmp_path) as web,
        MockOpenCode() as mock,
        open_context(chromium) as context,
        open_tab(context, web) as tab,
    ):
        await web.app.add_server(mock.url, label="One", check=False)
        await web.app.add_server(CLOSED, label="Two", check=False)
        await expect(row(tab, "One")).to_contain_text("unknown")
        await choose(tab, "One", "Check now")
        await expect(row(tab, "One")).to_contain_text("healthy")
        await expect(row(tab, "Two")).to_contain_text("unknown")
        await tab.get_by_role("button", name="Check all").click()
        await expect(row(tab, "Two")).to_contain_text("unhealthy")


async def test_an_open_menu_stays_open_while_its_row_changes(
    chromium: Browser, tmp_path: Path
) -> None:
    async with (
        running(tmp_path) as web,
        MockOpenCode() as mock,
        open_context(chromium) as context,
        open_tab(context, web) as tab,
    ):
        server = await web.app.add_server(mock.url, label="Box", check=False)
        await tab.get_by_role("button", name="Actions for Box").press("Enter")
        await expect(tab.get_by_role("menuitem", name="Set default")).to_be_focused()
        await web.app.check(server.id)
        await expect(row(tab, "Box")).to_contain_text("healthy")
        await tab.keyboard.press("ArrowDown")
        await expect(tab.get_by_role("menuitem", name="Check now")).to_be_focused()
        await tab.keyboard.press("Escape")
        await expect(tab.get_by_role("menu")).to_have_count(0)
        await expect(tab.get_by_role("button", name="Actions for Box")).to_be_focused()


async def test_everything_works_without_javascript(chromium: Browser, tmp_path: Path) -> None:
    async with (
        running(tmp_path, watch=True) as web,
        MockOpenCode() as mock,
        open_context(chromium, java_script_enabled=False) as context,
        open_tab(context, web) as tab,
    ):
        mock.world.add_session("Shown plainly")
        await fill_in(tab, mock.url, label="Box")
        await save(tab)
        await expect(row(tab, "Box")).to_contain_text("healthy")
        await tab.get_by_role("button", name="Refresh").click()
        await expect(tab.get_by_text("Shown plainly")).to_be_visible()
        await web.app.add_server(f"{mock.url}/x", label="Other", check=False)
        await tab.reload()
        await choose(tab, "Box", "Set default")
        await expect(row(tab, "Box")).to_contain_text("Default")
        await choose(tab, "Other", "Edit")
        await tab.get_by_label("Label", exact=True).fill("Renamed")
        await tab.get_by_label("URL", exact=True).fill(mock.url.replace("127.0.0.1", "localhost"))
        await save(tab)
        await choose(tab, "Renamed", "Set active")
        await expect(row(tab, "Renamed")).to_contain_text("Active")
        await choose(tab, "Renamed", "Remove")
        await tab.get_by_role("button", name="Remove", exact=True).click()
        await expect(row(tab, "Renamed")).to_have_count(0)


async def test_a_page_that_lost_the_app_says_so(chromium: Browser, tmp_path: Path) -> None:
    async with open_context(chromium) as context:
        page = await context.new_page()
        async with running(tmp_path) as web:
            await page.goto(web.address)
            await expect(page.get_by_text("Connection to CodeWalk lost")).to_be_hidden()
        await expect(page.get_by_text("Connection to CodeWalk lost")).to_be_visible()


async def test_without_the_token_the_page_explains(chromium: Browser, tmp_path: Path) -> None:
    async with running(tmp_path) as web, open_context(chromium) as context:
        page = await context.new_page()
        answer = await page.goto(f"{web.url}/servers")
        assert answer is not None
        assert answer.status == 401
        await expect(page.get_by_text("codewalk up")).to_be_visible()
