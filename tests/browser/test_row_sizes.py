"""Sizes and places: rows on a phone, targets for fingers, and what must not move."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.async_api import Browser, Page, expect

from scripts.screenshots import SCENES, Scene, staged
from tests.browser.elements import CLOSED, row, rows
from tests.browser.tabs import opened
from tests.integration.web.web_app import RunningApp
from tests.mock_opencode import MockOpenCode

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

PHONE: Final[dict[str, Any]] = {
    "viewport": {"width": 360, "height": 740},
    "has_touch": True,
    "is_mobile": True,
}

LONG: Final = "a rather long name of a server with_a_part_that_can_not_be_broken_anywhere"

HEIGHTS: Final = "rows => rows.map(row => row.getBoundingClientRect().height)"

SMALL_TARGETS: Final = """() => {
    const targets = "a[href], button, input:not([type=hidden]), select, summary";
    // A link in a sentence is as high as its line; the slots of a bar are in the list below it.
    const excepted = ".skip, .cells > a, p a:not([class]), .hint a";
    return [...document.querySelectorAll(targets)]
        .filter(one => !one.matches(excepted) && one.checkVisibility())
        .map(one => [one.outerHTML.slice(0, 100), one.getBoundingClientRect()])
        .filter(([, { width, height }]) => width > 1 && Math.min(width, height) < 43.9)
        .map(([html, { width, height }]) => `${width} x ${height}: ${html}`);
}"""
"""What a finger would miss."""

COVERED: Final = """rows => rows.flatMap(row => {
    row.scrollIntoView({ block: "center" });
    return [".server-link", ".check-bar", ".more", ".grip"].filter(selector => {
        const part = row.querySelector(selector), box = part.getBoundingClientRect();
        const at = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
        return at?.closest(selector) !== part;
    }).map(selector => `${row.ariaLabel}: ${selector}`);
})"""
"""Targets in whose middle another one is."""

PLACES: Final = """() => [...document.querySelectorAll("main *")]
    .filter(one => one.checkVisibility() && !one.matches("time, .when, svg *, .cells *, .log *"))
    .map(one => [`${one.localName}.${one.getAttribute("class")}`, one.getBoundingClientRect()])
    .map(([name, { x, y, width, height }]) => [name, x, y, width, height].join(" "))"""
"""Where everything is, but ages, a line that ends with one, and what a check changes."""


async def add_nine(web: RunningApp, tab: Page, mock: MockOpenCode) -> None:
    """Servers that are up, down for a long reason, not checked yet, or have a warning."""
    mock.world.version = "1.0.200"
    await web.app.add_server(mock.url, label="Dev box", default=True)
    for number in range(8):
        label = LONG if number == 3 else f"Runner {number}"
        await web.app.add_server(f"{CLOSED}/{number}/team", label=label, check=False)
        if number % 2:
            await web.app.check(label)
    await tab.goto(f"{web.url}/servers")
    await expect(rows(tab)).to_have_count(9)


@pytest.mark.parametrize("options", [PHONE, {"viewport": PHONE["viewport"]}])
async def test_on_a_phone_nine_servers_fit_a_screen(
    chromium: Browser, tmp_path: Path, options: dict[str, Any]
) -> None:
    async with opened(chromium, tmp_path, **options) as (web, tab), MockOpenCode() as mock:
        await add_nine(web, tab, mock)
        heights = await rows(tab).evaluate_all(HEIGHTS)
        assert all(70 <= height <= 76 for height in heights), heights
        # The line below the name: why, else what is wrong, else where.
        for name, text in (
            ("Runner 1", "Nothing listens at"),
            ("Dev box", "any web site"),
            ("Runner 2", "Not checked yet."),
        ):
            await expect(row(tab, name).get_by_text(text)).to_be_visible()
        await expect(row(tab, "Runner 1").locator(".url")).to_be_hidden()
        await expect(row(tab, "Dev box").get_by_text("Active")).to_be_visible()
        assert await rows(tab).evaluate_all(COVERED) == []


# Two hundred rows are made as five are.
SCENES_FOR_FINGERS: Final = [scene for scene in SCENES if scene.__name__ != "two_hundred"]


@pytest.mark.parametrize("scene", SCENES_FOR_FINGERS, ids=lambda scene: scene.__name__)
async def test_targets_are_large_enough_for_a_finger(chromium: Browser, scene: Scene) -> None:
    async with staged(chromium, **PHONE) as stage:
        await stage.tab.wait_for_function("matchMedia('(pointer: coarse)').matches")
        await scene(stage)
        for width in (360, 768):
            await stage.tab.set_viewport_size({"width": width, "height": 800})
            assert await stage.tab.evaluate(SMALL_TARGETS) == []
        await expect(stage.tab.locator("h1")).to_be_visible()


@pytest.mark.parametrize("width", [360, 768, 1280])
async def test_nothing_moves_while_ages_count_on(
    chromium: Browser, tmp_path: Path, width: int
) -> None:
    async with (
        opened(chromium, tmp_path, viewport={"width": width, "height": 900}) as (web, tab),
        MockOpenCode() as mock,
    ):
        mock.world.add_session("Fix the build")
        await add_nine(web, tab, mock)
        await web.app.work.sessions()
        server = web.app.server("Dev box")
        for path in ("/servers", f"/s/{server.id}/", f"/servers/{server.id}"):
            # The time alone: with a clock that jumps, the page would miss its stream.
            await web.app.check(server.id)
            begun = datetime.now(UTC)
            await tab.clock.set_fixed_time(begun)
            await tab.goto(f"{web.url}{path}")
            if path.startswith("/s/"):
                await expect(tab.locator(".when").first).to_contain_text("updated")
            age = tab.locator("main time[data-age]").first
            await expect(age).to_have_text(re.compile(r"just now|\d s ago"))
            before = await tab.evaluate(PLACES)
            for passed, text in (
                (timedelta(seconds=45), r"4\d s ago"),
                (timedelta(minutes=11.5), "11 min ago"),
                (timedelta(hours=20.5), "20 h ago"),
                (timedelta(days=28.5), "28 days ago"),
            ):
                await tab.clock.set_fixed_time(begun + passed)
                await expect(age).to_have_text(re.compile(text))
                assert await tab.evaluate(PLACES) == before


async def test_from_640_px_on_a_row_has_two_columns(chromium: Browser, tmp_path: Path) -> None:
    async with opened(chromium, tmp_path) as (web, tab), MockOpenCode() as mock:
        await add_nine(web, tab, mock)
        for width in (640, 768, 1280):
            await tab.set_viewport_size({"width": width, "height": 900})
            details = await row(tab, "Dev box").locator(".details").bounding_box()
            facts = await row(tab, "Dev box").locator(".facts").bounding_box()
            assert details
            assert facts
            assert details["width"] > 200
            assert facts["x"] >= details["x"] + details["width"]
            assert abs(facts["y"] - details["y"]) < 8


@pytest.mark.parametrize("width", [768, 1280])
async def test_rows_have_the_same_columns_without_scripts(
    chromium: Browser, tmp_path: Path, width: int
) -> None:
    size = {"width": width, "height": 900}
    async with (
        opened(chromium, tmp_path, viewport=size, java_script_enabled=False) as (web, tab),
        MockOpenCode() as mock,
    ):
        await add_nine(web, tab, mock)
        for one in await rows(tab).all():
            box, details = await one.bounding_box(), await one.locator(".details").bounding_box()
            assert box
            assert details
            assert details["width"] > 0.4 * box["width"]
            assert box["height"] < 140
