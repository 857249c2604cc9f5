"""The pages' assets load in Chromium under the content security policy."""

from collections.abc import Awaitable
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, expect

from codewalk.web.templates import icon
from codewalk.web.theme import BACKGROUND_COLORS, Theme
from tests.browser.tabs import open_context, open_tab
from tests.integration.web.web_app import running

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

INSERT = "html => document.body.insertAdjacentHTML('beforeend', html)"
DRAWN = "document.querySelector('body > .icon').getBBox().width > 0"


async def test_an_icon_is_drawn(chromium: Browser, tmp_path: Path) -> None:
    async with (
        running(tmp_path) as web,
        open_context(chromium) as context,
        open_tab(context, web) as tab,
    ):
        await tab.evaluate(INSERT, icon("server"))
        await tab.wait_for_function(DRAWN)


def ground(tab: Page) -> Awaitable[str]:
    """The colour behind a page, as it is seen."""
    return tab.evaluate("getComputedStyle(document.body).backgroundColor")


def background_rgb(theme: Theme) -> str:
    """That colour, as Chromium writes it."""
    red, green, blue = bytes.fromhex(BACKGROUND_COLORS[theme].removeprefix("#"))
    return f"rgb({red}, {green}, {blue})"


@pytest.mark.parametrize("scripts", [True, False])
async def test_light_or_dark_is_chosen_and_stays(
    chromium: Browser, tmp_path: Path, scripts: bool
) -> None:
    light, dark = background_rgb(Theme.LIGHT), background_rgb(Theme.DARK)
    async with (
        running(tmp_path) as web,
        open_context(chromium, java_script_enabled=scripts, color_scheme="light") as context,
        open_tab(context, web) as tab,
    ):
        assert await ground(tab) == light
        appearance = tab.get_by_role("group", name="Appearance")
        for name, colour in (("Dark", dark), ("System", light), ("Dark", dark)):
            await appearance.get_by_role("button", name=name).press("Enter")
            await expect(appearance.locator("[aria-pressed=true]")).to_have_text(name)
            assert await ground(tab) == colour
        if scripts:
            await expect(appearance.get_by_role("button", name="Dark")).to_be_focused()
        await tab.goto(f"{web.url}/servers/new")
        assert await ground(tab) == dark
        await tab.get_by_role("button", name="Light").click()
        await expect(tab.get_by_label("URL", exact=True)).to_be_visible()
        await tab.emulate_media(color_scheme="dark")
        assert await ground(tab) == light


async def test_it_can_be_installed(chromium: Browser, tmp_path: Path) -> None:
    async with (
        running(tmp_path) as web,
        open_context(chromium) as context,
        open_tab(context, web) as tab,
    ):
        devtools = await context.new_cdp_session(tab)
        manifest = await devtools.send("Page.getAppManifest")
        assert manifest["errors"] == []
        assert manifest["url"].startswith(web.url)
        assert manifest["manifest"]["startUrl"] == f"{web.url}/"
        assert manifest["manifest"]["display"] == "kStandalone"
        result = await devtools.send("Page.getInstallabilityErrors")
        errors = [error["errorId"] for error in result["installabilityErrors"]]
        # The tests' tabs are private ones, which install nothing; that alone stands in the way.
        assert errors == ["in-incognito"]
