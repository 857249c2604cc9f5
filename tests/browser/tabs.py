"""A tab that fails its test when the browser has something to complain about."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, BrowserContext, Page, expect

from tests.integration.web.web_app import RunningApp, running

expect.set_options(timeout=10_000)


@asynccontextmanager
async def open_context(browser: Browser, **options: Any) -> AsyncIterator[BrowserContext]:
    context = await browser.new_context(**options)
    context.set_default_timeout(10_000)
    try:
        yield context
    finally:
        await context.close()


@asynccontextmanager
async def open_tab(context: BrowserContext, web: RunningApp) -> AsyncIterator[Page]:
    """The front page, opened as a person does who clicks the printed address.

    Afterwards no error may stand in the console: no broken script, no violation of the content
    security policy, no failed request.
    """
    page = await context.new_page()
    complaints: list[str] = []
    page.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    await page.goto(web.login_address)
    yield page
    assert complaints == []


@asynccontextmanager
async def opened(
    browser: Browser,
    folder: Path,
    *,
    watch: bool = False,
    opencode: str | None = None,
    **options: Any,
) -> AsyncIterator[tuple[RunningApp, Page]]:
    """A running app and a tab with its front page; the options are the browser's."""
    async with (
        running(folder, watch=watch, opencode=opencode) as web,
        open_context(browser, **options) as context,
        open_tab(context, web) as tab,
    ):
        yield web, tab
