"""Elements of the pages by the names that tests rely on, and common actions."""

from typing import Final

from playwright.async_api import Locator, Page, expect

CLOSED: Final = "http://127.0.0.1:9"
"""A URL at which nothing listens."""

CHANGE_TIMEOUT_MS: Final = 2000
"""Milliseconds within which a change shows: a second is promised, and a busy machine has two."""


def button(tab: Page, name: str) -> Locator:
    return tab.get_by_role("button", name=name, exact=True)


def field(tab: Page, name: str) -> Locator:
    return tab.get_by_label(name, exact=True)


async def wait_for_stream(tab: Page) -> None:
    """Waits until the page follows what happens."""
    await tab.locator("#live[data-connected]").wait_for(state="attached")


def toasts(tab: Page) -> Locator:
    """The toasts, and the lines of the one that has several."""
    return tab.locator(".toast, .notice")


def notices(tab: Page) -> Locator:
    """The lines that tell what happened to a server."""
    return tab.locator(".notice:not(#switch-notice)")


def servers_link(tab: Page) -> Locator:
    """The link to all servers in the bar, whose name says how many are down."""
    return tab.get_by_role("navigation", name="CodeWalk").locator("[href='/servers']")


# The manager


def rows(tab: Page) -> Locator:
    """The servers in the manager's list that are seen."""
    listed = tab.get_by_role("main").get_by_role("list", name="Servers", exact=True)
    return listed.get_by_role("listitem")


def row(tab: Page, name: str) -> Locator:
    return tab.get_by_role("listitem", name=name, exact=True)


def name_link(tab: Page, name: str) -> Locator:
    """The name of a server in the manager, which leads to its home."""
    return row(tab, name).get_by_role("link", name=name, exact=True)


async def expect_servers(tab: Page, *names: str, within: int = 10_000) -> None:
    """Waits until the manager lists just these servers in this order."""
    await expect(rows(tab).locator(".name")).to_have_text(names, timeout=within)


async def choose_menu_item(tab: Page, name: str, item: str) -> None:
    """Picks an item of a server's menu."""
    await button(tab, f"Actions for {name}").click()
    await tab.get_by_role("menuitem", name=item, exact=True).click()


async def fill_in_add_form(tab: Page, url: str, *, label: str = "", password: str = "") -> None:
    await button(tab, "Add server").click()
    await field(tab, "URL").fill(url)
    await field(tab, "Label").fill(label)
    await field(tab, "Password").fill(password)


async def save(tab: Page, name: str = "Save") -> None:
    """Saves the form, and waits until the page that this leads to is loaded.

    The stream shows the server in the form's own page already. A test that ended then would close
    its tab while the next page begins, and Chromium may drop that request without an answer.
    """
    async with tab.expect_navigation():
        await button(tab, name).click()


# The switcher


def switcher_button(tab: Page) -> Locator:
    return button(tab, "Switch server")


def switcher_panel(tab: Page) -> Locator:
    return tab.get_by_role("dialog", name="Switch server")


def switcher_item(tab: Page, name: str) -> Locator:
    return switcher_panel(tab).locator(".choice", has_text=name)


async def switch(tab: Page, name: str) -> None:
    await switcher_button(tab).click()
    await switcher_item(tab, name).click()


# The home


async def expect_sessions(tab: Page, *titles: str, within: int = 10_000) -> None:
    """Waits until the home lists just these sessions in this order."""
    await expect(sessions(tab).locator(".name")).to_have_text(titles, timeout=within)


def sessions(tab: Page) -> Locator:
    return tab.get_by_role("list", name="Sessions", exact=True).get_by_role("listitem")
