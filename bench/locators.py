"""Locators of what the benchmarks use on CodeWalk's pages, by role and name."""

from typing import Final

from playwright.async_api import Locator, Page

HOME: Final = "/"
MANAGER: Final = "/servers"

SEARCH: Final = "Search servers"
"""The name of the manager's search field."""


def switcher_button(page: Page) -> Locator:
    """Return the button that opens the switcher."""
    return page.get_by_role("button", name="Switch server", exact=True)


def switch_button(page: Page, name: str) -> Locator:
    """Return the button in the switcher for the server with this name."""
    switcher = page.get_by_role("dialog", name="Switch server")
    return switcher.get_by_role("button", name=name)


def session_title(page: Page, title: str) -> Locator:
    """Return the first session whose title contains `title`."""
    return page.get_by_role("main").get_by_text(title).first


def search_field(page: Page) -> Locator:
    """Return the manager's search field."""
    return page.get_by_label(SEARCH)
