"""The list of servers: how each one is, and what is done to it."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from codewalk.secret import Secret
from codewalk.servers import rules
from tests.browser.elements import (
    CHANGE_TIMEOUT_MS,
    CLOSED,
    button,
    choose_menu_item,
    expect_servers,
    expect_sessions,
    field,
    fill_in_add_form,
    name_link,
    row,
    save,
    switcher_button,
    toasts,
)
from tests.browser.tabs import open_tab, opened
from tests.fakes import profile
from tests.mock_behaviours import page as web_page
from tests.mock_opencode import MockOpenCode

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

SHAPES = """() => ["healthy", "unknown", "unhealthy"].map(state => {
    const { borderRadius, clipPath, backgroundColor } =
        getComputedStyle(document.querySelector(`.server .badge.${state}`), "::before");
    return [borderRadius, clipPath, backgroundColor === "rgba(0, 0, 0, 0)"].join();
})"""


async def test_each_server_says_how_it_is(chromium: Browser, tmp_path: Path) -> None:
    async with (
        opened(chromium, tmp_path) as (web, tab),
        MockOpenCode(password="s3cret") as good,
        MockOpenCode() as old,
        MockOpenCode() as wrong,
    ):
        old.world.version = "1.0.200"
        wrong.script("*", web_page())
        await web.app.add_server(good.url, label="Dev box", password=Secret("s3cret"), default=True)
        await web.app.add_server(old.url, label="Laptop")
        for url, label in ((CLOSED, "Cloud"), (wrong.url, "Proxied")):
            await web.app.add_server(url, label=label, check=False)
            await web.app.check(label)
        managed = profile(label="Local", managed=True)
        await web.parts.registry.change(lambda roster: rules.add(roster, managed))
        await web.app.add_server("https://opencode.example.com/team/", check=False)
        await expect_servers(
            *(tab, "Dev box", "Laptop", "Cloud", "Proxied", "Local", "opencode.example.com/team")
        )

        one = row(tab, "Dev box")
        for text in ("healthy", "Active", "Default", "OpenCode 1.18.33", "signs in as opencode"):
            await expect(one).to_contain_text(text)
        await expect(one).to_contain_text(re.compile(r"\d ms"))
        await expect(one).to_contain_text(re.compile(r"checked (just now|\d+ s ago)"))
        await expect(row(tab, "Laptop")).to_contain_text("CVE-2026-22812")
        await expect(row(tab, "Cloud")).to_contain_text("unhealthy")
        await expect(row(tab, "Cloud")).to_contain_text("Nothing listens at 127.0.0.1:9")
        await expect(row(tab, "Proxied")).to_contain_text("This is not an OpenCode server")
        unlabelled = row(tab, "opencode.example.com/team")
        await expect(unlabelled).to_contain_text("unknown")
        await expect(unlabelled).to_contain_text("Not checked yet.")
        assert len(set(await tab.evaluate(SHAPES))) == 3

        await expect(row(tab, "Local")).to_contain_text("Managed")
        await button(tab, "Actions for Local").click()
        await expect(tab.get_by_role("menuitem")).to_have_text(
            ["Set active", "Set default", "Check now", "Snooze 1 h", "Move up", "Move down"]
        )


async def test_how_long_ago_a_server_was_checked_counts_on(
    chromium: Browser, tmp_path: Path
) -> None:
    async with opened(chromium, tmp_path) as (web, tab):
        await web.app.add_server(CLOSED, label="Box", check=False)
        await web.app.check("Box")
        await tab.clock.install(time=datetime.now(UTC))
        await tab.reload()
        await expect(row(tab, "Box")).to_contain_text("checked")
        await tab.clock.fast_forward(30_000)
        await expect(row(tab, "Box")).to_contain_text(re.compile(r"checked [34]\d s ago"))
        await tab.clock.fast_forward(120_000)
        await expect(row(tab, "Box")).to_contain_text("checked 2 min ago")


async def test_a_server_is_added_edited_and_removed(chromium: Browser, tmp_path: Path) -> None:
    async with (
        opened(chromium, tmp_path) as (web, tab),
        MockOpenCode(password="first") as a,
        MockOpenCode() as b,
    ):
        assert "token" not in tab.url
        await fill_in_add_form(tab, a.url, label="Box A", password="first")
        await expect(field(tab, "Username")).to_have_value("opencode")
        await save(tab)
        await expect(tab.get_by_role("heading", name="Servers")).to_be_visible()
        await expect(row(tab, "Box A")).to_contain_text("healthy")
        await expect(row(tab, "Box A")).to_contain_text("Active")
        await fill_in_add_form(tab, b.url)
        await save(tab)
        name = b.url.removeprefix("http://")
        await expect_servers(tab, "Box A", name)

        await choose_menu_item(tab, name, "Edit")
        await expect(tab.get_by_role("heading", name=f"Edit {name}")).to_be_visible()
        await field(tab, "Label").fill("Box B")
        await field(tab, "URL").fill(b.url.replace("127.0.0.1", "localhost"))
        await save(tab)
        await expect(row(tab, "Box B")).to_contain_text("http://localhost")
        await expect(row(tab, "Box B")).to_contain_text("healthy")

        await choose_menu_item(tab, "Box A", "Remove")
        await expect(tab.get_by_role("heading", name="Remove Box A?")).to_be_visible()
        said = tab.get_by_role("main")
        await expect(said).to_contain_text("its password, its model selection and its cached")
        await expect(said).to_contain_text("It is the active server")
        await tab.get_by_role("link", name="Cancel").click()
        await expect_servers(tab, "Box A", "Box B")
        await choose_menu_item(tab, "Box A", "Remove")
        await button(tab, "Remove").click()
        await expect_servers(tab, "Box B")
        await expect(row(tab, "Box B")).to_contain_text("Active")
        assert [server.name for server in web.app.servers()] == ["Box B"]


async def test_a_removal_is_undone(chromium: Browser, tmp_path: Path) -> None:
    async with opened(chromium, tmp_path) as (web, tab), MockOpenCode() as mock:
        mock.world.add_session("Kept")
        await web.app.add_server(mock.url, label="One")
        await web.app.add_server(CLOSED, label="Two", check=False)
        await web.app.work.sessions()
        await choose_menu_item(tab, "One", "Remove")
        await button(tab, "Remove").click()
        await expect_servers(tab, "Two")
        await expect(toasts(tab)).to_contain_text("One is removed.")
        await button(tab, "Undo").click()
        await expect_servers(tab, "One", "Two")
        await expect(row(tab, "One")).to_contain_text("Active")
        await expect(toasts(tab).filter(has_text="is removed")).to_have_count(0)
        await tab.get_by_role("link", name="Sessions").click()
        await expect(tab.get_by_text("Kept")).to_be_visible()


async def test_the_message_about_a_removal_disappears_after_ten_seconds(
    chromium: Browser, tmp_path: Path
) -> None:
    async with opened(chromium, tmp_path) as (web, tab):
        await web.app.add_server(CLOSED, label="One", check=False)
        await choose_menu_item(tab, "One", "Remove")
        await button(tab, "Remove").click()
        playing = "document.getAnimations().map(one => one.playState).join()"
        await toasts(tab).hover()
        assert await tab.evaluate(playing) == "paused"
        await tab.mouse.move(0, 0)
        assert await tab.evaluate(playing) == "running"
        await button(tab, "Undo").focus()
        assert await tab.evaluate(playing) == "paused"
        delay = await tab.evaluate("document.getAnimations()[0].effect.getTiming().delay")
        assert delay == 10_000
        await tab.evaluate("document.getAnimations().forEach(one => one.finish())")
        await expect(toasts(tab)).to_have_count(0)


async def test_the_default_is_set_and_cleared(chromium: Browser, tmp_path: Path) -> None:
    async with opened(chromium, tmp_path) as (web, tab):
        for name in ("One", "Two"):
            await web.app.add_server(f"{CLOSED}/{name}", label=name, check=False)
        await choose_menu_item(tab, "One", "Set default")
        await expect(row(tab, "One")).to_contain_text("Default", timeout=CHANGE_TIMEOUT_MS)
        await choose_menu_item(tab, "Two", "Set default")
        await expect(row(tab, "Two")).to_contain_text("Default", timeout=CHANGE_TIMEOUT_MS)
        await expect(row(tab, "One")).not_to_contain_text("Default")
        await choose_menu_item(tab, "Two", "Clear default")
        await expect(row(tab, "Two")).not_to_contain_text("Default", timeout=CHANGE_TIMEOUT_MS)
        assert web.app.default() is None


async def test_an_unhealthy_server_is_selected_only_after_confirmation(
    chromium: Browser, tmp_path: Path
) -> None:
    async with opened(chromium, tmp_path) as (web, tab), MockOpenCode() as mock:
        await web.app.add_server(mock.url, label="Good")
        await web.app.add_server(CLOSED, label="Bad", check=False)
        await choose_menu_item(tab, "Bad", "Set active")
        alert = tab.get_by_role("alert")
        await expect(alert).to_contain_text("Bad is unhealthy: Nothing listens")
        await expect(row(tab, "Good")).to_contain_text("Active")
        await expect(row(tab, "Bad")).not_to_contain_text("Active")
        await choose_menu_item(tab, "Good", "Check now")
        await expect(alert).to_be_empty()
        await choose_menu_item(tab, "Bad", "Set active")
        await alert.get_by_role("button", name="Switch anyway").click()
        await expect(row(tab, "Bad")).to_contain_text("Active", timeout=CHANGE_TIMEOUT_MS)
        await expect(switcher_button(tab)).to_have_accessible_description(
            re.compile("^unhealthy Bad")
        )
        await expect(alert).to_be_empty()

        await choose_menu_item(tab, "Good", "Set active")
        await expect(row(tab, "Good")).to_contain_text("Active", timeout=CHANGE_TIMEOUT_MS)


async def test_checks_are_asked_for(chromium: Browser, tmp_path: Path) -> None:
    async with opened(chromium, tmp_path) as (web, tab), MockOpenCode() as mock:
        await web.app.add_server(mock.url, label="One", check=False)
        await web.app.add_server(CLOSED, label="Two", check=False)
        await expect(row(tab, "One")).to_contain_text("unknown")
        await choose_menu_item(tab, "One", "Check now")
        await expect(row(tab, "One")).to_contain_text("healthy")
        await expect(row(tab, "Two")).to_contain_text("unknown")
        await button(tab, "Check all").click()
        await expect(row(tab, "Two")).to_contain_text("unhealthy")


async def test_a_menu_opens_for_one_server_and_stays_open_while_its_row_changes(
    chromium: Browser, tmp_path: Path
) -> None:
    async with opened(chromium, tmp_path) as (web, tab), MockOpenCode() as mock:
        await web.app.add_server(mock.url, label="One", check=False)
        await web.app.add_server(CLOSED, label="Two", check=False)
        await button(tab, "Actions for Two").click()
        items = tab.get_by_role("menuitem")
        await expect(items).to_have_text(
            [
                *("Set active", "Set default", "Check now", "Snooze 1 h"),
                *("Move up", "Move down", "Edit", "Remove"),
            ]
        )
        await button(tab, "Actions for One").click()
        await expect(items).to_have_count(7)
        await web.app.check("One")
        await expect(row(tab, "One")).to_contain_text("healthy")
        await expect(items).to_have_count(7)
        check = items.filter(has_text="Check now")
        await check.focus()
        await web.app.set_default("One")
        await expect(row(tab, "One")).to_contain_text("Default")
        await expect(items.first).to_have_text("Clear default", timeout=CHANGE_TIMEOUT_MS)
        await web.app.set_default("Two")
        await expect(items.first).to_have_text("Set default", timeout=CHANGE_TIMEOUT_MS)
        await expect(check).to_be_focused()
        await web.app.switch_to(web.app.server("Two").id, force=True)
        await expect(items.first).to_have_text("Set active", timeout=CHANGE_TIMEOUT_MS)
        await expect(check).to_be_focused()
        await web.app.set_default("One")
        await tab.get_by_role("heading", name="Servers").click()
        await expect(items).to_have_count(0)
        # What can be done is asked for each time.
        await button(tab, "Actions for One").click()
        await expect(items.nth(1)).to_have_text("Clear default")


async def test_a_name_leads_to_the_home_of_its_server(chromium: Browser, tmp_path: Path) -> None:
    async with (
        opened(chromium, tmp_path) as (web, tab),
        open_tab(tab.context, web) as other,
        MockOpenCode() as a,
        MockOpenCode() as b,
    ):
        for name, mock in (("A", a), ("B", b)):
            mock.world.add_session(f"Of {name}")
            await web.app.add_server(mock.url, label=f"Box {name}")
        one, two = (web.app.server(f"Box {name}") for name in "AB")
        await other.goto(f"{web.url}/s/{one.id}/")
        await expect_servers(tab, "Box A", "Box B")
        await name_link(tab, "Box A").click()
        await expect_sessions(tab, "Of A")
        assert tab.url == f"{web.url}/s/{one.id}/"

        # That of another server switches first, as its user wants to work there.
        await tab.go_back()
        await name_link(tab, "Box B").click()
        await expect_sessions(tab, "Of B")
        assert tab.url == f"{web.url}/s/{two.id}/"
        await expect(switcher_button(tab)).to_have_accessible_description("healthy Box B")
        await expect_sessions(other, "Of B")
        # Going back requests pages only: neither switches.
        await tab.go_back()
        await expect(row(tab, "Box B")).to_contain_text("Active")
        await expect(name_link(tab, "Box A")).to_have_accessible_description(
            "Switch to this server"
        )


async def test_the_name_of_a_server_that_is_down_says_why_and_offers_to_switch_anyway(
    chromium: Browser, tmp_path: Path
) -> None:
    async with opened(chromium, tmp_path) as (web, tab), MockOpenCode() as mock:
        await web.app.add_server(mock.url, label="Good")
        bad = await web.app.add_server(CLOSED, label="Bad", check=False)
        await name_link(tab, "Bad").click()
        alert = tab.get_by_role("alert")
        await expect(alert).to_contain_text("Bad is unhealthy: Nothing listens")
        await expect(row(tab, "Good")).to_contain_text("Active")
        await alert.get_by_role("button", name="Switch anyway").click()
        await expect(tab.get_by_role("heading", name="Bad", level=1)).to_be_visible()
        assert tab.url == f"{web.url}/s/{bad.id}/"
