"""Where on CodeWalk's pages is what the benchmark uses: by role and name, and here alone."""

from typing import Final

from playwright.async_api import Locator, Page

HOME: Final = "/"
MANAGER: Final = "/servers"

SEARCH: Final = "Search servers"
"""The name of the manager's search field."""


def opener(page: Page) -> Locator:
    """Opens the switcher."""
    return page.get_by_role("button", name="Switch server", exact=True)


def pick(page: Page, name: str) -> Locator:
    """The button in the switcher that switches to the server of this name."""
    switcher = page.get_by_role("dialog", name="Switch server")
    return switcher.get_by_role("button", name=name)


def session(page: Page, title: str) -> Locator:
    """The first session with this in its title."""
    return page.get_by_role("main").get_by_text(title).first


def search(page: Page) -> Locator:
    """The manager's search field."""
    return page.get_by_label(SEARCH)
