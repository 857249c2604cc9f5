"""The first page of a person who has no server yet, or comes from the Flutter app."""

import json
import re
from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from codewalk.events import Event, Kind
from tests.browser.elements import (
    button,
    expect_servers,
    field,
    row,
    rows,
    save,
    switcher_button,
    wait_for_stream,
)
from tests.browser.tabs import open_tab, opened
from tests.fake_opencode import write_fake
from tests.mock_opencode import MockOpenCode

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


async def test_three_ways_to_a_first_server_are_offered(chromium: Browser, tmp_path: Path) -> None:
    async with opened(chromium, tmp_path) as (_, tab), MockOpenCode() as mock:
        await expect(tab.get_by_text("No servers yet.")).to_be_visible()
        await expect(switcher_button(tab)).to_have_accessible_description("No active server")
        await expect(tab.get_by_role("main").locator(".welcome-content > ul > li")).to_have_count(3)
        await expect(tab.get_by_role("heading", level=2)).to_have_text(
            ["Add one by its address", "Run one on this machine", "Use one that is running here"]
        )
        await expect(button(tab, "Look at 127.0.0.1:4096")).to_be_visible()
        # Where `codewalk up` isn't what runs, it says why it can't be started.
        await expect(button(tab, "Start a local server")).to_have_count(0)

        await field(tab, "URL").fill(f"{mock.url}/")
        await expect(tab.locator("#url-message")).to_have_text(f"Saved as {mock.url}")
        assert mock.requests == []
        await button(tab, "Add server").click()
        await expect(rows(tab)).to_contain_text("Active")
        await expect(button(tab, "Check all")).to_be_visible()
        await expect(tab.get_by_text("No servers yet.")).to_have_count(0)


async def test_a_first_server_that_cannot_be_added_gets_the_whole_form_in_its_place(
    chromium: Browser, tmp_path: Path
) -> None:
    async with (
        opened(chromium, tmp_path, watch=True) as (web, tab),
        MockOpenCode(password="s3cret") as mock,
    ):
        await wait_for_stream(tab)
        url, outcome = field(tab, "URL"), tab.locator("#outcome")
        await url.fill("ftp://devbox")
        await url.press("Enter")
        await expect(url).to_have_accessible_description(re.compile("not http or https"))
        await expect(url).to_have_value("ftp://devbox")
        await url.fill(mock.url)
        await button(tab, "Save").press("Enter")
        await expect(outcome).to_contain_text("asks for a user name and password")
        await field(tab, "Label").fill("Box")
        # Nothing of it goes when the list is painted again, as when a local server starts.
        web.app.import_message = "Something was taken over."
        web.app.announcer.announce(Event(kind=Kind.SERVERS))
        await expect(tab.get_by_text("Something was taken over.")).to_be_visible()
        await expect(url).to_have_value(mock.url)
        await expect(field(tab, "Label")).to_have_value("Box")
        await field(tab, "Password").fill("s3cret")
        await save(tab)
        await expect(row(tab, "Box")).to_contain_text("Active")


@pytest.mark.parametrize("width", [360, 768, 1280])
async def test_the_first_page_has_heading_and_field_in_one_column_and_in_sight(
    chromium: Browser, tmp_path: Path, width: int
) -> None:
    async with opened(chromium, tmp_path, viewport={"width": width, "height": 640}) as (_, tab):
        boxes = [
            await place.bounding_box()
            for place in (
                tab.get_by_role("heading", level=1),
                tab.get_by_role("region", name="Add one by its address"),
                field(tab, "URL"),
                button(tab, "Add server"),
            )
        ]
        heading, card, url, add = (box for box in boxes if box)
        assert heading["x"] == card["x"]
        assert add["y"] + add["height"] < 640
        inner = card["width"] - 2 * (url["x"] - card["x"])
        if width < 640:
            assert url["width"] == add["width"] == pytest.approx(inner)
        else:
            assert url["y"] == add["y"]
            assert add["x"] + add["width"] == pytest.approx(url["x"] + inner)


async def test_the_default_address_is_checked_only_on_request(
    chromium: Browser, tmp_path: Path
) -> None:
    async with (
        opened(chromium, tmp_path, watch=True) as (web, tab),
        MockOpenCode(password="s3cret") as mock,
    ):
        # Not OpenCode's own port: a person's server may be there, or another run of this.
        web.app.drafts.default_url = mock.url
        place = mock.url.removeprefix("http://")
        look_button = button(tab, f"Look at {place}")
        await tab.reload()
        await wait_for_stream(tab)
        assert mock.requests == []
        await look_button.click()
        result = tab.locator("#local-check").get_by_role("status")
        await expect(result).to_contain_text("asks for a user name and password")
        # It stays when the list is painted anew, as when a local server starts.
        web.app.import_message = "Something was taken over."
        web.app.announcer.announce(Event(kind=Kind.SERVERS))
        await expect(tab.get_by_text("Something was taken over.")).to_be_visible()
        await expect(result).to_contain_text("asks for a user name and password")
        await tab.get_by_role("link", name="Add it with its password").click()
        await expect(field(tab, "URL")).to_have_value(mock.url)
        await tab.go_back()

        mock.password = None
        await look_button.click()
        await expect(result).to_contain_text("OpenCode 1.18.33.")
        assert web.app.servers() == []
        # Else the test ends while the page is about to be another: closing it may take for ever.
        async with tab.expect_navigation():
            await button(tab, "Add it").click()
        await expect(row(tab, place)).to_contain_text("Active")


async def test_a_local_server_is_started_from_the_page(chromium: Browser, tmp_path: Path) -> None:
    fake = str(write_fake(tmp_path))
    async with (
        opened(chromium, tmp_path, watch=True, opencode=fake) as (web, tab),
        web.app.local.control(),
        open_tab(tab.context, web) as other,
    ):
        await tab.reload()
        await expect(tab.get_by_text("Start a local server")).to_be_visible()
        await button(tab, "Start a local server").click()
        for one in (tab, other):
            await expect_servers(one, "Local")
            await expect(row(one, "Local")).to_contain_text("Managed")
            await expect(row(one, "Local")).to_contain_text("healthy")
            await expect(row(one, "Local")).to_contain_text("Active")
            await expect(button(one, "Check all")).to_be_visible()


async def test_the_message_about_imported_servers_is_shown_once(
    chromium: Browser, tmp_path: Path
) -> None:
    preferences = {"flutter.server_host": "devbox", "flutter.server_port": 4096}
    (tmp_path / "no-preferences.json").write_text(json.dumps(preferences), "utf-8")
    async with (
        opened(chromium, tmp_path) as (web, tab),
        open_tab(tab.context, web) as other,
    ):
        message = "1 server was taken over from the CodeWalk Flutter app"
        for one in (tab, other):
            await one.goto(f"{web.url}/servers")
            await expect(one.get_by_text(message)).to_be_visible()
        await expect_servers(tab, "Primary server")
        await expect(row(tab, "Primary server")).to_contain_text("Active")
        await button(tab, "Got it").click()
        for one in (tab, other):
            await expect(one.get_by_text(message)).to_have_count(0)
        await tab.reload()
        await expect_servers(tab, "Primary server")
        await expect(tab.get_by_text(message)).to_have_count(0)
