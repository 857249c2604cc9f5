"""Chromium: the system's where there is one, else Playwright's own."""

import shutil
from collections.abc import AsyncIterator
from typing import Final

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Error, async_playwright

CHROMIUM: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    # It asks for nothing but what the test asks for.
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # Nor does it load, for each window, pages of its own that nobody sees: they take half a core
    # for seconds.
    "--disable-features=WebUIOmniboxPopup,WebUIOmniboxFullPopup,WebUIOmniboxAimPopup",
)


def system_chromium() -> str | None:
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)


# One for the whole run, on the loop that all browser tests share: a start takes seconds.
@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        try:
            browser = await playwright.chromium.launch(
                executable_path=system_chromium(), args=[*CHROMIUM]
            )
        except Error as exc:
            if "Executable doesn't exist" not in exc.message:
                raise
            pytest.skip("Chromium isn't installed: run `make setup`")
        yield browser
        await browser.close()
