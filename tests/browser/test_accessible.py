"""axe-core finds nothing to complain about, on any page and in any state of it."""

from pathlib import Path
from typing import Any, Final

import pytest
from playwright.async_api import Browser, Page, expect

from tests.browser.tabs import open_context, open_tab
from tests.integration.web.running import running
from tests.mock_opencode import MockOpenCode

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

AXE: Final = Path(__file__).parents[2] / "node_modules/axe-core/axe.min.js"


async def must_be_accessible(tab: Page) -> None:
    """Evaluated, not put into the page: its content security policy lets no other script in."""
    await tab.evaluate(AXE.read_text("utf-8"))
    found: dict[str, Any] = await tab.evaluate("axe.run()")
    told = [
        f"{broken['help']}: {node['html']}: {node['failureSummary']}"
        for broken in found["violations"]
        for node in broken["nodes"]
    ]
    assert told == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_page_is_accessible(chromium: Browser, tmp_path: Path, scheme: str) -> None:
    async with (
        running(tmp_path) as web,
        MockOpenCode() as mock,
        open_context(chromium, color_scheme=scheme) as context,
        open_tab(context, web) as tab,
    ):
        await must_be_accessible(tab)  # no server yet
        mock.world.add_session("Fix the build", directory="/home/ana/work/shop")
        await web.app.add_server(mock.url, label="Good", default=True)
        bad = await web.app.add_server("http://127.0.0.1:9", label="Bad", check=False)
        for number in range(8):
            await web.app.add_server(f"http://127.0.0.1:9/{number}", check=False)
        await web.app.check(bad.id)
        await expect(tab.get_by_text("Fix the build")).to_be_visible()
        await must_be_accessible(tab)
        await tab.get_by_role("button", name="Actions for Good").click()
        await must_be_accessible(tab)
        await tab.keyboard.press("Escape")
        await tab.keyboard.press("Control+k")
        await must_be_accessible(tab)
        await tab.keyboard.type("bad")
        await must_be_accessible(tab)
        await tab.get_by_role("dialog").get_by_role("button", name="Switch anyway").click()
        await expect(tab.get_by_role("alert")).to_contain_text("Bad is unhealthy")
        await must_be_accessible(tab)

        await tab.goto(f"{web.url}/servers/new")
        await must_be_accessible(tab)
        await tab.get_by_label("URL", exact=True).fill("ftp://x")
        await tab.get_by_role("button", name="Save", exact=True).click()
        await expect(tab.get_by_text("not http or https")).to_be_visible()
        await must_be_accessible(tab)
        await tab.get_by_label("URL", exact=True).fill(mock.url)
        await tab.get_by_role("button", name="Test connection").click()
        await expect(tab.get_by_text("OpenCode 1.18.33.")).to_be_visible()
        await must_be_accessible(tab)
        for page in ("edit", "remove"):
            await tab.goto(f"{web.url}/servers/{bad.id}/{page}")
            await must_be_accessible(tab)


async def test_the_error_page_is_accessible(chromium: Browser, tmp_path: Path) -> None:
    async with running(tmp_path) as web, open_context(chromium) as context:
        tab = await context.new_page()
        for address in (f"{web.url}/servers", f"{web.address}&x", f"{web.url}/nowhere"):
            await tab.goto(address)
            await must_be_accessible(tab)
