"""Answers that come when another server is active already."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, Route, expect

from tests.browser.elements import switch
from tests.browser.tabs import opened
from tests.mock_opencode import MockOpenCode

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


@dataclass(frozen=True, kw_only=True)
class Held:
    """An answer that was made and doesn't come, until `release` is set."""

    made: asyncio.Event = field(default_factory=asyncio.Event)
    release: asyncio.Event = field(default_factory=asyncio.Event)


@asynccontextmanager
async def held(tab: Page, address: str) -> AsyncIterator[Held]:
    """Holds the first answer from an address back. The page has taken it when the block ends."""
    answer = Held()

    async def hold(route: Route) -> None:
        response = await route.fetch()
        answer.made.set()
        await answer.release.wait()
        await route.fulfill(response=response)

    await tab.route(address, hold, times=1)
    await tab.evaluate(
        """path => { window.taken = new Promise((done) =>
          document.addEventListener("htmx:finally:request", ({ detail }) => {
            if (detail.ctx.request.action.startsWith(path)) done();
          })) }""",
        address.removeprefix("**").removesuffix("*"),
    )
    yield answer
    answer.release.set()
    await tab.evaluate("window.taken")


async def test_a_list_that_comes_after_a_switch_is_not_put_into_the_other_servers_page(
    chromium: Browser, tmp_path: Path
) -> None:
    async with (
        opened(chromium, tmp_path) as (web, tab),
        MockOpenCode() as a,
        MockOpenCode() as b,
    ):
        a.world.add_session("Of A")
        b.world.add_session("Of B")
        first = await web.app.add_server(a.url, label="Box A")
        await web.app.add_server(b.url, label="Box B")
        await tab.goto(f"{web.url}/s/{first.id}/")
        await expect(tab.get_by_text("Of A")).to_be_visible()
        async with held(tab, f"**/s/{first.id}/refresh*") as answer:
            await tab.get_by_role("button", name="Refresh").click()
            await answer.made.wait()
            await switch(tab, "Box B")
            await expect(tab.get_by_text("Of B")).to_be_visible()
        address = tab.url
        await expect(tab.get_by_text("Of A")).to_have_count(0)
        await expect(tab.get_by_text("Of B")).to_be_visible()
        assert first.id not in address


async def test_a_page_that_comes_after_the_switch_back_is_not_shown(
    chromium: Browser, tmp_path: Path
) -> None:
    async with (
        opened(chromium, tmp_path) as (web, tab),
        MockOpenCode() as a,
        MockOpenCode() as b,
    ):
        b.world.add_session("Of B")
        first = await web.app.add_server(a.url, label="Box A")
        second = await web.app.add_server(b.url, label="Box B")
        await tab.goto(f"{web.url}/s/{first.id}/")
        heading = tab.locator("h1")
        async with held(tab, f"**/servers/{second.id}/use") as answer:
            await switch(tab, "Box B")
            await answer.made.wait()
            await expect(tab.locator("#active-description")).to_contain_text("Box B")
            await web.app.switch_to(first.id)
            await expect(tab.locator("#active-description")).to_contain_text("Box A")
        await expect(heading).to_have_text("Box A")
        await expect(tab.locator("#active-description")).to_contain_text("Box A")
        assert second.id not in tab.url
