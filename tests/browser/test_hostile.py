"""Text that others typed or sent never runs, and it never breaks the layout."""

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, expect

from codewalk.errors import InvalidValue
from codewalk.workspace.directories import ALL
from tests.browser.elements import button, sessions, switcher_button, switcher_panel, toasts
from tests.browser.tabs import opened
from tests.browser.test_accessible import OVERHANG
from tests.integration.web.web_app import RunningApp
from tests.mock_behaviours import json_reply
from tests.mock_opencode import MockOpenCode
from tests.unit.web.samples import HOSTILE

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

STRANGERS = ", ".join(
    f":is(main, #toasts, #switcher) {tag}" for tag in ("script", "style", "iframe", "img", "math")
)


async def label_all(web: RunningApp, url: str) -> None:
    """A server for each text that a label may be."""
    for number, text in enumerate(HOSTILE):
        with suppress(InvalidValue):
            await web.app.add_server(f"{url}/{number}", label=text[:100], check=False)


async def must_be_calm(tab: Page) -> None:
    assert await tab.evaluate(OVERHANG) <= 0
    assert await tab.evaluate("window.hacked") is None
    await expect(tab.locator(f"{STRANGERS}, base, meta[http-equiv]")).to_have_count(0)


def dialogs_of(tab: Page) -> list[str]:
    dialogs: list[str] = []
    tab.on("dialog", lambda dialog: dialogs.append(dialog.message))
    return dialogs


@pytest.mark.parametrize("width", [360, 1280])
async def test_forty_hostile_titles_and_labels_stay_text(
    chromium: Browser, tmp_path: Path, width: int
) -> None:
    assert len(HOSTILE) == 40
    viewport = {"width": width, "height": 740}
    async with (
        opened(chromium, tmp_path, viewport=viewport) as (web, tab),
        MockOpenCode() as mock,
    ):
        dialogs = dialogs_of(tab)
        for title in HOSTILE:
            mock.world.add_session(title, directory=f"/{title}")
            mock.world.add_project(f"/projects/{title}")
        mock.script("/config/providers", json_reply(models()))
        await web.app.add_server(mock.url, label="<b onclick=alert(1)>\u202e" + "w" * 70)
        await web.app.add_server(f"http://127.0.0.1:9/{'p' * 1900}", check=False)
        await label_all(web, mock.url)
        active, work = web.app.servers()[0], web.app.work
        await asyncio.gather(work.sessions(ALL), work.projects(), work.models())
        for path in ("/servers", f"/s/{active.id}/"):
            # Live, through the stream, and as a page of its own.
            for _ in range(2):
                await tab.goto(f"{web.url}{path}")
                shown = tab.get_by_role("main").get_by_text("<script>alert(1)</script>")
                await expect(shown.first).to_be_attached()
                await must_be_calm(tab)
                await switcher_button(tab).click()
                await expect(switcher_panel(tab).locator("li").first).to_be_visible()
                await must_be_calm(tab)
        await expect(sessions(tab)).to_have_count(40)
        await expect(tab.get_by_label("Model")).to_contain_text("<script>alert(1)</script>")
        await expect(tab.get_by_role("navigation", name="Projects")).to_be_visible()
        for server in web.app.servers()[:8]:
            for path in (f"/servers/{server.id}/edit", f"/servers/{server.id}/remove"):
                await tab.goto(f"{web.url}{path}")
                await must_be_calm(tab)
            await tab.goto(f"{web.url}/s/{server.id}/")
            await must_be_calm(tab)
        assert dialogs == []


def models() -> dict[str, object]:
    """Providers and models with such names."""
    offered = {f"m{n}": {"id": f"m{n}", "name": text} for n, text in enumerate(HOSTILE)}
    provider = {"id": "<b>p</b>", "name": "<b>p</b>", "models": offered}
    return {"providers": [provider], "default": {}}


async def test_hostile_labels_stay_text_in_toasts(chromium: Browser, tmp_path: Path) -> None:
    viewport = {"width": 360, "height": 740}
    async with (
        opened(chromium, tmp_path, viewport=viewport) as (web, tab),
        MockOpenCode() as mock,
    ):
        dialogs = dialogs_of(tab)
        await web.app.add_server(mock.url, label="Box", check=False)
        await label_all(web, mock.url)
        await expect(switcher_button(tab)).to_contain_text("Box")
        for server in web.app.servers()[1:]:
            await web.app.switch_to(server.id, force=True)
            active = tab.locator(f"[data-active='{server.id}']")
            await expect(active).to_be_attached()
            await expect(toasts(tab).last).to_be_visible()
            await must_be_calm(tab)
        await tab.goto(f"{web.url}/servers/{web.app.servers()[1].id}/remove")
        await button(tab, "Remove").click()
        await expect(toasts(tab)).to_contain_text("<script>alert(1)</script> is removed.")
        await must_be_calm(tab)
        assert dialogs == []
