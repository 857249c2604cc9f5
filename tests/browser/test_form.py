"""The form of a server: what it says while one types, and what it does with what was typed."""

import os
import re
from pathlib import Path
from typing import Final

import pytest
from playwright.async_api import Browser, Locator, Page, expect

from codewalk.secret import Secret
from codewalk.servers.draft import Change
from codewalk.servers.health_check import HealthCheckSettings
from codewalk.servers.profile import NotifySetting
from tests.browser.elements import (
    CLOSED,
    button,
    choose_menu_item,
    expect_servers,
    field,
    fill_in_add_form,
    row,
    save,
)
from tests.browser.tabs import opened
from tests.mock_opencode import MockOpenCode

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

PASSWORD: Final = "hunter2: never shown"

GOOD_CHECKS: Final = "Good checks until healthy"
FAILED_CHECKS: Final = "Failed checks until unhealthy"


def own_address() -> str:
    """A loopback address that no other process of this machine's tests uses."""
    pid = os.getpid()
    return f"127.{1 + (pid >> 16) % 254}.{pid >> 8 & 255}.{1 + pid % 254}"


async def must_not_hold(tab: Page, password: str) -> None:
    assert password not in await tab.content()
    await expect(field(tab, "Password")).to_have_value("")


async def test_the_form_previews_the_saved_url_while_the_user_types(
    chromium: Browser, tmp_path: Path
) -> None:
    async with opened(chromium, tmp_path) as (web, tab), MockOpenCode() as mock:
        await web.app.add_server(f"{CLOSED}/x", label="Kept", check=False)
        await button(tab, "Add server").click()
        url, message = field(tab, "URL"), tab.locator("#url-message")
        await expect(url).to_be_focused()
        await url.press_sequentially("  DevBox:4096/team/ ")
        await expect(message).to_have_text("Saved as http://devbox:4096/team")
        await url.fill("http://devbox:4096/team")
        await expect(message).to_be_empty()
        await url.fill("devbox:99999")
        await expect(message).to_contain_text("port")
        await expect(url).to_have_accessible_description(re.compile("port"))
        await url.fill("HTTP://127.0.0.1:9/x/")
        await expect(message).to_contain_text("Kept")
        await expect(message).to_have_class("error")
        await url.fill("someone:s3cret@devbox")
        await expect(message).to_have_class("error")
        await expect(message).not_to_contain_text("s3cret")
        await url.fill("")
        await expect(message).to_be_empty()
        await url.fill(f"{mock.url}/")
        await expect(message).to_have_text(f"Saved as {mock.url}")
        assert mock.requests == []

        # Its own URL is no duplicate; another's is.
        await web.app.add_server(mock.url, label="Other", check=False)
        await tab.goto(f"{web.url}/servers/{web.app.server('Other').id}/edit")
        await url.fill(f"{mock.url}/")
        await expect(message).to_have_text(f"Saved as {mock.url}")
        await url.fill(f"{CLOSED}/x")
        await expect(message).to_contain_text("Kept")
        await expect(message).to_have_class("error")


async def test_a_refused_form_says_why_and_keeps_what_was_typed(
    chromium: Browser, tmp_path: Path
) -> None:
    async with opened(chromium, tmp_path) as (web, tab):
        await web.app.add_server(CLOSED, label="Taken", check=False)
        await fill_in_add_form(tab, "ftp://x", label="Box", password=PASSWORD)
        await button(tab, "Save").click()
        url = field(tab, "URL")
        await expect(url).to_have_attribute("aria-invalid", "true")
        await expect(url).to_have_accessible_description(re.compile("not http or https"))
        await expect(field(tab, "Label")).to_have_value("Box")
        # Never sent back by the server: it is what the person typed, still in the field.
        await expect(field(tab, "Password")).to_have_value(PASSWORD)
        assert PASSWORD not in await tab.content()

        await url.fill(f"{CLOSED}/")
        await button(tab, "Save").click()
        await expect(url).to_have_accessible_description(re.compile("Taken"))
        await url.fill(f"{CLOSED}/other")
        await field(tab, "Label").fill("taken")
        await button(tab, "Save").click()
        await expect(field(tab, "Label")).to_have_accessible_description(re.compile("taken"))
        await tab.get_by_role("link", name="Cancel").click()
        await expect_servers(tab, "Taken")


async def test_a_connection_can_be_tested_again_and_again(
    chromium: Browser, tmp_path: Path
) -> None:
    async with (
        opened(chromium, tmp_path) as (web, tab),
        MockOpenCode(password=PASSWORD) as mock,
    ):
        await fill_in_add_form(tab, mock.url)
        outcome = tab.locator("#outcome")
        await button(tab, "Test connection").click()
        await expect(outcome).to_contain_text("unhealthy")
        await expect(outcome).to_contain_text("asks for a user name and password")
        await field(tab, "Password").fill("wrong")
        await button(tab, "Test connection").click()
        await expect(outcome).to_contain_text("refused the")
        await field(tab, "Password").fill(PASSWORD)
        await button(tab, "Test connection").click()
        await expect(outcome.get_by_text("healthy", exact=True)).to_be_visible()
        await expect(outcome).to_contain_text(re.compile(r"OpenCode 1\.18\.33\. [\d.]+ ms\."))
        assert web.app.servers() == []
        await save(tab)
        await expect(row(tab, mock.url.removeprefix("http://"))).to_contain_text("healthy")


@pytest.mark.parametrize("action", ["Save", "Test connection"])
async def test_a_missing_password_marks_its_field_and_moves_the_focus_there(
    chromium: Browser, tmp_path: Path, action: str
) -> None:
    async with (
        opened(chromium, tmp_path) as (_, tab),
        MockOpenCode(password=PASSWORD) as mock,
    ):
        await fill_in_add_form(tab, mock.url)
        password = field(tab, "Password")
        await button(tab, action).click()
        await expect(password).to_be_focused()
        await expect(password).to_have_attribute("aria-invalid", "true")
        await expect(password).to_have_accessible_description(
            re.compile("This server needs a password: enter it here.")
        )
        await tab.keyboard.type(PASSWORD)
        if action == "Save":
            async with tab.expect_navigation():
                await tab.keyboard.press("Enter")
            return
        await button(tab, action).click()
        await expect(tab.locator("#outcome")).to_contain_text("OpenCode 1.18.33.")
        await expect(tab.locator("[aria-invalid]")).to_have_count(0)
        await expect(button(tab, action)).to_be_focused()


async def test_an_unreachable_server_is_saved_after_confirmation(
    chromium: Browser, tmp_path: Path
) -> None:
    async with opened(chromium, tmp_path) as (web, tab):
        await fill_in_add_form(tab, CLOSED, label="Box")
        await expect(button(tab, "Save anyway")).to_have_count(0)
        await button(tab, "Save").click()
        await expect(tab.locator("#outcome")).to_contain_text("Nothing listens at 127.0.0.1:9")
        assert web.app.servers() == []
        await save(tab, "Save anyway")
        await expect(row(tab, "Box")).to_contain_text(re.compile("unknown|unhealthy"))


async def assert_verdict_first(tab: Page, offer: Locator) -> None:
    """What failed stands above what is suggested."""
    verdict = await tab.get_by_text("Nothing listens at").bounding_box()
    suggestion = await offer.bounding_box()
    assert verdict
    assert suggestion
    assert verdict["y"] + verdict["height"] <= suggestion["y"]


async def test_where_no_port_was_typed_and_nothing_answers_port_4096_is_offered(
    chromium: Browser, tmp_path: Path
) -> None:
    host = own_address()
    async with (
        opened(chromium, tmp_path) as (_, tab),
        MockOpenCode(host=host, port=4096) as mock,
    ):
        await fill_in_add_form(tab, host, label="Box")
        await button(tab, "Test connection").click()
        offer = tab.get_by_role("button", name=f"Try http://{host}:4096")
        await expect(offer).to_be_visible()
        await assert_verdict_first(tab, offer)
        await button(tab, "Save").click()
        await expect(button(tab, "Save anyway")).to_be_visible()
        await assert_verdict_first(tab, offer)
        assert mock.requests == []
        await offer.click()
        await expect(field(tab, "URL")).to_have_value(f"http://{host}:4096")
        await expect(tab.locator("#outcome")).to_contain_text("OpenCode 1.18.33.")
        await expect(field(tab, "Label")).to_have_value("Box")
        await expect(offer).to_have_count(0)
        await save(tab)
        await expect(row(tab, "Box")).to_contain_text(f"http://{host}:4096")

        # Enter saves what was typed, whatever is offered beside.
        await fill_in_add_form(tab, f"{host}/other")
        await button(tab, "Test connection").click()
        await expect(tab.get_by_role("button", name="Try")).to_be_visible()
        await field(tab, "URL").fill(f"{host}:4096")
        await field(tab, "URL").press("Enter")
        await expect(field(tab, "URL")).to_have_attribute("aria-invalid", "true")
        await expect(tab.locator("#url-message")).to_contain_text("already saved as 'Box'")

        # A port that was typed is meant.
        await field(tab, "URL").fill(CLOSED)
        await button(tab, "Test connection").click()
        await expect(tab.locator("#outcome")).to_contain_text("Nothing listens")
        await expect(tab.get_by_role("button", name="Try")).to_have_count(0)


async def test_a_password_can_be_revealed_and_hidden(chromium: Browser, tmp_path: Path) -> None:
    async with opened(chromium, tmp_path) as (_, tab):
        await fill_in_add_form(tab, "devbox", password="typed")
        typed, show = field(tab, "Password"), button(tab, "Show password")
        await expect(typed).to_have_attribute("type", "password")
        await show.click()
        await expect(typed).to_have_attribute("type", "text")
        await expect(show).to_have_attribute("aria-pressed", "true")
        await show.press("Enter")
        await expect(typed).to_have_attribute("type", "password")
        await expect(show).to_have_attribute("aria-pressed", "false")
        await expect(typed).to_have_value("typed")


async def test_a_stored_password_is_never_in_the_page_and_can_be_replaced_or_removed(
    chromium: Browser, tmp_path: Path
) -> None:
    async with (
        opened(chromium, tmp_path) as (web, tab),
        MockOpenCode(password=PASSWORD) as mock,
    ):
        await web.app.add_server(mock.url, label="Box", password=Secret(PASSWORD))
        assert PASSWORD not in await tab.content()
        await choose_menu_item(tab, "Box", "Edit")
        await must_not_hold(tab, PASSWORD)
        await expect(field(tab, "Password")).to_have_accessible_description(
            re.compile("A password is stored. Leave the field empty to keep it.")
        )
        await button(tab, "Test connection").click()
        await expect(tab.locator("#outcome")).to_contain_text("OpenCode 1.18.33.")
        await must_not_hold(tab, PASSWORD)

        await field(tab, "Label").fill("Renamed")
        await save(tab)
        await expect(row(tab, "Renamed")).to_contain_text("signs in as opencode")
        await choose_menu_item(tab, "Renamed", "Edit")
        await field(tab, "Password").fill("wrong")
        await button(tab, "Save").click()
        await expect(tab.locator("#outcome")).to_contain_text("refused the")

        mock.password = None
        await save(tab, "Remove credentials")
        await expect(row(tab, "Renamed")).not_to_contain_text("signs in as")
        profile = web.app.server("Renamed").profile
        assert (profile.basic_auth_enabled, profile.basic_auth_password) == (False, None)
        await choose_menu_item(tab, "Renamed", "Edit")
        await expect(field(tab, "Password")).to_have_accessible_description(
            re.compile("Only for a server with a password")
        )
        await expect(button(tab, "Remove credentials")).to_have_count(0)


async def test_checks_and_notifications_are_set_in_the_form(
    chromium: Browser, tmp_path: Path
) -> None:
    async with opened(chromium, tmp_path) as (web, tab), MockOpenCode() as mock:
        server = await web.app.add_server(mock.url, label="Box")
        await tab.goto(f"{web.url}/servers/{server.id}/edit")
        interval, message = field(tab, "Seconds between checks"), tab.locator("#interval-message")
        await expect(interval).to_be_hidden()
        await tab.get_by_text("Check settings and notifications").click()
        await expect(interval).to_have_value("10")
        await interval.fill("half a minute")
        await field(tab, "Notifications").select_option("Never")
        await button(tab, "Save").click()
        await expect(message).to_contain_text("number of seconds, not 'half a minute'")
        await expect(interval).to_have_value("half a minute")
        await expect(interval).to_have_accessible_description(re.compile("number of seconds"))
        await expect(tab.locator("[aria-invalid]")).to_have_count(1)
        await interval.fill("30")
        await field(tab, FAILED_CHECKS).fill("4")
        await save(tab)
        await expect_servers(tab, "Box")
        profile = web.app.server(server.id).profile
        assert (profile.health_check.interval, profile.health_check.fall) == (30, 4)
        assert profile.notify is NotifySetting.OFF
        # Set once, they are seen the next time; emptied, they are the defaults again.
        await tab.goto(f"{web.url}/servers/{server.id}/edit")
        await expect(interval).to_have_value("30")
        for name in ("Seconds between checks", "Seconds for a check", GOOD_CHECKS, FAILED_CHECKS):
            await field(tab, name).fill("")
        await save(tab)
        await expect_servers(tab, "Box")
        assert web.app.server(server.id).profile.health_check == HealthCheckSettings()


async def test_a_concurrent_change_is_displayed_beside_the_typed_value(
    chromium: Browser, tmp_path: Path
) -> None:
    async with opened(chromium, tmp_path) as (web, tab), MockOpenCode(password=PASSWORD) as mock:
        server = await web.app.add_server(mock.url, label="Box", check=False)
        await tab.goto(f"{web.url}/servers/{server.id}/edit")
        label, interval = field(tab, "Label"), field(tab, "Seconds between checks")
        await label.fill("Mine")
        await field(tab, "Password").fill(PASSWORD)
        await tab.get_by_text("Check settings and notifications").click()
        await field(tab, FAILED_CHECKS).fill("4")

        newer = Change(label="Theirs", health_check={"interval": 30}, notify=NotifySetting.OFF)
        await web.app.edit_server(server.id, newer)
        await button(tab, "Save").click()
        await expect(tab.locator("#outcome")).to_contain_text("changed elsewhere")
        await expect(label).to_have_value("Mine")
        await expect(label).to_have_attribute("aria-invalid", "true")
        await expect(label).to_have_accessible_description(re.compile("Now “Theirs”"))
        await expect(field(tab, "Password")).to_have_value(PASSWORD)
        await expect(field(tab, FAILED_CHECKS)).to_have_value("4")
        # What was left alone is as it is now.
        await expect(interval).to_have_value("30")
        await expect(field(tab, "Notifications")).to_have_value("off")
        assert web.app.server(server.id).name == "Theirs"

        await button(tab, "Use Theirs").click()
        await expect(label).to_have_value("Theirs")
        await expect(tab.locator("[aria-invalid]")).to_have_count(0)
        await expect(field(tab, "Password")).to_have_value(PASSWORD)
        await save(tab)
        await expect(row(tab, "Theirs")).to_contain_text("signs in as opencode")
        checks = web.app.server(server.id).profile.health_check
        assert (checks.interval, checks.fall) == (30, 4)


async def test_a_second_save_replaces_what_was_changed_elsewhere(
    chromium: Browser, tmp_path: Path
) -> None:
    async with opened(chromium, tmp_path) as (web, tab), MockOpenCode() as mock:
        server = await web.app.add_server(mock.url, label="Box", check=False)
        await tab.goto(f"{web.url}/servers/{server.id}/edit")
        await tab.get_by_text("Check settings and notifications").click()
        await field(tab, "Notifications").select_option("Never")
        await web.app.edit_server(server.id, Change(notify=NotifySetting.ON))
        await button(tab, "Save").click()
        await expect(field(tab, "Notifications")).to_have_accessible_description(re.compile("on"))
        await expect(field(tab, "Notifications")).to_have_value("off")
        await save(tab)
        await expect_servers(tab, "Box")
        assert web.app.server(server.id).profile.notify is NotifySetting.OFF
