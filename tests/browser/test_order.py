"""The order of the list, made by hand: dragged, by touch, by keys and by the menu."""

import asyncio
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, Request, Route, expect

from tests.browser.elements import (
    CHANGE_TIMEOUT_MS,
    CLOSED,
    button,
    choose_menu_item,
    expect_servers,
    row,
)
from tests.browser.tabs import open_tab, opened
from tests.integration.web.web_app import RunningApp

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


async def five(web: RunningApp, tab: Page) -> None:
    """Rows have two heights: when a low and a high one change places, the pointer may miss both."""
    for name in "abcde":
        path = "p" * (300 if name in "bd" else 1) + name
        await web.app.add_server(f"{CLOSED}/{path}", label=name, check=False)
    await expect_servers(tab, *"abcde")


def moves_of(tab: Page) -> list[str]:
    """Return a list that gets each move that the tab posts."""
    moves: list[str] = []

    def note(request: Request) -> None:
        if request.url.endswith("/move"):
            moves.append(request.post_data or "")

    tab.on("request", note)
    return moves


def stored_order(web: RunningApp) -> str:
    return "".join(server.name for server in web.app.servers())


async def drag(tab: Page, name: str, over: str, *, share: float, again: bool = False) -> None:
    """Drag a row to a place within another row: 0 is its top, 1 its bottom."""
    if not again:
        await button(tab, f"Move {name}").hover()
        await tab.mouse.down()
    box = await row(tab, over).bounding_box()
    assert box
    await tab.mouse.move(box["x"] + 20, box["y"] + box["height"] * share, steps=1 if again else 8)


async def test_a_row_is_moved_by_its_keys(chromium: Browser, tmp_path: Path) -> None:
    async with (
        opened(chromium, tmp_path) as (web, tab),
        open_tab(tab.context, web) as other,
    ):
        await other.goto(f"{web.url}/servers")
        await five(web, tab)
        moves = moves_of(tab)
        grip = button(tab, "Move b")
        await grip.focus()
        async with tab.expect_response("**/move"):
            await tab.keyboard.press("ArrowUp")
        await expect_servers(tab, *"bacde")
        await expect_servers(other, *"bacde", within=CHANGE_TIMEOUT_MS)
        await expect(grip).to_be_focused()
        await expect(tab.locator("#moved")).to_have_text("b, 1 of 5")
        await tab.keyboard.press("ArrowUp")
        # Held down, it goes on, and is posted once.
        for _ in range(9):
            await tab.keyboard.down("ArrowDown")
        await expect_servers(tab, *"acdeb")
        await expect(tab.locator("#moved")).to_have_text("b, 5 of 5")
        await expect(grip).to_be_focused()
        async with tab.expect_response("**/move"):
            await tab.keyboard.up("ArrowDown")
        await expect_servers(other, *"acdeb", within=CHANGE_TIMEOUT_MS)
        await expect(grip).to_be_focused()
        assert len(moves) == 2
        await tab.reload()
        await expect_servers(tab, *"acdeb")


async def test_of_moves_in_quick_succession_none_is_lost(chromium: Browser, tmp_path: Path) -> None:
    """The first was on its way when the others came."""
    async with opened(chromium, tmp_path) as (web, tab):
        await five(web, tab)
        moves = moves_of(tab)
        going, on = asyncio.Event(), asyncio.Event()

        async def hold(route: Route) -> None:
            going.set()
            await on.wait()
            await route.continue_()

        await tab.route("**/move", hold)
        for name in "bcde":
            await button(tab, f"Move {name}").press("ArrowUp")
            await going.wait()
        await expect_servers(tab, *"bcdea")
        on.set()
        async with asyncio.timeout(10):
            while stored_order(web) != "bcdea":
                await tab.wait_for_event("response")
        assert len(moves) == 4


async def test_a_row_is_dragged(chromium: Browser, tmp_path: Path) -> None:
    async with opened(chromium, tmp_path) as (web, tab):
        await five(web, tab)
        await drag(tab, "a", over="d", share=0.1)
        await expect_servers(tab, *"bcade")
        # After d it would not be under the pointer, and go back at the next move.
        for share in (0.11, 0.12):
            await drag(tab, "a", over="d", share=share, again=True)
            await expect_servers(tab, *"bcade")
        await expect(row(tab, "a")).to_have_attribute("data-moving", "")
        await drag(tab, "a", over="d", share=0.95, again=True)
        await expect_servers(tab, *"bcdae")
        async with tab.expect_response("**/move"):
            await tab.mouse.up()
        await expect(tab.locator("[data-moving]")).to_have_count(0)
        assert stored_order(web) == "bcdae"
        await drag(tab, "e", over="b", share=0.05)
        async with tab.expect_response("**/move"):
            await tab.mouse.up()
        await expect_servers(tab, *"ebcda")
        assert stored_order(web) == "ebcda"


async def test_a_row_is_dragged_by_touch(chromium: Browser, tmp_path: Path) -> None:
    narrow = {"width": 360, "height": 740}
    async with opened(chromium, tmp_path, has_touch=True, viewport=narrow) as (web, tab):
        await five(web, tab)
        devtools = await tab.context.new_cdp_session(tab)

        async def touch(kind: str, name: str | None) -> None:
            box = await button(tab, f"Move {name}").bounding_box() if name else None
            points = [{"x": box["x"] + 5, "y": box["y"] + 5}] if box else []
            await devtools.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

        await touch("touchStart", "c")
        await touch("touchMove", "a")
        await expect_servers(tab, *"cabde")
        async with tab.expect_response("**/move"):
            await touch("touchEnd", None)
        assert stored_order(web) == "cabde"


async def test_a_press_that_moves_nothing_changes_nothing(
    chromium: Browser, tmp_path: Path
) -> None:
    async with opened(chromium, tmp_path) as (web, tab):
        await five(web, tab)
        moves = moves_of(tab)
        await button(tab, "Move c").click()
        await button(tab, "Move c").click(button="right")
        await drag(tab, "e", over="e", share=0.9)
        await tab.mouse.up()
        # Let go, it follows the pointer no more.
        await drag(tab, "a", over="a", share=0.1, again=True)
        await button(tab, "Move a").press("ArrowUp")
        await choose_menu_item(tab, "e", "Move down")
        await choose_menu_item(tab, "e", "Move up")
        await expect_servers(tab, *"abced")
        assert moves == []


async def test_a_row_is_moved_by_its_menu(chromium: Browser, tmp_path: Path) -> None:
    async with opened(chromium, tmp_path) as (web, tab):
        await five(web, tab)
        await choose_menu_item(tab, "b", "Move up")
        await expect_servers(tab, *"bacde", within=CHANGE_TIMEOUT_MS)
        await choose_menu_item(tab, "d", "Move down")
        await expect_servers(tab, *"baced", within=CHANGE_TIMEOUT_MS)
        await choose_menu_item(tab, "c", "Move down")
        await expect_servers(tab, *"baecd", within=CHANGE_TIMEOUT_MS)
        assert stored_order(web) == "baecd"
