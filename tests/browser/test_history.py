"""The history of servers: the bar in a row, and a server's own page."""

import asyncio
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import pytest
from playwright.async_api import Browser, Locator, Page, Route, expect

from codewalk.history.history import MAX_RECENT_CHECKS
from codewalk.history.period import DAY, HOUR
from codewalk.reason import Reason, State
from codewalk.server import Server
from tests.browser.elements import CHANGE_TIMEOUT_MS, CLOSED, button, row
from tests.browser.tabs import opened
from tests.browser.test_accessible import OVERHANG
from tests.integration.web.web_app import RunningApp
from tests.mock_opencode import MockOpenCode
from tests.recorded_month import compact_store, record_month

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

OVERLAPPING: Final = """labels => {
    const boxes = labels.map(one => one.getBoundingClientRect()).filter(box => box.width);
    return boxes.filter((box, at) => at && box.left < boxes[at - 1].right + 4).length;
}"""


async def list_box(web: RunningApp, tab: Page, *, span: timedelta = 30 * DAY) -> Server:
    """The active server, with a history, in the manager."""
    server = await web.app.add_server(CLOSED, label="Box", check=False)
    record_month(web.parts, server.id, span=span)
    await tab.goto(f"{web.url}/servers")
    return server


def tip(cells: Locator) -> Locator:
    """The description of the check under the pointer, or with the focus."""
    return cells.locator(":is(a:hover, a:focus) > .tip")


async def test_a_check_is_described_when_the_pointer_is_on_the_bar(
    chromium: Browser, tmp_path: Path
) -> None:
    async with opened(chromium, tmp_path) as (web, tab):
        server = await list_box(web, tab, span=HOUR)
        bar = row(tab, "Box").get_by_role("link", name="Last 10 min of Box")
        cells = row(tab, "Box").locator(".cells")
        await expect(cells).to_have_count(0)  # what nobody points at isn't sent
        await expect(bar).to_have_accessible_name(
            re.compile(r"^Last 10 min of Box: down for (1 min|5\d s)$")
        )
        await bar.hover()
        await cells.locator(".unhealthy").first.hover()
        await expect(tip(cells)).to_contain_text("unhealthy: Nothing listens at this address.")
        await expect(tip(cells)).to_be_in_viewport(ratio=1)
        await cells.locator(".unhealthy").first.click()
        await expect(tab.get_by_role("heading", name="Box", level=1)).to_be_visible()
        assert tab.url == f"{web.url}/servers/{server.id}#checks"


async def test_a_hovered_check_stays_while_its_server_changes_and_is_new_the_next_time(
    chromium: Browser, tmp_path: Path
) -> None:
    async with opened(chromium, tmp_path) as (web, tab):
        server = await list_box(web, tab, span=HOUR)
        bar, cells = row(tab, "Box").locator(".check-bar"), row(tab, "Box").locator(".cells")
        await bar.hover()
        await cells.locator("a").nth(30).hover()
        description = await tip(cells).text_content()
        assert description
        await web.app.check(server.id)
        await expect(row(tab, "Box")).to_contain_text("unhealthy", timeout=CHANGE_TIMEOUT_MS)
        await expect(tip(cells)).to_have_text(description)
        await web.app.set_default(server.id)
        await expect(row(tab, "Box")).to_contain_text("Default", timeout=CHANGE_TIMEOUT_MS)
        await expect(tip(cells)).to_have_text(description)
        # Not the same ones for ever: they are asked for whenever one comes back.
        await tab.mouse.move(0, 0)
        async with tab.expect_response(f"**/servers/{server.id}/checks"):
            await cells.locator("a").last.hover()
        await expect(tip(cells)).to_contain_text("unhealthy: Nothing listens")


async def test_on_a_phone_the_bar_leads_to_the_page_of_its_server(
    chromium: Browser, tmp_path: Path
) -> None:
    size = {"width": 360, "height": 740}
    async with opened(chromium, tmp_path, viewport=size, has_touch=True) as (web, tab):
        server = await list_box(web, tab, span=HOUR)
        await row(tab, "Box").locator(".check-bar").tap()
        await expect(tab.get_by_role("heading", name="Last checks")).to_be_in_viewport()
        assert tab.url == f"{web.url}/servers/{server.id}#checks"
        cells = tab.get_by_role("group", name="Last 10 min of Box")
        await cells.locator(".unhealthy").first.tap()
        await expect(tip(cells)).to_contain_text("unhealthy: Nothing listens")
        await expect(tip(cells)).to_be_in_viewport(ratio=1)


async def test_in_a_narrow_window_a_hovered_check_lies_on_its_bar(
    chromium: Browser, tmp_path: Path
) -> None:
    async with opened(chromium, tmp_path, viewport={"width": 360, "height": 740}) as (web, tab):
        await list_box(web, tab, span=HOUR)
        bar, cells = row(tab, "Box").locator(".check-bar"), row(tab, "Box").locator(".cells")
        await bar.hover()
        await expect(cells.locator("a")).to_have_count(60)
        assert await cells.bounding_box() == await bar.bounding_box()


async def test_the_bar_is_read_with_the_arrow_keys(chromium: Browser, tmp_path: Path) -> None:
    async with opened(chromium, tmp_path) as (web, tab):
        await list_box(web, tab, span=HOUR)
        bar, cells = row(tab, "Box").locator(".check-bar"), row(tab, "Box").locator(".cells")
        await bar.focus()
        await expect(cells.get_by_role("link")).to_have_count(60)
        await tab.keyboard.press("ArrowLeft")
        await expect(cells.get_by_role("link").last).to_be_focused()
        await expect(tip(cells)).to_contain_text("healthy: Ready to use.")
        await expect(tip(cells)).to_be_in_viewport(ratio=1)
        await tab.keyboard.press("ArrowLeft")
        await expect(cells.get_by_role("link").nth(58)).to_be_focused()
        await tab.keyboard.press("Home")
        await expect(cells.get_by_role("link").first).to_be_focused()
        await tab.keyboard.press("Enter")
        await expect(tab.get_by_role("heading", name="Last checks")).to_be_in_viewport()


async def test_the_chart_has_ranges_and_reads_on_a_phone(chromium: Browser, tmp_path: Path) -> None:
    async with opened(chromium, tmp_path) as (web, tab):
        await list_box(web, tab)
        await row(tab, "Box").locator(".check-bar").click()
        chart = tab.get_by_role("img", name="Latency in the last")
        await expect(chart).to_have_accessible_name("Latency in the last 24 hours")
        labels = tab.locator(".x-axis > span")
        for width in (1280, 360):
            await tab.set_viewport_size({"width": width, "height": 740})
            assert await tab.evaluate(OVERHANG) <= 0
            for name in ("1 h", "7 d", "30 d", "24 h"):
                range_of = tab.get_by_role("link", name=f"Last {name}")
                await range_of.click()
                await expect(range_of).to_have_attribute("aria-current", "true")
                assert await labels.evaluate_all(OVERLAPPING) == 0
        size = await labels.first.evaluate("one => parseFloat(getComputedStyle(one).fontSize)")
        assert size >= 11.5
        await tab.go_back()
        await expect(chart).to_have_accessible_name("Latency in the last 30 days")
        assert tab.url.endswith("?range=30d")


@pytest.mark.parametrize("script", [True, False])
async def test_an_old_outage_is_displayed_by_the_minute(
    chromium: Browser, tmp_path: Path, script: bool
) -> None:
    async with opened(chromium, tmp_path, java_script_enabled=script) as (web, tab):
        server = await list_box(web, tab)
        await compact_store(web.parts)
        await tab.goto(f"{web.url}/servers/{server.id}")
        changes = tab.get_by_role("list", name="Changes").get_by_role("listitem")
        # It lasted for 40 minutes.
        strange = changes.filter(has_text="This is not an OpenCode server").last
        await strange.get_by_role("link", name="show in the chart").click()
        chart = tab.get_by_role("img", name="Latency from")
        await expect(chart).to_be_in_viewport()
        await expect(tab.locator("#latency")).to_be_focused()
        await expect(tab.locator(".plot .down")).to_be_visible()
        title = await chart.locator("title").text_content()
        await tab.get_by_role("link", name="Earlier").click()
        await expect(tab.locator(".plot .down")).to_have_count(0)
        await tab.get_by_role("link", name="Later").click()
        await expect(tab.locator(".plot .down")).to_be_visible()
        assert await chart.locator("title").text_content() == title
        await tab.get_by_role("link", name="24 h", exact=True).click()
        await expect(tab.locator(".plot .down")).to_be_visible()  # the day around it
        await tab.go_back()
        await expect(tab.get_by_role("link", name="1 h", exact=True)).to_have_attribute(
            "aria-current", "true"
        )


async def test_a_late_response_does_not_replace_another_part_of_the_history(
    chromium: Browser, tmp_path: Path
) -> None:
    """Raced: the page asked again how the server has been, and the reader went to another time."""
    async with opened(chromium, tmp_path) as (web, tab):
        server = await list_box(web, tab)
        asked, went_on, answered = (asyncio.Event() for _ in range(3))

        async def hold(route: Route) -> None:
            asked.set()
            await went_on.wait()
            await route.continue_()
            answered.set()

        await tab.goto(f"{web.url}/servers/{server.id}?range=1h")
        await tab.route("**/history?*", hold)
        known = web.app.server(server.id).health
        web.parts.monitor.set_status(server.id, replace(known, state=State.UNHEALTHY))
        async with asyncio.timeout(10):
            await asked.wait()
        await tab.get_by_role("link", name="Earlier").click()
        chart = tab.get_by_role("img", name="Latency from")
        await expect(chart).to_be_visible()
        async with tab.expect_response("**/history?*"):
            went_on.set()
            await answered.wait()
        await expect(tab.locator(".health")).to_contain_text("unhealthy")
        await expect(chart).to_be_visible()
        await expect(tab.get_by_role("link", name="Later")).not_to_be_disabled()


async def test_an_open_page_follows_what_happens(chromium: Browser, tmp_path: Path) -> None:
    async with opened(chromium, tmp_path) as (web, tab), MockOpenCode() as mock:
        server = await web.app.add_server(mock.url, label="Box", check=False)
        await tab.goto(f"{web.url}/servers/{server.id}")
        await expect(tab.get_by_text("No history yet.")).to_be_visible()
        await button(tab, "Check now").click()
        log = tab.get_by_role("list", name="Changes").get_by_role("listitem")
        await expect(log).to_have_count(1, timeout=CHANGE_TIMEOUT_MS)
        await tab.get_by_text("As a list").click()
        down = replace(
            web.app.server(server.id).health, state=State.UNHEALTHY, reason=Reason.REFUSED
        )
        web.parts.monitor.set_status(server.id, replace(down, since=datetime.now(UTC)))
        await expect(log).to_have_count(2, timeout=CHANGE_TIMEOUT_MS)
        await expect(tab.locator(".health")).to_contain_text(
            "Nothing listens", timeout=CHANGE_TIMEOUT_MS
        )
        await expect(tab.get_by_role("cell", name="Ready to use.").first).to_be_visible()

        await button(tab, "For 1 h").click()
        await button(tab, "End snooze").click()
        await expect(button(tab, "For 1 h")).to_be_visible()
        await web.app.remove_server(server.id)
        await expect(tab.get_by_text("No servers yet.")).to_be_visible()


async def test_the_page_needs_no_script(chromium: Browser, tmp_path: Path) -> None:
    async with opened(chromium, tmp_path, java_script_enabled=False) as (web, tab):
        server = await list_box(web, tab, span=HOUR)
        await row(tab, "Box").locator(".check-bar").click()
        await tab.get_by_role("link", name="Last 1 h").click()
        await expect(tab.get_by_role("img", name="Latency in the last hour")).to_be_visible()
        await tab.get_by_text("As a list").click()
        await expect(tab.get_by_role("row")).to_have_count(1 + MAX_RECENT_CHECKS)
        await button(tab, "Until tomorrow").click()
        await expect(button(tab, "End snooze")).to_be_visible()
        assert tab.url == f"{web.url}/servers/{server.id}"
