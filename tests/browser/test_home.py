"""The active server's home: its sessions, found and paged, as they are or as they were."""

import base64
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, expect

from codewalk.workspace.directories import ALL
from codewalk.workspace.scope import StateName, state_key
from tests.browser.elements import (
    CHANGE_TIMEOUT_MS,
    CLOSED,
    button,
    expect_sessions,
    sessions,
    switcher_button,
)
from tests.browser.tabs import opened
from tests.integration.web.web_app import RunningApp
from tests.mock_behaviours import json_reply
from tests.mock_opencode import MockOpenCode

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

EVERYWHERE = "/experimental/session"
"""Where a server lists the sessions of all folders."""


async def at_home(web: RunningApp, tab: Page, mock: MockOpenCode) -> str:
    """The home of a server, whose sessions are in already; the server's id."""
    server = await web.app.add_server(mock.url, label="Box")
    await web.app.work.sessions(ALL)
    await tab.goto(web.url)
    return server.id


async def make_old(web: RunningApp, server_id: str) -> None:
    """Make the stored sessions of this server five minutes old."""
    key = state_key(StateName.ALL_SESSIONS, server_id)
    entry = await web.parts.state.get(server_id, key)
    assert entry
    then = datetime.now(UTC) - timedelta(minutes=5)
    await web.parts.state.put(server_id, {key: entry.value}, then)


async def test_a_session_leads_to_the_servers_own_web_app(
    chromium: Browser, tmp_path: Path
) -> None:
    async with opened(chromium, tmp_path) as (web, tab), MockOpenCode() as mock:
        made = mock.world.add_session("Fix the build", directory="/srv/shop/ü")
        server_id = await at_home(web, tab, mock)
        assert tab.url == f"{web.url}/s/{server_id}/"
        await expect(tab).to_have_title("Box · CodeWalk")
        await expect(tab.get_by_role("heading", name="Sessions")).to_be_visible()
        link = tab.get_by_role("link", name="Fix the build")
        folder = base64.urlsafe_b64encode("/srv/shop/ü".encode()).decode().rstrip("=")
        await expect(link).to_have_attribute("href", f"{mock.url}/{folder}/session/{made['id']}")
        await expect(link).to_have_attribute("target", "_blank")
        await expect(link).to_have_attribute("rel", "noreferrer")
        await expect(sessions(tab)).to_contain_text("ago")
        async with tab.context.expect_page() as opening:
            await link.click()
        there = await opening.value
        await there.wait_for_load_state()
        assert there.url.startswith(f"{mock.url}/")
        (page,) = [seen for seen in mock.requests if seen.path.endswith(made["id"])]
        assert "referer" not in page.headers


async def test_sessions_are_searched_while_the_user_types(
    chromium: Browser, tmp_path: Path
) -> None:
    async with opened(chromium, tmp_path) as (web, tab), MockOpenCode() as mock:
        for title in ("Fix the build", "Fix the login", "Draft notes"):
            mock.world.add_session(title, directory="/srv/shop")
        await at_home(web, tab, mock)
        await expect(sessions(tab)).to_have_count(3)
        asked = mock.count("/experimental/session")
        words = tab.get_by_label("Search sessions")
        await words.press_sequentially("FIX log")
        await expect(sessions(tab)).to_have_count(1, timeout=CHANGE_TIMEOUT_MS)
        await expect(sessions(tab)).to_contain_text("Fix the login")
        await expect(words).to_be_focused()
        await expect(tab).to_have_url(f"{tab.url.partition('?')[0]}?q=FIX+log")
        # What comes meanwhile is sought too, and brings nothing back that was sought out.
        mock.world.add_session("Prefix logs")
        await web.app.work.sessions(ALL)
        await expect(sessions(tab)).to_have_count(2, timeout=CHANGE_TIMEOUT_MS)
        await tab.reload()
        await expect(words).to_have_value("FIX log")
        await expect(sessions(tab)).to_have_count(2)
        await words.fill("nowhere")
        await expect(tab.get_by_text("No session has “nowhere”")).to_be_visible()
        await words.press("Escape")
        await expect(sessions(tab)).to_have_count(4)
        assert mock.count("/experimental/session") == asked + 1


async def test_five_thousand_sessions_are_paged_and_stay_quick(
    chromium: Browser, tmp_path: Path
) -> None:
    async with opened(chromium, tmp_path) as (web, tab), MockOpenCode() as mock:
        for number in range(5000):
            mock.world.add_session(f"Session {number}")
        await at_home(web, tab, mock)
        await expect(sessions(tab)).to_have_count(50)
        await expect(sessions(tab).first).to_contain_text("Session 4999")
        pages = tab.get_by_role("navigation", name="Pages of sessions")
        await expect(pages).to_contain_text("1–50 of 5,000")
        await tab.evaluate("window.untouched = true")
        await pages.get_by_role("link", name="Older").click()
        await expect(sessions(tab).first).to_contain_text("Session 4949", timeout=CHANGE_TIMEOUT_MS)
        await expect(pages).to_contain_text("51–100 of 5,000")
        assert await tab.evaluate("window.untouched") is True
        await tab.get_by_label("Search sessions").fill("session 777")
        await expect(pages).to_have_count(0, timeout=CHANGE_TIMEOUT_MS)
        await expect(sessions(tab)).to_have_count(5)
        await tab.get_by_label("Search sessions").fill("")
        await expect(sessions(tab)).to_have_count(50, timeout=CHANGE_TIMEOUT_MS)
        await tab.go_back()
        await tab.wait_for_function("!window.untouched")  # the page is another one now
        await expect(sessions(tab).first).to_contain_text("Session 4999")
        await tab.goto(f"{tab.url.partition('?')[0]}?page=100")
        await expect(sessions(tab).last).to_contain_text("Session 0")
        await expect(pages.get_by_role("link", name="Older")).to_be_disabled()
        await pages.get_by_role("link", name="Newer").click()
        await expect(pages).to_contain_text("4,901–4,950 of 5,000")


async def test_what_comes_from_the_cache_says_so_until_the_fresh_list_is_in(
    chromium: Browser, tmp_path: Path
) -> None:
    async with opened(chromium, tmp_path) as (web, tab), MockOpenCode() as mock:
        mock.world.add_session("Old one")
        server_id = await at_home(web, tab, mock)
        await expect(tab.locator(".when")).to_contain_text("updated")
        await make_old(web, server_id)
        mock.world.add_session("New one")
        gate = mock.hold("/experimental/session")
        await tab.reload()
        await gate.arrived.wait()
        await expect(tab.locator(".when")).to_have_text("cached 5 min ago")
        await expect(sessions(tab)).to_have_count(1)
        gate.release()
        await expect(sessions(tab)).to_have_count(2)
        await expect(tab.locator(".when")).to_contain_text("updated")

        # What can't be fetched is told, once, and the user decides.
        await make_old(web, server_id)
        for path in ("/session", "/experimental/session"):
            mock.script(path, json_reply({}, status=500))
        await tab.reload()
        await expect(tab.locator(".problem")).to_contain_text("500")
        await expect(tab.locator(".when")).to_contain_text("cached 5 min ago")
        await expect(sessions(tab)).to_have_count(2)
        for path in ("/session", "/experimental/session"):
            mock.script(path)
        mock.world.add_session("Newest")
        await button(tab, "Refresh").click()
        await expect(sessions(tab)).to_have_count(3)
        await expect(tab.locator(".problem")).to_have_count(0)


async def test_a_server_that_is_down_shows_its_cached_sessions_until_it_is_back(
    chromium: Browser, tmp_path: Path
) -> None:
    async with opened(chromium, tmp_path) as (web, tab), MockOpenCode() as mock:
        mock.world.add_session("Kept")
        await at_home(web, tab, mock)
        await mock.stop()
        # Within a second: what fails in so short a time doesn't answer the next check too.
        await web.app.check("Box", budget=1.0)
        banner, age = tab.locator(".problem"), tab.locator(".when")
        await expect(banner).to_contain_text("Nothing listens", timeout=CHANGE_TIMEOUT_MS)
        await expect(banner.get_by_role("button")).to_have_text(["Retry"])
        await expect_sessions(tab, "Kept")
        await expect(age).to_contain_text("cached")

        await mock.start()
        mock.world.add_session("New")
        await banner.get_by_role("button", name="Retry").click()
        await expect_sessions(tab, "New", "Kept")
        await expect(banner).to_have_count(0)
        await expect(age).to_contain_text("updated")
        await expect(switcher_button(tab)).to_have_accessible_description("healthy Box")


async def test_a_server_that_goes_down_shows_the_way_to_the_nearest_healthy_one(
    chromium: Browser, tmp_path: Path
) -> None:
    async with (
        opened(chromium, tmp_path, watch=True) as (web, tab),
        MockOpenCode() as mock,
        MockOpenCode() as other,
    ):
        mock.world.add_session("Of Box")
        other.world.add_session("Of Other")
        await at_home(web, tab, mock)
        await web.app.add_server(CLOSED, label="Also down", check=False)
        await web.app.check("Also down")
        await web.app.add_server(other.url, label="Other")
        await expect_sessions(tab, "Of Box")
        await mock.world.subscribed.wait()
        await mock.stop()
        banner = tab.locator(".problem")
        await expect(banner).to_contain_text("Nothing listens", timeout=CHANGE_TIMEOUT_MS)
        await expect(switcher_button(tab)).to_contain_text("Nothing listens")
        await expect(banner.get_by_role("button")).to_have_text(["Retry", "Switch to Other"])
        await banner.get_by_role("button", name="Retry").click()
        await expect(tab.locator(".when")).to_contain_text("cached")
        await banner.get_by_role("button", name="Switch to Other").click()
        await expect_sessions(tab, "Of Other")
        await expect(tab).to_have_url(f"{web.url}/s/{web.app.server('Other').id}/")


async def test_a_home_without_sessions_says_what_to_do(chromium: Browser, tmp_path: Path) -> None:
    async with opened(chromium, tmp_path) as (web, tab), MockOpenCode() as mock:
        await web.app.add_server(mock.url, label="Box")
        await tab.goto(web.url)
        await expect(tab.get_by_text("No sessions here yet.")).to_be_visible()
        mock.world.add_session("First")
        await button(tab, "Refresh").click()
        await expect(sessions(tab)).to_contain_text("First")
        await expect(tab.get_by_text("No sessions here yet.")).to_have_count(0)


async def test_archived_and_child_sessions_are_no_rows_until_asked_for(
    chromium: Browser, tmp_path: Path
) -> None:
    async with (
        opened(chromium, tmp_path, watch=True) as (web, tab),
        MockOpenCode() as mock,
    ):
        parent = mock.world.add_session("Parent")
        child = mock.world.add_session("Child")
        child["parentID"] = parent["id"]
        other = mock.world.add_session("Other")
        await at_home(web, tab, mock)
        await expect_sessions(tab, "Other", "Parent")
        await mock.world.subscribed.wait()

        mock.world.set_status(child, "busy")
        busy = tab.get_by_role("listitem").filter(has_text="busy")
        await expect(busy).to_contain_text("Parent", timeout=CHANGE_TIMEOUT_MS)
        mock.world.set_status(child, "idle")
        await expect(busy).to_have_count(0, timeout=CHANGE_TIMEOUT_MS)

        other["time"]["archived"] = other["time"]["updated"]
        mock.world.emit("session.updated", {"info": other}, directory=other["directory"])
        await expect_sessions(tab, "Parent")
        await tab.get_by_role("link", name="Show archived (1)").click()
        await expect_sessions(tab, "Other", "Parent")
        await expect(sessions(tab).first).to_contain_text("archived")
        await tab.get_by_role("link", name="Hide archived (1)").click()
        await expect_sessions(tab, "Parent")


async def test_a_title_cannot_turn_its_own_direction_around(
    chromium: Browser, tmp_path: Path
) -> None:
    async with opened(chromium, tmp_path) as (web, tab), MockOpenCode() as mock:
        mock.world.add_session("open \u202etxt.exe", directory="/srv/\u202etxt.exe/x/y")
        mock.world.add_session("   \n\t ")
        await at_home(web, tab, mock)
        await expect(sessions(tab)).to_have_count(2)
        await expect(sessions(tab).first.locator(".name")).to_have_text("Untitled")
        name = sessions(tab).last.locator(".name")
        # Where the glyphs stand, not the order of the characters: `t` is left of `e`.
        left = """(element) => {
          const text = element.firstChild, range = document.createRange();
          const at = (character) => {
            const index = text.data.indexOf(character, 5);
            range.setStart(text, index);
            range.setEnd(text, index + 1);
            return range.getBoundingClientRect().left;
          };
          return at("x") < at("e");
        }"""
        assert await name.evaluate(left) is True


async def test_a_session_that_no_event_told_of_appears_when_the_page_gets_the_focus(
    chromium: Browser, tmp_path: Path
) -> None:
    async with (
        opened(chromium, tmp_path, watch=True) as (web, tab),
        MockOpenCode() as mock,
    ):
        mock.world.add_session("Here")
        await at_home(web, tab, mock)
        await mock.world.subscribed.wait()
        await expect_sessions(tab, "Here")
        # Repeated, since looks within a second of another one are left out.
        await tab.evaluate("setInterval(() => window.dispatchEvent(new Event('focus')), 300)")
        # From the second look on, no list is fetched that the new stream made uncertain.
        while [seen.query.get("limit") for seen in mock.requests].count("50") < 2:
            await mock.wait_for_requests(EVERYWHERE, mock.count(EVERYWHERE) + 1)
        mock.world.add_session("In the terminal")  # by another process: there is no event
        await expect_sessions(tab, "In the terminal", "Here", within=CHANGE_TIMEOUT_MS)
        assert mock.requests[-1].query.get("limit") in ("50", None)


async def test_a_session_that_no_event_told_of_appears_in_a_page_that_is_looked_at(
    chromium: Browser, tmp_path: Path
) -> None:
    async with (
        opened(chromium, tmp_path, watch=True) as (web, tab),
        MockOpenCode() as mock,
    ):
        mock.world.add_session("Here")
        await at_home(web, tab, mock)
        await mock.world.subscribed.wait()
        await expect_sessions(tab, "Here")
        await tab.wait_for_timeout(1500)  # the first look is over
        mock.world.add_session("In the terminal")
        await expect_sessions(tab, "In the terminal", "Here", within=12_000)


async def test_a_server_that_is_down_and_was_never_fetched_says_so_once(
    chromium: Browser, tmp_path: Path
) -> None:
    async with opened(chromium, tmp_path) as (web, tab), MockOpenCode() as mock:
        port = mock.port
        await mock.stop()
        await web.app.add_server(f"http://127.0.0.1:{port}", label="Down", check=False)
        # Within a second: what fails in so short a time doesn't answer the next check too.
        await web.app.check("Down", budget=1.0)
        await tab.goto(web.url)
        await expect(tab.locator(".when")).to_have_text("Never fetched")
        await expect(tab.locator(".problem")).to_contain_text("Nothing listens")
        await expect(tab.locator("[aria-busy=true]")).to_have_count(0)
        seen = await tab.get_by_text("Nothing listens").all()
        assert [await one.is_visible() for one in seen].count(True) == 1
        await expect(tab.get_by_role("button", name="Retry")).to_have_count(1)
        await expect(button(tab, "Refresh")).to_have_count(0)
        await expect(button(tab, "New session")).to_be_disabled()

        await mock.start()
        mock.world.add_session("Here")
        await button(tab, "Retry").click()
        await expect_sessions(tab, "Here")
        await expect(button(tab, "New session")).to_be_enabled()


async def test_all_folders_are_listed_until_one_is_chosen(
    chromium: Browser, tmp_path: Path
) -> None:
    async with (
        opened(chromium, tmp_path, watch=True) as (web, tab),
        MockOpenCode() as mock,
    ):
        mock.world.add_project("/srv/shop")
        mock.world.add_session("Of the own folder")
        mock.world.add_session("Of the shop", directory="/srv/shop", project_id="shop")
        await at_home(web, tab, mock)
        await mock.world.subscribed.wait()
        await expect_sessions(tab, "Of the shop", "Of the own folder")
        await expect(sessions(tab).first).to_contain_text("/srv/shop")
        folders = tab.get_by_role("navigation", name="Projects")
        chosen = folders.locator("[aria-current]")
        await expect(folders.get_by_role("link")).to_have_text(["All folders", "shop", "project"])
        await expect(chosen).to_have_text("All folders")

        made = mock.world.add_session("In a new folder", directory="/srv/x", project_id="x")
        mock.world.emit("session.created", {"info": made}, directory="/srv/x")
        await expect_sessions(tab, "In a new folder", "Of the shop", "Of the own folder")

        await folders.get_by_role("link", name="shop").click()
        await expect(chosen).to_have_text("shop")
        await expect_sessions(tab, "Of the shop")
        await tab.get_by_label("Search sessions").fill("own")
        await expect(tab.get_by_text("No session here has “own”")).to_be_visible()
        await tab.get_by_role("link", name="Search all folders").click()
        await expect(chosen).to_have_text("All folders")
        await expect_sessions(tab, "Of the own folder")
        await expect(tab.get_by_label("Search sessions")).to_have_value("own")


async def test_a_new_session_is_created_in_a_chosen_folder_and_once(
    chromium: Browser, tmp_path: Path
) -> None:
    async with opened(chromium, tmp_path) as (web, tab), MockOpenCode() as mock:
        mock.world.add_project("/srv/shop")
        await web.app.add_server(mock.url, label="Box")
        await web.app.work.projects()
        await web.app.work.sessions(ALL)
        await tab.goto(web.url)
        await button(tab, "New session").click()
        form = tab.get_by_role("form", name="New session")
        await expect(form.get_by_label("Folder")).to_have_value("")
        await form.get_by_label("Folder").select_option(label="shop (/srv/shop)")
        title = form.get_by_label("Title")
        await title.fill("Only one")
        gate = mock.hold("/session")
        await title.press("Enter")
        await expect(form.get_by_role("button", name="Create")).to_be_disabled()
        await title.press("Enter")
        await form.get_by_role("button", name="Create").dispatch_event("click")
        await gate.arrived.wait()
        gate.release()
        await expect_sessions(tab, "Only one")
        await expect(form).to_be_hidden()
        assert [(s["title"], s["directory"]) for s in mock.world.sessions] == [
            ("Only one", "/srv/shop")
        ]
        await button(tab, "New session").click()
        await title.fill("Only one")
        await title.press("Enter")
        await expect_sessions(tab, "Only one", "Only one")


async def test_a_chosen_model_can_be_left_to_the_server(chromium: Browser, tmp_path: Path) -> None:
    async with opened(chromium, tmp_path) as (web, tab), MockOpenCode() as mock:
        await web.app.add_server(mock.url, label="Box")
        await web.app.work.models()
        await tab.goto(web.url)
        picker = tab.get_by_label("Model", exact=True)
        await expect(picker).to_have_value("")
        for value in ("local/tiny", ""):
            async with tab.expect_response(lambda response: response.url.endswith("/model")):
                await picker.select_option(value)
            await expect(picker).to_have_value(value)
            assert (await web.app.work.models(cached=True)).selected == (value or None)
