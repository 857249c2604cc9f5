"""Open pages go on showing what is: in all tabs, within a second, without a reload."""

import asyncio
from pathlib import Path

import pytest
from playwright.async_api import Browser, Route, expect

from tests.browser.elements import (
    CHANGE_TIMEOUT_MS,
    CLOSED,
    button,
    expect_servers,
    expect_sessions,
    field,
    row,
    switch,
    switcher_button,
    toasts,
    wait_for_stream,
)
from tests.browser.tabs import open_context, open_tab, opened
from tests.integration.cli.command import CodeWalk
from tests.integration.web.web_app import RunningApp, running
from tests.mock_behaviours import page as web_page
from tests.mock_opencode import MockOpenCode

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

LOST = "CodeWalk has stopped"


async def two(web: RunningApp, a: MockOpenCode, b: MockOpenCode) -> None:
    """Two servers with a session each; Box A is active."""
    for name, mock in (("A", a), ("B", b)):
        mock.world.add_session(f"Of {name}")
        await web.app.add_server(mock.url, label=f"Box {name}")


async def never(_: Route) -> None:
    """Leaves a request without an answer."""


async def test_health_lists_and_the_active_server_are_followed_in_all_tabs(
    chromium: Browser, tmp_path: Path
) -> None:
    async with (
        opened(chromium, tmp_path, watch=True) as (web, first),
        MockOpenCode() as mock,
        MockOpenCode() as other,
        open_tab(first.context, web) as second,
        open_tab(first.context, web) as home,
    ):
        lists = (first, second)
        for tab in lists:
            await tab.evaluate("window.untouched = true")
            await expect(tab.get_by_text("No servers yet.")).to_be_visible()
        mock.world.add_session("Here")
        server = await web.app.add_server(mock.url, label="Box")
        for tab in lists:
            await expect(row(tab, "Box")).to_contain_text("healthy", timeout=CHANGE_TIMEOUT_MS)
        await home.goto(web.url)
        await home.evaluate("window.untouched = true")
        await expect_sessions(home, "Here")

        made = mock.world.add_session("Made there")
        mock.world.emit("session.created", {"info": made}, directory=mock.world.directory)
        await expect_sessions(home, "Made there", "Here", within=CHANGE_TIMEOUT_MS)

        mock.script("*", web_page())
        web.parts.monitor.check_soon(server.id)
        for tab in lists:
            await expect(row(tab, "Box")).to_contain_text("unhealthy", timeout=CHANGE_TIMEOUT_MS)
            await expect(row(tab, "Box")).to_contain_text("This is not an OpenCode server")
        await expect(home.locator(".problem")).to_be_visible(timeout=CHANGE_TIMEOUT_MS)
        for tab in (*lists, home):
            await expect(switcher_button(tab)).to_contain_text("This is not an OpenCode server")

        other.world.add_session("Elsewhere")
        await web.app.add_server(other.url, label="Other", use=True)
        for tab in lists:
            await expect(row(tab, "Other")).to_contain_text("Active", timeout=CHANGE_TIMEOUT_MS)
        await expect_sessions(home, "Elsewhere", within=CHANGE_TIMEOUT_MS)
        for tab in (*lists, home):
            await expect(switcher_button(tab)).to_have_accessible_description("healthy Other")
            assert await tab.evaluate("window.untouched") is True


async def test_a_switch_in_one_tab_is_followed_by_the_others_with_a_notice(
    chromium: Browser, tmp_path: Path
) -> None:
    async with (
        opened(chromium, tmp_path, watch=True) as (web, tab),
        MockOpenCode() as a,
        MockOpenCode() as b,
        open_tab(tab.context, web) as other,
        open_tab(tab.context, web) as form,
    ):
        await two(web, a, b)
        for one in (tab, other):
            await one.goto(web.url)
            await expect_sessions(one, "Of A")
        await form.goto(f"{web.url}/servers/new")
        await field(form, "Label").fill("Typed")

        await switch(tab, "Box B")
        await expect_sessions(tab, "Of B")
        for one in (other, form):
            toast = toasts(one).filter(has_text="Box B is the active server now.")
            await expect(toast).to_have_count(1, timeout=CHANGE_TIMEOUT_MS)
            await expect(switcher_button(one)).to_have_accessible_description("healthy Box B")
        await expect_sessions(other, "Of B")
        await expect(other.get_by_text("Of A")).to_have_count(0)
        await expect(other).to_have_url(f"{web.url}/s/{web.app.server('Box B').id}/")
        await expect(other).to_have_title("Box B · CodeWalk")
        # A page of no server stays, and what was typed there.
        await expect(field(form, "Label")).to_have_value("Typed")
        # What this tab asked for itself is no news.
        await expect(toasts(tab)).to_have_count(0)


async def test_a_switch_by_the_command_line_is_followed_with_a_notice(
    chromium: Browser, tmp_path: Path
) -> None:
    async with (
        opened(chromium, tmp_path, watch=True) as (web, tab),
        MockOpenCode() as a,
        MockOpenCode() as b,
    ):
        await two(web, a, b)
        await tab.goto(web.url)
        await tab.evaluate("window.untouched = true")
        await expect_sessions(tab, "Of A")
        key = {"CODEWALK_SECRET_KEY": "key of the test"}
        codewalk = CodeWalk(data_dir=web.app.settings.data_dir, environment=key)
        used = await codewalk("server", "use", "Box B", "--json")
        assert used.json["active"]
        await expect(toasts(tab)).to_have_text(
            "Box B is the active server now.", timeout=CHANGE_TIMEOUT_MS
        )
        await expect_sessions(tab, "Of B")
        await expect(tab.get_by_text("Of A")).to_have_count(0)
        assert await tab.evaluate("window.untouched") is True

        await tab.get_by_role("link", name="Servers", exact=True).click()
        await expect_servers(tab, "Box A", "Box B")
        added = await codewalk("server", "add", CLOSED, "--label", "New", "--no-check", "--json")
        assert added.status == 0
        await expect_servers(tab, "Box A", "Box B", "New", within=CHANGE_TIMEOUT_MS)


async def test_a_form_for_a_server_that_is_not_active_any_more_is_refused(
    chromium: Browser, tmp_path: Path
) -> None:
    async with (
        opened(chromium, tmp_path) as (web, tab),
        MockOpenCode() as a,
        MockOpenCode() as b,
    ):
        await two(web, a, b)
        # A page that can't hear of the switch in time.
        deaf = await tab.context.new_page()
        await deaf.route("**/live?*", never)
        await deaf.goto(web.url)
        await expect_sessions(deaf, "Of A")
        await web.app.switch_to("Box B")
        asked = [mock.count("/session") for mock in (a, b)]

        alert = deaf.get_by_role("alert")
        said = "Box A isn't the active server any more; Box B is. Nothing was sent."
        await button(deaf, "Refresh").click()
        await expect(alert).to_contain_text(said)
        await button(deaf, "New session").click()
        await field(deaf, "Title").fill("Not for B")
        await button(deaf, "Create").click()
        await expect(alert).to_contain_text(said)
        assert [len(mock.world.sessions) for mock in (a, b)] == [1, 1]
        await deaf.reload()
        await expect(deaf.get_by_role("heading", name="Box A isn’t the active")).to_be_visible()
        assert [mock.count("/session") for mock in (a, b)] == asked


async def test_a_tab_that_lost_the_app_says_so_and_catches_up(
    chromium: Browser, tmp_path: Path
) -> None:
    async with MockOpenCode() as a, MockOpenCode() as b, open_context(chromium) as context:
        tab, home = await context.new_page(), await context.new_page()
        async with running(tmp_path) as web:
            await two(web, a, b)
            await tab.goto(f"{web.login_address}")
            await tab.goto(f"{web.url}/servers")
            await home.goto(web.url)
            await expect_sessions(home, "Of A")
            for one in (tab, home):
                await wait_for_stream(one)
                await expect(one.get_by_text(LOST)).to_be_hidden()
                await one.evaluate("window.untouched = true")
        for one in (tab, home):
            await expect(one.get_by_text(LOST)).to_be_visible()
        async with running(tmp_path, port=web.port) as again:
            await again.app.add_server(CLOSED, label="New", check=False)
            await again.app.switch_to("Box B")
            for one in (tab, home):
                await expect(one.get_by_text(LOST)).to_be_hidden()
                await expect(switcher_button(one)).to_contain_text("Box B")
                assert await one.evaluate("window.untouched") is True
            await expect_servers(tab, "Box A", "Box B", "New")
            await expect_sessions(home, "Of B")
            await expect(toasts(home)).to_have_text("Box B is the active server now.")


async def test_a_burst_of_changes_leaves_all_tabs_as_things_are(
    chromium: Browser, tmp_path: Path
) -> None:
    async with (
        opened(chromium, tmp_path, watch=True) as (web, tab),
        open_tab(tab.context, web) as other,
    ):
        async with asyncio.TaskGroup() as group:
            for number in range(40):
                adding = web.app.add_server(f"{CLOSED}/{number}", check=False)
                group.create_task(adding, name=f"add {number}")
        names = [server.name for server in web.app.servers()]
        for server in web.app.servers()[::2]:
            await web.app.remove_server(server.id)
        for one in (tab, other):
            await expect_servers(one, *names[1::2])
