"""What others typed or sent is text: it never runs, and it never breaks the layout."""

from contextlib import suppress
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, expect

from codewalk.errors import InvalidValue
from tests.browser.tabs import open_context, open_tab
from tests.integration.web.running import Running, running
from tests.mock_opencode import MockOpenCode
from tests.unit.web.rendering import HOSTILE

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

OVERHANG = """() => {
    const root = document.documentElement;
    return root.scrollWidth - root.clientWidth;
}"""
STRANGERS = "main script, main style, main iframe, main img, main math, base, meta[http-equiv]"


async def label_all(web: Running, url: str) -> None:
    """A server for each text that a label may be."""
    for number, text in enumerate(HOSTILE):
        with suppress(InvalidValue):
            await web.app.add_server(f"{url}/{number}", label=text[:100], check=False)


async def must_be_calm(tab: Page) -> None:
    assert await tab.evaluate(OVERHANG) <= 0
    assert await tab.evaluate("window.hacked") is None
    await expect(tab.locator(STRANGERS)).to_have_count(0)


@pytest.mark.parametrize("width", [360, 1280])
async def test_forty_hostile_titles_and_labels_stay_text(
    chromium: Browser, tmp_path: Path, width: int
) -> None:
    assert len(HOSTILE) == 40
    async with (
        running(tmp_path) as web,
        MockOpenCode() as mock,
        open_context(chromium, viewport={"width": width, "height": 740}) as context,
        open_tab(context, web) as tab,
    ):
        dialogs: list[str] = []
        tab.on("dialog", lambda dialog: dialogs.append(dialog.message))
        for title in HOSTILE:
            mock.world.add_session(title, directory=f"/{title}")
        await web.app.add_server(mock.url, label="<b onclick=alert(1)>\u202e" + "w" * 70)
        await web.app.add_server(f"http://127.0.0.1:9/{'p' * 1900}", check=False)
        await label_all(web, mock.url)
        # Live, through the stream, and as a page of its own.
        for _ in range(2):
            sessions = tab.get_by_role("list", name="Sessions").get_by_role("listitem")
            await expect(sessions).to_have_count(40)
            shown = tab.get_by_role("main").get_by_text("<script>alert(1)</script>")
            await expect(shown.first).to_be_visible()
            await must_be_calm(tab)
            await tab.get_by_role("button", name="Switch server").click()
            await expect(tab.get_by_role("dialog").locator("li").first).to_be_visible()
            await must_be_calm(tab)
            await tab.reload()
        last = web.app.servers()[5]
        for page in ("edit", "remove"):
            await tab.goto(f"{web.url}/servers/{last.id}/{page}")
            await must_be_calm(tab)
        assert dialogs == []
