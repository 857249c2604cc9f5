"""The specification's manual checklist, on real OpenCode servers."""

import re
from base64 import b64encode
from collections.abc import Sequence
from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from tests.browser.elements import (
    CLOSED,
    button,
    choose_menu_item,
    expect_servers,
    expect_sessions,
    field,
    fill_in_add_form,
    row,
    save,
    switch,
    switcher_button,
)
from tests.browser.tabs import open_context, open_tab, opened
from tests.integration.web.web_app import RunningApp, running
from tests.mock_opencode import MockOpenCode
from tests.real.servers import RealServer

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

SLOW = 30_000
"""Milliseconds that a real server may take for its first answers, on a busy machine."""

WATCH = """() => {
    window.sessionTexts = [];
    new MutationObserver(() => {
        const home = document.querySelector(".home h1")?.textContent;
        for (const name of document.querySelectorAll(".sessions .name"))
            window.sessionTexts.push(`${home}: ${name.textContent}`);
    }).observe(document.querySelector("main"), { childList: true, subtree: true });
}"""


async def add(web: RunningApp, *servers: RealServer) -> None:
    for server in servers:
        await web.app.add_server(server.url, label=server.release, password=server.password)


def active_in(web: RunningApp) -> str:
    active = web.app.active()
    return active.name if active else ""


def authorization(mock: MockOpenCode) -> str | None:
    """What a server with this user name and password is sent."""
    if mock.password is None:
        return None
    pair = b64encode(f"{mock.username}:{mock.password}".encode()).decode()
    return f"Basic {pair}"


async def test_three_servers_are_added_one_reachable_one_not_and_one_whose_url_is_none(
    chromium: Browser, tmp_path: Path, real_a: RealServer
) -> None:
    assert real_a.password
    async with opened(chromium, tmp_path, watch=True) as (_, tab):
        await fill_in_add_form(tab, real_a.url, label="Here", password=real_a.password.reveal())
        await save(tab)
        await expect(row(tab, "Here")).to_contain_text("healthy", timeout=SLOW)
        await expect(row(tab, "Here")).to_contain_text(f"OpenCode {real_a.release}")
        await fill_in_add_form(tab, CLOSED, label="Away")
        await button(tab, "Save").click()
        await expect(tab.locator("#outcome")).to_contain_text("Nothing listens")
        await save(tab, "Save anyway")
        await expect(row(tab, "Away")).to_contain_text("unhealthy")
        await fill_in_add_form(tab, "http://[half", label="None")
        await button(tab, "Save").click()
        await expect(field(tab, "URL")).to_have_accessible_description(re.compile("can't be read"))
        await tab.get_by_role("link", name="Cancel").click()
        await expect_servers(tab, "Here", "Away")


async def test_the_default_is_active_after_a_restart(
    chromium: Browser, tmp_path: Path, real_a: RealServer, real_b: RealServer
) -> None:
    async with open_context(chromium) as context:
        async with running(tmp_path) as web, open_tab(context, web) as tab:
            await add(web, real_a, real_b)
            await choose_menu_item(tab, real_b.release, "Set default")
            await expect(row(tab, real_b.release)).to_contain_text("Default")
            await expect(row(tab, real_a.release)).to_contain_text("Active")
        async with running(tmp_path, watch=True) as web, open_tab(context, web) as tab:
            await expect(tab.get_by_role("heading", name=real_b.release)).to_be_visible()
            await expect(switcher_button(tab)).to_have_accessible_description(
                f"healthy {real_b.release}", timeout=SLOW
            )


async def test_switching_while_sessions_load_never_shows_another_servers(
    chromium: Browser, tmp_path: Path, real_servers: Sequence[RealServer]
) -> None:
    async with opened(chromium, tmp_path, watch=True) as (web, tab):
        await add(web, *real_servers)
        names = [server.release for server in real_servers]
        for name in names:
            server = await web.app.switch_to(name)
            await web.app.work.new_session(title=f"only on {name}", server_id=server.id)
        await tab.goto(web.url)
        await tab.evaluate(WATCH)
        await tab.evaluate("window.untouched = true")
        for name in [*names, *reversed(names), *names]:
            if active_in(web) != name:
                await switch(tab, name)
                await expect(tab.get_by_role("heading", level=1)).to_have_text(name, timeout=SLOW)
        await expect(tab.get_by_text(f"only on {names[-1]}").first).to_be_visible(timeout=SLOW)
        texts: list[str] = await tab.evaluate("window.sessionTexts")
        notes = [text for text in texts if ": only on " in text]
        assert notes
        for text in notes:
            home, _, title = text.partition(": ")
            assert title == f"only on {home}"
        assert await tab.evaluate("window.untouched") is True
        await expect(tab.get_by_role("alert")).to_be_empty()


async def test_where_the_active_server_is_removed_the_fallback_takes_its_place(
    chromium: Browser, tmp_path: Path, real_a: RealServer, real_b: RealServer
) -> None:
    async with opened(chromium, tmp_path) as (web, tab), MockOpenCode() as mock:
        await add(web, real_a, real_b)
        await web.app.add_server(CLOSED, label="Away", check=False)
        await web.app.add_server(mock.url, label="Mock")
        await web.app.check("Away")
        await choose_menu_item(tab, "Mock", "Set default")
        await expect(row(tab, "Mock")).to_contain_text("Default")
        # The default, then the first healthy one, then the first.
        for name, follower in (
            (real_a.release, "Mock"),
            ("Mock", real_b.release),
            (real_b.release, "Away"),
        ):
            await choose_menu_item(tab, name, "Remove")
            await button(tab, "Remove").click()
            await expect(row(tab, follower)).to_contain_text("Active")
            await expect(switcher_button(tab)).to_contain_text(follower)
        await expect_servers(tab, "Away")


async def test_credentials_stay_with_their_server(chromium: Browser, tmp_path: Path) -> None:
    async with (
        opened(chromium, tmp_path, watch=True) as (web, tab),
        MockOpenCode(password="of a") as a,
        MockOpenCode(username="me", password="of b") as b,
        MockOpenCode() as c,
    ):
        for name, mock in (("A", a), ("B", b), ("C", c)):
            mock.world.add_session(f"Of {name}")
            await fill_in_add_form(tab, mock.url, label=f"Box {name}", password=mock.password or "")
            await field(tab, "Username").fill(mock.username)
            await button(tab, "Test connection").click()
            await expect(tab.locator("#outcome")).to_contain_text("OpenCode 1.18.33.")
            await save(tab)
            await expect(row(tab, f"Box {name}")).to_contain_text("healthy")
        await button(tab, "Check all").click()
        await tab.get_by_role("link", name="Sessions", exact=True).click()
        for name in "ABCBA":
            if active_in(web) != f"Box {name}":
                await switch(tab, f"Box {name}")
            await expect_sessions(tab, f"Of {name}")
            await button(tab, "Refresh").click()
        for mock in (a, b, c):
            # None is a request without credentials, which comes first.
            given = {None, *(seen.headers.get("Authorization") for seen in mock.requests)}
            assert given == {None, authorization(mock)}
