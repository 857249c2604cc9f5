"""Narrow pages stay readable, and long texts break no layout."""

from pathlib import Path
from typing import Final

import pytest
from playwright.async_api import Browser, expect

from scripts.screenshots import staged, two_hundred
from tests.browser.elements import (
    CLOSED,
    button,
    choose_menu_item,
    rows,
    switcher_button,
    switcher_panel,
    toasts,
)
from tests.browser.tabs import opened
from tests.browser.test_accessible import OVERHANG, assert_accessible
from tests.mock_opencode import MockOpenCode

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

PHONE: Final = {"width": 360, "height": 740}

COLLIDING: Final = """() => {
    const bad = [];
    for (const row of document.querySelectorAll(".rows > li")) {
        row.scrollIntoView();
        const outer = row.getBoundingClientRect();
        const parts = [...row.children].filter(part => !part.matches("[popover]"))
            .map(part => part.getBoundingClientRect()).filter(box => box.width);
        for (const [number, box] of parts.entries()) {
            if (box.left < outer.left - 1 || box.right > outer.right + 1) bad.push(row.ariaLabel);
            for (const other of parts.slice(number + 1))
                if (box.left < other.right - 1 && other.left < box.right - 1 &&
                    box.top < other.bottom - 8 && other.top < box.bottom - 8)
                    bad.push(row.ariaLabel);
        }
        const next = row.nextElementSibling?.getBoundingClientRect();
        if (next && next.top < outer.bottom - 1) bad.push(row.ariaLabel);
    }
    return bad;
}"""
"""Rows whose parts lie on one another, or beside the row; a few pixels of leading may."""


async def test_two_hundred_servers_stand_in_order(chromium: Browser) -> None:
    async with staged(chromium) as stage:
        await two_hundred(stage)
        await expect(rows(stage.tab)).to_have_count(200)
        for width in (1280, 360):
            await stage.tab.set_viewport_size({"width": width, "height": 800})
            assert await stage.tab.evaluate(OVERHANG) <= 0
            assert await stage.tab.evaluate(COLLIDING) == []
        await assert_accessible(stage.tab)


async def test_on_a_phone_all_that_opens_stays_in_the_window(
    chromium: Browser, tmp_path: Path
) -> None:
    async with (
        opened(chromium, tmp_path, has_touch=True, viewport=PHONE) as (web, tab),
        MockOpenCode() as mock,
    ):
        long = "a rather long name of a server with_a_part_that_can_not_be_broken_anywhere"
        await web.app.add_server(mock.url, label=long, default=True)
        for number in range(12):
            await web.app.add_server(f"{CLOSED}/{number}", label=f"Runner {number}", check=False)
        await expect(rows(tab)).to_have_count(13)
        assert await tab.evaluate(COLLIDING) == []

        for name in (long, "Runner 11"):
            await button(tab, f"Actions for {name}").tap()
            await expect(tab.get_by_role("menuitem").last).to_be_in_viewport(ratio=1)
            await expect(tab.get_by_role("menuitem").first).to_be_in_viewport(ratio=1)
            await tab.keyboard.press("Escape")
        await switcher_button(tab).tap()
        await expect(switcher_panel(tab)).to_be_in_viewport(ratio=1)
        await expect(
            switcher_panel(tab).get_by_role("link", name="Manage servers")
        ).to_be_in_viewport(ratio=1)
        await tab.keyboard.press("Escape")

        await web.app.switch_to("Runner 0", force=True)
        await expect(toasts(tab).last).to_be_in_viewport(ratio=1)
        await choose_menu_item(tab, "Runner 1", "Set active")
        await expect(button(tab, "Switch anyway").last).to_be_in_viewport(ratio=1)
        assert await tab.evaluate(OVERHANG) <= 0

        await web.app.switch_to(long)
        await tab.goto(web.url)
        await button(tab, "New session").tap()
        await expect(tab.get_by_label("Title")).to_be_in_viewport(ratio=1)
        await expect(button(tab, "Create")).to_be_in_viewport(ratio=1)
        assert await tab.evaluate(OVERHANG) <= 0


async def test_motion_is_left_out_where_that_is_asked_for(
    chromium: Browser, tmp_path: Path
) -> None:
    async with opened(chromium, tmp_path, reduced_motion="reduce") as (web, tab):
        await web.app.add_server(CLOSED, label="Box", check=False)
        await choose_menu_item(tab, "Box", "Remove")
        await button(tab, "Remove").click()
        await expect(toasts(tab)).to_be_visible()
        steps = "document.getAnimations().map(one => one.effect.getTiming().easing).join()"
        assert "ease" not in await tab.evaluate(steps)
