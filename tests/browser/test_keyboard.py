"""Everything with the keys alone, and one always sees where one is."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.async_api import Browser, Locator, Page, expect

from codewalk.app.composition import Parts
from codewalk.reason import Reason, State
from codewalk.web.history_context import LOG_LINES_PER_PAGE
from codewalk.workspace.directories import ALL
from tests.browser.elements import (
    CLOSED,
    button,
    expect_servers,
    expect_sessions,
    field,
    row,
    switcher_button,
    switcher_item,
    toasts,
)
from tests.browser.tabs import opened
from tests.mock_opencode import MockOpenCode

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

MOST = 80
"""Presses of Tab after which the focus has been at every stop of a page."""

STOP = """() => {
    const stop = document.activeElement;
    if (!stop || stop === document.body) return null;
    const box = stop.getBoundingClientRect();
    const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
    const { outlineStyle, outlineWidth } = getComputedStyle(stop);
    const over = document.elementFromPoint(x, y);
    const { cells } = stop.dataset; // of a bar, on which they lie
    const isSlot = cells && over?.closest(".cells")?.dataset.cells === cells;
    return {
        html: stop.outerHTML.slice(0, 200),
        lined: outlineStyle !== "none" && parseFloat(outlineWidth) >= 2,
        seen: Boolean(over && (stop.contains(over) || over.contains(stop) || isSlot)),
    };
}"""


async def tab_to(tab: Page, wanted: Locator, *, back: bool = False) -> None:
    """Presses Tab until this has the focus."""
    for _ in range(MOST):
        if await wanted.evaluate("one => one === document.activeElement"):
            return
        await tab.keyboard.press("Shift+Tab" if back else "Tab")
    raise AssertionError(f"Tab doesn't lead to {wanted}")


async def press(tab: Page, wanted: Locator, *, back: bool = False) -> None:
    await tab_to(tab, wanted, back=back)
    await tab.keyboard.press("Enter")


async def choose_with_keys(tab: Page, name: str, item: str) -> None:
    """Picks an item of a server's menu, which the focus isn't in."""
    await press(tab, button(tab, f"Actions for {name}"))
    wanted = tab.get_by_role("menuitem", name=item, exact=True)
    await expect(tab.get_by_role("menuitem").first).to_be_focused()
    for _ in range(10):
        if await wanted.evaluate("one => one === document.activeElement"):
            break
        await tab.keyboard.press("ArrowDown")
    await tab.keyboard.press("Enter")


def change_often(parts: Parts, server_id: str, times: int) -> None:
    """Make a server go down and come back, with one change a minute until now."""
    status = parts.app.server(server_id).health
    for ago in range(times, 0, -1):
        state, reason = ((State.HEALTHY, Reason.OK), (State.UNHEALTHY, Reason.REFUSED))[ago % 2]
        since = datetime.now(UTC) - timedelta(minutes=ago)
        status = replace(status, state=state, reason=reason, since=since)
        parts.monitor.set_status(server_id, status)


async def test_a_link_skips_to_the_content(chromium: Browser, tmp_path: Path) -> None:
    async with opened(chromium, tmp_path) as (web, tab):
        await web.app.add_server(CLOSED, label="Box", check=False)
        await tab.goto(web.url)
        skip = tab.get_by_role("link", name="Skip to content")
        await expect(skip).not_to_be_in_viewport()
        await tab.keyboard.press("Tab")
        await expect(skip).to_be_focused()
        await expect(skip).to_be_in_viewport()
        await tab.keyboard.press("Enter")
        await expect(tab.get_by_role("main")).to_be_focused()
        await tab.keyboard.press("Tab")
        first = tab.get_by_role("main").locator("button:visible, a:visible, input:visible").first
        await expect(first).to_be_focused()


@pytest.mark.parametrize("width", [360, 1280])
async def test_the_focus_is_visible_at_every_tab_stop_of_every_page(
    chromium: Browser, tmp_path: Path, width: int
) -> None:
    async with (
        opened(chromium, tmp_path, viewport={"width": width, "height": 740}) as (web, tab),
        MockOpenCode() as mock,
    ):
        for number in range(3):
            mock.world.add_session(f"Session {number}")
        await walk(tab, f"{web.url}/servers")  # no server yet
        server = await web.app.add_server(mock.url, label="Box")
        for number in range(7):
            await web.app.add_server(f"{CLOSED}/{number}", check=False)
        await web.app.work.sessions()
        own = f"/servers/{server.id}"
        for path in (
            f"/s/{server.id}/",
            "/servers",
            "/servers/new",
            f"{own}/edit",
            f"{own}/remove",
        ):
            await walk(tab, f"{web.url}{path}")


async def walk(tab: Page, address: str) -> None:
    """Goes through all stops of a page; each is outlined, in view and not covered."""
    await tab.goto(address)
    seen: list[str] = []
    for _ in range(MOST):
        await tab.keyboard.press("Tab")
        stop = await tab.evaluate(STOP)
        if stop is None:
            break
        assert stop["lined"], stop["html"]
        assert stop["seen"], stop["html"]
        seen.append(stop["html"])
    assert len(seen) > 1


async def test_servers_are_managed_with_the_keyboard_alone(
    chromium: Browser, tmp_path: Path
) -> None:
    async with (
        opened(chromium, tmp_path) as (web, tab),
        MockOpenCode(password="s3cret") as mock,
    ):
        await press(tab, button(tab, "Add server"))
        await expect(field(tab, "URL")).to_have_attribute("aria-invalid", "true")
        await expect(button(tab, "Save")).to_be_focused()
        await tab_to(tab, field(tab, "URL"), back=True)
        await tab.keyboard.type(mock.url)
        await tab_to(tab, field(tab, "Label"))
        await tab.keyboard.type("Box")
        await tab_to(tab, field(tab, "Password"))
        await tab.keyboard.type("s3cret")
        await tab.keyboard.press("Enter")
        await expect_servers(tab, "Box")
        other = await web.app.add_server(f"{CLOSED}/x", label="Other", check=False)
        await expect_servers(tab, "Box", "Other")

        await choose_with_keys(tab, "Other", "Set default")
        await expect(row(tab, "Other")).to_contain_text("Default")
        # Where the menu was opened the focus is again.
        await expect(button(tab, "Actions for Other")).to_be_focused()
        await choose_with_keys(tab, "Other", "Edit")
        await tab_to(tab, field(tab, "Label"))
        await tab.keyboard.press("Control+a")
        await tab.keyboard.type("Renamed")
        await tab.keyboard.press("Enter")
        await expect_servers(tab, "Box", "Renamed")

        await tab_to(tab, button(tab, "Move Renamed"))
        async with tab.expect_response("**/move"):
            await tab.keyboard.press("ArrowUp")
        await expect_servers(tab, "Renamed", "Box")
        assert web.app.servers()[0].id == other.id

        await choose_with_keys(tab, "Renamed", "Remove")
        await press(tab, button(tab, "Remove"))
        await expect_servers(tab, "Box")
        # It is read out as the page opens, and what can be done about it comes next.
        await expect(tab.get_by_role("alert").filter(has_text="Renamed")).to_be_focused()
        await tab.keyboard.press("Tab")
        await expect(button(tab, "Undo")).to_be_focused()
        await tab.keyboard.press("Tab")
        await expect(button(tab, "Check all")).to_be_focused()
        await press(tab, button(tab, "Undo"), back=True)
        await expect_servers(tab, "Renamed", "Box")
        await expect(toasts(tab)).to_have_count(0)


async def test_a_menu_is_walked_with_the_arrow_keys(chromium: Browser, tmp_path: Path) -> None:
    async with opened(chromium, tmp_path) as (web, tab), MockOpenCode() as mock:
        server = await web.app.add_server(mock.url, label="Box", check=False)
        await button(tab, "Actions for Box").press("Enter")
        items = tab.get_by_role("menuitem")
        await expect(items.first).to_be_focused()
        await expect(items.first).to_have_text("Set default")
        await web.app.check(server.id)
        await expect(row(tab, "Box")).to_contain_text("healthy")
        await tab.keyboard.press("ArrowDown")
        await expect(tab.get_by_role("menuitem", name="Check now")).to_be_focused()
        await tab.keyboard.press("End")
        await expect(items.last).to_be_focused()
        await tab.keyboard.press("ArrowDown")
        await expect(items.first).to_be_focused()
        await tab.keyboard.press("ArrowUp")
        await expect(items.last).to_be_focused()
        await tab.keyboard.press("Home")
        await expect(items.first).to_be_focused()
        await tab.keyboard.press("Escape")
        await expect(tab.get_by_role("menu")).to_have_count(0)
        await expect(button(tab, "Actions for Box")).to_be_focused()


async def test_one_switches_and_finds_a_session_with_the_keys_alone(
    chromium: Browser, tmp_path: Path
) -> None:
    async with (
        opened(chromium, tmp_path) as (web, tab),
        MockOpenCode() as a,
        MockOpenCode() as b,
    ):
        for title in ("Fix the build", "Draft notes"):
            b.world.add_session(title)
        await web.app.add_server(a.url, label="Alpha")
        await web.app.add_server(b.url, label="Beta")
        await tab.goto(web.url)
        await tab.keyboard.press("Control+k")
        await tab.keyboard.type("beta")
        await tab.keyboard.press("Enter")
        await expect_sessions(tab, "Draft notes", "Fix the build")
        await expect(switcher_button(tab)).to_be_focused()
        await tab_to(tab, tab.get_by_label("Search sessions"))
        await tab.keyboard.type("build")
        await tab.keyboard.press("Enter")
        await expect_sessions(tab, "Fix the build")
        await tab_to(tab, tab.get_by_role("link", name="Fix the build"))
        async with tab.context.expect_page() as opening:
            await tab.keyboard.press("Enter")
        await (await opening.value).close()
        # A tab behind another one isn't drawn, and what isn't seen asks for no list.
        await tab.bring_to_front()

        # The list from before the switch is there at first, and keeps its order once it is open.
        await expect(tab.locator("#switcher-list > li").first).to_contain_text("Beta")
        await tab.keyboard.press("Control+k")
        await expect(switcher_item(tab, "Beta")).to_have_attribute("aria-current", "true")
        await tab.keyboard.press("ArrowDown")
        await expect(switcher_item(tab, "Beta")).to_be_focused()
        await tab.keyboard.press("ArrowDown")
        await tab.keyboard.press("Enter")
        await expect(switcher_button(tab)).to_have_accessible_description("healthy Alpha")


async def test_a_followed_link_of_a_home_keeps_the_focus(chromium: Browser, tmp_path: Path) -> None:
    async with (
        opened(chromium, tmp_path, viewport={"width": 360, "height": 740}) as (web, tab),
        MockOpenCode() as mock,
    ):
        for number in range(12):
            mock.world.add_project(f"/srv/project-{number}")
        for number in range(101):
            mock.world.add_session(f"Session {number}")
        await web.app.add_server(mock.url, label="Box")
        await web.app.work.projects()
        await web.app.work.sessions(ALL)
        await tab.goto(web.url)
        pages = tab.get_by_role("navigation", name="Pages of sessions")
        newer, older = (pages.get_by_role("link", name=name) for name in ("Newer", "Older"))
        await expect(newer).to_be_disabled()
        await tab_to(tab, older)
        for page in ("51–100 of 101", "101–101 of 101"):
            await tab.keyboard.press("Enter")
            await expect(tab.get_by_text(page)).to_be_visible()
            await expect(older).to_be_focused()
        await expect(older).to_be_disabled()
        await press(tab, newer, back=True)
        await expect(tab.get_by_text("51–100 of 101")).to_be_visible()
        await expect(newer).to_be_focused()

        # In a list that scrolls by itself, it is seen there.
        project = tab.get_by_role("link", name="project-1", exact=True)
        await press(tab, project, back=True)
        await expect(project).to_have_attribute("aria-current", "page")
        await expect(project).to_be_focused()
        await expect(project).to_be_in_viewport(ratio=1)


async def test_a_followed_page_link_of_a_log_keeps_the_focus(
    chromium: Browser, tmp_path: Path
) -> None:
    async with opened(chromium, tmp_path) as (web, tab):
        server = await web.app.add_server(CLOSED, label="Box", check=False)
        change_often(web.parts, server.id, 2 * LOG_LINES_PER_PAGE + 1)
        await tab.goto(f"{web.url}/servers/{server.id}")
        newer, older = (tab.get_by_role("link", name=name) for name in ("Newer", "Older"))
        pages = tab.get_by_role("navigation", name="Pages of changes")
        await tab_to(tab, older)
        for first in (LOG_LINES_PER_PAGE + 1, 2 * LOG_LINES_PER_PAGE + 1):
            await tab.keyboard.press("Enter")
            await expect(pages).to_contain_text(f"{first}–")
            await expect(older).to_be_focused()
        await expect(older).to_be_disabled()
        await tab.keyboard.press("Enter")  # leads nowhere any more
        await press(tab, newer, back=True)
        await expect(pages).to_contain_text(f"{LOG_LINES_PER_PAGE + 1}–")
        await expect(newer).to_be_focused()
        await press(tab, older)
        await expect(older).to_be_disabled()
