"""The switcher in the bar: filtered and picked from by pointer and by keys."""

from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from tests.browser.elements import (
    CLOSED,
    switcher_button,
    switcher_item,
    switcher_panel,
    toasts,
)
from tests.browser.tabs import opened
from tests.mock_opencode import MockOpenCode

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


async def test_a_server_is_picked_with_the_pointer(chromium: Browser, tmp_path: Path) -> None:
    async with (
        opened(chromium, tmp_path, watch=True, has_touch=True) as (web, tab),
        MockOpenCode() as a,
        MockOpenCode() as b,
    ):
        a.world.add_session("Of A")
        b.world.add_session("Of B")
        await web.app.add_server(a.url, label="Box A")
        await web.app.add_server(b.url, label="Box B")
        await tab.goto(web.url)
        await expect(tab.get_by_text("Of A")).to_be_visible()
        await expect(switcher_button(tab)).to_have_accessible_description("healthy Box A")
        await tab.evaluate("window.untouched = true")
        await switcher_button(tab).tap()
        await switcher_item(tab, "Box B").tap()
        await expect(switcher_panel(tab)).to_be_hidden()
        await expect(switcher_button(tab)).to_have_accessible_description("healthy Box B")
        await expect(switcher_button(tab)).to_be_focused()
        await expect(tab.get_by_text("Of B")).to_be_visible()
        await expect(tab.get_by_text("Of A")).to_have_count(0)
        await expect(tab).to_have_title("Box B · CodeWalk")
        assert await tab.evaluate("window.untouched") is True
        # What this tab asked for itself is no news.
        await expect(toasts(tab)).to_have_count(0)

        await tab.go_back()
        heading = tab.get_by_role("heading", name="Box A isn’t the active server")
        await expect(heading).to_be_visible()
        await expect(tab.get_by_text("Of A")).to_have_count(0)
        await tab.get_by_role("button", name="Switch to Box A").click()
        await expect(tab.get_by_text("Of A")).to_be_visible()
        await expect(switcher_button(tab)).to_have_accessible_description("healthy Box A")


async def test_the_filter_is_empty_when_the_switcher_opens_again_at_once(
    chromium: Browser, tmp_path: Path
) -> None:
    """Raced: a browser tells of no closing that is followed by an opening before it was told."""
    async with opened(chromium, tmp_path) as (web, tab):
        await web.app.add_server("http://127.0.0.1:9", label="One", check=False)
        await expect(switcher_button(tab)).to_contain_text("One")
        await tab.keyboard.press("Control+k")
        field = tab.get_by_label("Filter servers")
        await field.fill("tw")
        await switcher_panel(tab).evaluate("one => { one.hidePopover(); one.showPopover(); }")
        await expect(field).to_have_value("")


async def test_a_server_is_filtered_and_chosen_with_the_keyboard(
    chromium: Browser, tmp_path: Path
) -> None:
    async with (
        opened(chromium, tmp_path) as (web, tab),
        MockOpenCode() as mock,
    ):
        for name in ("One", "Two", "Twelve"):
            await web.app.add_server(f"{mock.url}/{name}", label=name, check=False)
        await expect(switcher_button(tab)).to_contain_text("One")
        field = tab.get_by_label("Filter servers")

        await tab.keyboard.press("Control+k")
        await expect(field).to_be_focused()
        await expect(switcher_item(tab, "Twelve")).to_be_visible()
        await tab.keyboard.press("ArrowDown")
        await expect(switcher_item(tab, "One")).to_be_focused()
        await tab.keyboard.press("ArrowUp")
        await expect(field).to_be_focused()
        await tab.keyboard.press("ArrowUp")
        await expect(switcher_item(tab, "Twelve")).to_be_focused()
        await tab.keyboard.type("tw 127")
        await expect(field).to_have_value("tw 127")
        await expect(switcher_panel(tab).get_by_role("status")).to_have_text("2 of 3 servers")
        await expect(switcher_item(tab, "One")).to_be_hidden()
        await tab.keyboard.press("Escape")
        await expect(switcher_panel(tab)).to_be_hidden()
        await expect(switcher_button(tab)).to_be_focused()

        await tab.keyboard.press("Meta+k")
        await expect(field).to_have_value("")
        await tab.keyboard.type("elv")
        await tab.keyboard.press("Enter")
        await expect(switcher_panel(tab)).to_be_hidden()
        # Nothing is there: it isn't switched to, and why is told.
        await expect(tab.get_by_role("alert")).to_contain_text("Twelve is unhealthy")


async def test_an_unhealthy_server_says_why_and_is_switched_to_after_confirmation(
    chromium: Browser, tmp_path: Path
) -> None:
    async with (
        opened(chromium, tmp_path) as (web, tab),
        MockOpenCode() as mock,
    ):
        await web.app.add_server(mock.url, label="Good")
        bad = await web.app.add_server(CLOSED, label="Bad", check=False)
        await web.app.check(bad.id)
        await switcher_button(tab).click()
        await expect(switcher_item(tab, "Bad")).to_have_attribute("aria-disabled", "true")
        await expect(switcher_panel(tab)).to_contain_text("Nothing listens at 127.0.0.1:9")
        await tab.keyboard.type("bad")
        await tab.keyboard.press("Enter")
        await expect(switcher_item(tab, "Bad")).to_be_focused()
        await tab.keyboard.press("Enter")
        await expect(switcher_panel(tab)).to_be_visible()
        await switcher_panel(tab).get_by_role("button", name="Check again").click()
        await expect(switcher_panel(tab)).to_be_visible()
        await switcher_panel(tab).get_by_role("button", name="Switch anyway").click()
        await expect(switcher_panel(tab)).to_be_hidden()
        await expect(tab.get_by_role("alert")).to_contain_text("Bad is unhealthy: Nothing listens")
        await expect(switcher_button(tab)).to_contain_text("Good")
        await tab.get_by_role("alert").get_by_role("button", name="Switch anyway").click()
        await expect(switcher_button(tab)).to_contain_text("Bad")
        await expect(switcher_button(tab)).to_contain_text("Nothing listens")


async def test_it_follows_what_happens_and_keeps_the_filter(
    chromium: Browser, tmp_path: Path
) -> None:
    async with (
        opened(chromium, tmp_path) as (web, tab),
        MockOpenCode() as mock,
    ):
        for number in range(3):
            await web.app.add_server(f"{CLOSED}/{number}", label=f"Box {number}", check=False)
        last = await web.app.add_server(mock.url, label="Box last", check=False)
        await expect(switcher_button(tab)).to_contain_text("Box 0")
        await tab.keyboard.press("Control+k")
        await tab.keyboard.type("box")
        await expect(switcher_item(tab, "Box last")).to_be_visible()
        await tab.keyboard.press("ArrowDown")
        await tab.keyboard.press("ArrowDown")
        await expect(switcher_item(tab, "Box 1")).to_be_focused()
        await web.app.check(last.id)
        names = switcher_panel(tab).locator("li:visible .name")
        await expect(switcher_item(tab, "Box last")).to_contain_text("healthy")
        await expect(switcher_item(tab, "Box 1")).to_be_focused()
        await web.app.add_server(f"{CLOSED}/other", label="Other", check=False)
        await expect(switcher_panel(tab).get_by_role("status")).to_have_text("4 of 5 servers")
        await expect(names).to_have_text(["Box 0", "Box 1", "Box 2", "Box last"])
        await web.app.add_server(f"{CLOSED}/box", label="Box new", check=False)
        await expect(names).to_have_count(5)
        await expect(tab.get_by_label("Filter servers")).to_have_value("box")


async def test_no_item_moves_while_it_is_open(chromium: Browser, tmp_path: Path) -> None:
    """Raced: after a switch the order changed under the pointer, which then met another item."""
    async with (
        opened(chromium, tmp_path) as (web, tab),
        MockOpenCode() as a,
        MockOpenCode() as b,
    ):
        await web.app.add_server(a.url, label="Box A")
        await web.app.add_server(b.url, label="Box B")
        await expect(switcher_button(tab)).to_contain_text("Box A")
        names = tab.locator("#switcher-list .name")
        await switcher_button(tab).click()
        await expect(names).to_have_text(["Box A", "Box B"])
        await web.app.switch_to("Box B")
        await expect(switcher_item(tab, "Box B")).to_contain_text("Active")
        await expect(names).to_have_text(["Box A", "Box B"])
        await tab.keyboard.press("Escape")
        await expect(switcher_panel(tab)).to_be_hidden()
        await expect(names).to_have_text(["Box B", "Box A"])


async def test_enter_goes_to_the_previous_server_and_back_at_once(
    chromium: Browser, tmp_path: Path
) -> None:
    """Raced: the list was that of before the switch, where the item of the active server closed."""
    async with (
        opened(chromium, tmp_path) as (web, tab),
        MockOpenCode() as a,
        MockOpenCode() as b,
        MockOpenCode() as c,
    ):
        for mock, name in ((a, "Alpha"), (b, "Beta"), (c, "Gamma")):
            await web.app.add_server(mock.url, label=name)
        await web.app.switch_to("Gamma")
        await tab.goto(web.url)
        await tab.route("**/switcher?*", lambda route: route.fulfill(status=204))
        await expect(switcher_button(tab)).to_contain_text("Gamma")
        for name in ("Alpha", "Gamma", "Alpha", "Gamma"):
            await tab.keyboard.press("Control+k")
            await tab.keyboard.press("Enter")
            await expect(switcher_panel(tab)).to_be_hidden()
            await expect(switcher_button(tab)).to_contain_text(name)

        # With a filter it is the first match, and never the server that is active.
        await tab.keyboard.press("Control+k")
        await tab.keyboard.type("ta")
        await tab.keyboard.press("Enter")
        await expect(switcher_button(tab)).to_contain_text("Beta")
        await tab.keyboard.press("Control+k")
        await tab.keyboard.type("beta")
        await tab.keyboard.press("Enter")
        await expect(switcher_panel(tab)).to_be_hidden()
        await expect(switcher_button(tab)).to_contain_text("Beta")


ROW_HEIGHTS = (
    "() => [...document.querySelectorAll('#switcher-list > li')].map(li => li.offsetHeight)"
)
OVERFLOW = (
    "() => { const { scrollHeight, clientHeight } = document.querySelector('#switcher-list');"
    " return scrollHeight - clientHeight; }"
)


@pytest.mark.parametrize(("touch", "height"), [(False, 40), (True, 44)])
async def test_six_servers_are_rows_of_one_height_without_scrolling(
    chromium: Browser, tmp_path: Path, touch: bool, height: int
) -> None:
    view = {"width": 360 if touch else 1280, "height": 800}
    async with (
        opened(chromium, tmp_path, viewport=view, has_touch=touch, is_mobile=touch) as (web, tab),
        MockOpenCode() as mock,
    ):
        await web.app.add_server(mock.url, label="Good")
        for number in range(5):
            label = f"A rather long name of the server with the number {number}"
            server = await web.app.add_server(f"{CLOSED}/{number}", label=label, check=False)
            await web.app.check(server.id)
        await tab.goto(web.url)
        await switcher_button(tab).click()
        await expect(switcher_panel(tab).locator("li")).to_have_count(6)
        await tab.wait_for_function(
            "touch => matchMedia('(pointer: coarse)').matches === touch", arg=touch
        )
        assert await tab.evaluate(ROW_HEIGHTS) == [height] * 6
        assert await tab.evaluate(OVERFLOW) == 0

        # The row with the focus shows what can be done, and the whole reason.
        again = switcher_panel(tab).get_by_role("button", name="Check again")
        await expect(again).to_have_count(0)
        await switcher_item(tab, "number 3").click(force=True)  # it can't be chosen
        await expect(switcher_item(tab, "number 3")).to_be_focused()
        await expect(again).to_have_count(1)
        box = await again.bounding_box()
        assert box
        assert not touch or box["height"] >= height
        await expect(switcher_panel(tab).get_by_role("button", name="Switch anyway")).to_have_count(
            1
        )
        await tab.keyboard.press("ArrowDown")
        await expect(switcher_item(tab, "number 4")).to_be_focused()
        await expect(again).to_have_count(1)


async def test_on_a_page_of_no_server_a_switch_leaves_the_form_as_it_is(
    chromium: Browser, tmp_path: Path
) -> None:
    async with (
        opened(chromium, tmp_path) as (web, tab),
        MockOpenCode() as mock,
    ):
        await web.app.add_server(CLOSED, label="First", check=False)
        await web.app.add_server(mock.url, label="Second")
        await tab.goto(f"{web.url}/servers/new")
        await tab.get_by_label("Label", exact=True).fill("Typed")
        await switcher_button(tab).click()
        await switcher_item(tab, "Second").click()
        await expect(switcher_button(tab)).to_contain_text("Second")
        await expect(tab.get_by_label("Label", exact=True)).to_have_value("Typed")
        await switcher_button(tab).click()
        await switcher_panel(tab).get_by_role("link", name="Manage servers").click()
        await expect(tab.get_by_role("heading", name="Servers")).to_be_visible()


async def test_it_works_without_javascript(chromium: Browser, tmp_path: Path) -> None:
    async with (
        opened(chromium, tmp_path, java_script_enabled=False) as (web, tab),
        MockOpenCode() as mock,
    ):
        await web.app.add_server(CLOSED, label="First", check=False)
        await web.app.add_server(mock.url, label="Second")
        await tab.reload()
        await switcher_button(tab).click()
        await expect(tab.get_by_label("Filter servers")).to_be_hidden()
        await switcher_item(tab, "Second").click()
        await expect(switcher_button(tab)).to_contain_text("Second")
