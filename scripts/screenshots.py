"""Pictures of every page and state at three widths, light and dark: `screenshots FOLDER [NAME …]`.

The servers in them are the tests' mock ones. Chromium draws them.
"""

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import time
from typing import Any, Literal

from playwright.async_api import Browser, Page, async_playwright

from codewalk.history.period import HOUR
from codewalk.notifications.notice import NoticeKind
from codewalk.servers.draft import Change
from codewalk.workspace.directories import ALL
from tests.browser.conftest import CHROMIUM, system_chromium
from tests.browser.elements import wait_for_stream
from tests.integration.web.notices import announce_notice
from tests.integration.web.web_app import RunningApp, running
from tests.mock_behaviours import page as web_page
from tests.mock_opencode import MockOpenCode
from tests.recorded_month import record_month

WIDTHS = {360: 740, 768: 900, 1280: 800}
SCHEMES: Sequence[Literal["light", "dark"]] = ("light", "dark")
CLOSED = "http://127.0.0.1:9"
TITLES = (
    "Why is the build slow?",
    "Upgrade to Python 3.13",
    "Fix the flaky login test",
    "Explain how the scheduler decides which worker takes a job, and write it down for newcomers",
    "Rename Basket to Cart",
    "Draft the release notes",
)
AGES = (40, 25 * 60, 3 * 3600, 26 * 3600, 3 * 86_400, 9 * 86_400)
FOLDERS = (
    *("/srv/shop", "/srv/docs", "/srv/shop"),
    *("/home/ana/experiments/scheduler", "/srv/shop", "/srv/docs"),
)

Scene = Callable[["Stage"], Awaitable[None]]


class Stage:
    """The running app and the tab that shows it."""

    def __init__(self, web: RunningApp, tab: Page, stack: AsyncExitStack) -> None:
        self.web = web
        self.tab = tab
        self._stack = stack

    async def mock(self, version: str = "1.18.33") -> MockOpenCode:
        mock = await self._stack.enter_async_context(MockOpenCode())
        mock.world.version = version
        return mock

    async def go(self, path: str) -> None:
        await self.tab.goto(f"{self.web.url}{path}")

    async def five(self) -> MockOpenCode:
        """Five servers, each in another state; the first one is active and has sessions."""
        good, old, page = await self.mock(), await self.mock(version="1.0.200"), await self.mock()
        page.script("*", web_page())
        now = int(time() * 1000)
        good.world.directory = "/srv/shop"
        for title, age, folder in reversed([*zip(TITLES, AGES, FOLDERS, strict=True)]):
            good.world.add_session(
                title, directory=folder, updated=now - age * 1000, project_id=folder
            )
        await self.web.app.add_server(good.url, label="Dev box", default=True)
        await self.web.app.add_server(old.url, label="Laptop")
        for url, label in ((CLOSED, "Cloud"), (page.url, "Behind the company proxy")):
            server = await self.web.app.add_server(url, label=label, check=False)
            await self.web.app.check(server.id)
        await self.web.app.add_server("https://opencode.example.com/team", check=False)
        for folder in ("/srv/docs", "/home/ana/experiments/scheduler"):
            good.world.add_project(folder)
        good.world.set_status(good.world.sessions[-1], "busy")
        work = self.web.app.work
        await asyncio.gather(work.sessions(ALL), work.projects(), work.models())
        await work.activity("/srv/shop")
        return good


async def first_run(stage: Stage) -> None:
    await stage.go("/servers")


async def first_server_refused(stage: Stage) -> None:
    """A URL on the first page at which nothing listens: the whole form, with its error."""
    await stage.go("/servers")
    await stage.tab.get_by_label("URL", exact=True).fill(CLOSED)
    await stage.tab.get_by_role("button", name="Add server").click()
    await stage.tab.get_by_role("button", name="Save anyway").wait_for()


async def one(stage: Stage) -> None:
    mock = await stage.mock()
    await stage.web.app.add_server(mock.url, label="Dev box")
    await stage.go("/servers")


async def five(stage: Stage) -> None:
    await stage.five()
    laptop = stage.web.app.server("Laptop")
    record_month(stage.web.parts, laptop.id, span=HOUR, version="1.0.200")
    await stage.go("/servers")


async def bar_pointed_at(stage: Stage) -> None:
    """A check in the bar of a server's row."""
    await five(stage)
    row = stage.tab.get_by_role("listitem", name="Laptop")
    await row.locator(".check-bar").hover()
    await row.locator(".cells > .unhealthy").first.hover()


async def two_hundred(stage: Stage) -> None:
    await stage.five()
    for number in range(195):
        await stage.web.app.add_server(
            f"http://127.0.0.1:9/{number}", label=f"Runner {number}", check=False
        )
    await stage.go("/servers")


async def toasts(stage: Stage) -> None:
    await five(stage)
    await wait_for_stream(stage.tab)
    notices: Sequence[tuple[str, NoticeKind, dict[str, Any]]] = (
        ("Cloud", NoticeKind.DOWN, {}),
        ("Dev box", NoticeKind.UP, {"downtime": timedelta(minutes=12)}),
        ("Laptop", NoticeKind.VERSION, {"previous_version": "1.18.23"}),
        ("Behind the company proxy", NoticeKind.DOWN, {}),
    )
    for ref, what, more in notices:
        announce_notice(stage.web, ref, what, **more)
    await stage.tab.get_by_text("1 more server has news.").wait_for()
    await stage.tab.evaluate("document.getAnimations().forEach((one) => one.pause())")


async def menu(stage: Stage) -> None:
    await five(stage)
    await stage.tab.get_by_role("button", name="Actions for Laptop").click()


async def switcher(stage: Stage) -> None:
    await home(stage)
    await stage.tab.get_by_role("button", name="Switch server").click()


async def switcher_down(stage: Stage) -> None:
    """The focus is on a server that is down."""
    await switcher(stage)
    await stage.tab.locator(".choice", has_text="Behind the company proxy").focus()
    await stage.tab.get_by_role("button", name="Switch anyway").wait_for()


async def refused(stage: Stage) -> None:
    await switcher_down(stage)
    await stage.tab.get_by_role("button", name="Switch anyway").click()
    await stage.tab.get_by_role("alert").filter(has_text="unhealthy").wait_for()


async def home(stage: Stage) -> None:
    await stage.five()
    await stage.go("/")


async def home_new(stage: Stage) -> None:
    """The form for a new session."""
    await home(stage)
    await stage.tab.get_by_role("button", name="New session").click()


async def home_folder(stage: Stage) -> None:
    """A search in one folder that finds nothing."""
    await home(stage)
    await stage.tab.get_by_role("link", name="docs").click()
    # Before, the field is that of the list of all folders.
    await stage.tab.locator("a[aria-current=page]", has_text="docs").wait_for()
    await stage.tab.get_by_label("Search sessions").fill("nowhere")
    await stage.tab.get_by_text("No session here has").wait_for()


async def home_partial(stage: Stage) -> None:
    """A release that lists one folder at a time."""
    good = await stage.five()
    good.script("/experimental/session", web_page())
    good.world.directory = "/srv/docs"
    for session in good.world.sessions:
        session["projectID"] = "global" if session["directory"] == "/srv/docs" else "x"
    await stage.web.app.clear_state("Dev box")
    await stage.web.app.work.projects()
    await stage.web.app.work.sessions(ALL)
    await stage.go("/")


async def home_never(stage: Stage) -> None:
    """A server that is down and was never fetched."""
    await stage.five()
    await stage.web.app.switch_to("Cloud", force=True)
    await stage.go("/")


async def home_searched(stage: Stage) -> None:
    await stage.five()
    await stage.go("/")
    await stage.tab.get_by_label("Search sessions").fill("nowhere")
    await stage.tab.get_by_text("No session has").wait_for()


async def home_down(stage: Stage) -> None:
    good = await stage.five()
    await good.stop()
    await stage.web.app.check("Dev box")
    await stage.go("/")


async def home_empty(stage: Stage) -> None:
    await one(stage)
    await stage.web.app.work.sessions(ALL)
    await stage.go("/")


async def home_many(stage: Stage) -> None:
    mock = await stage.mock()
    now = int(time() * 1000)
    for number in range(5000):
        title = f"{TITLES[number % 6]} ({number})"
        mock.world.add_session(title, updated=now - (5000 - number) * 600_000)
    await stage.web.app.add_server(mock.url, label="Dev box")
    await stage.web.app.work.sessions(ALL)
    await stage.go("/")
    await stage.tab.get_by_role("link", name="Older").scroll_into_view_if_needed()


async def elsewhere(stage: Stage) -> None:
    await stage.five()
    await stage.go(f"/s/{stage.web.app.server('Laptop').id}/")


async def add(stage: Stage) -> None:
    await stage.five()
    await stage.go("/servers/new")


async def add_wrong(stage: Stage) -> None:
    await add(stage)
    await stage.tab.get_by_label("URL", exact=True).fill("ftp://devbox")
    await stage.tab.get_by_label("Label", exact=True).fill("Dev box")
    await stage.tab.get_by_role("button", name="Save", exact=True).click()
    await stage.tab.get_by_text("not http or https").wait_for()


async def add_unreachable(stage: Stage) -> None:
    await add(stage)
    await stage.tab.get_by_label("URL", exact=True).fill("127.0.0.1:8")
    await stage.tab.get_by_role("button", name="Save", exact=True).click()
    await stage.tab.get_by_role("button", name="Save anyway").wait_for()


async def add_without_password(stage: Stage) -> None:
    mock = await stage.mock()
    mock.password = "secret"  # noqa: S105 - of a mock server
    await add(stage)
    await stage.tab.get_by_label("URL", exact=True).fill(mock.url)
    await stage.tab.get_by_role("button", name="Save", exact=True).click()
    await stage.tab.get_by_text("This server needs a password").wait_for()


async def add_suggested(stage: Stage) -> None:
    """Nothing listens at the default port of HTTP: OpenCode's own port is suggested."""
    await add(stage)
    await stage.tab.get_by_label("URL", exact=True).fill("127.0.0.1")
    await stage.tab.get_by_role("button", name="Test connection").click()
    await stage.tab.get_by_role("button", name="Try").wait_for()


async def add_tested(stage: Stage) -> None:
    mock = await stage.mock()
    await add(stage)
    await stage.tab.get_by_label("URL", exact=True).fill(mock.url)
    await stage.tab.get_by_role("button", name="Test connection").click()
    await stage.tab.get_by_text("OpenCode 1.18.33.").wait_for()


async def edit(stage: Stage) -> None:
    await stage.five()
    await stage.go(f"/servers/{stage.web.app.server('Laptop').id}/edit")


async def edit_conflict(stage: Stage) -> None:
    """The label and an interval were changed elsewhere while the form was open."""
    await edit(stage)
    tab, laptop = stage.tab, stage.web.app.server("Laptop")
    await tab.get_by_label("Label", exact=True).fill("Old laptop")
    await tab.get_by_text("Check settings and notifications").click()
    await tab.get_by_label("Seconds between checks").fill("60")
    newer = Change(label="Ana's laptop", health_check={"interval": 30, "fall": 4})
    await stage.web.app.edit_server(laptop.id, newer)
    await tab.get_by_role("button", name="Save", exact=True).last.click()
    await tab.get_by_role("button", name="Use Ana's laptop").wait_for()


async def remove(stage: Stage) -> None:
    await stage.five()
    await stage.go(f"/servers/{stage.web.app.server('Dev box').id}/remove")


async def server(stage: Stage) -> None:
    """A server with a month behind it."""
    await stage.five()
    one = stage.web.app.server("Dev box")
    record_month(stage.web.parts, one.id)
    await stage.go(f"/servers/{one.id}")


async def server_check(stage: Stage) -> None:
    """The same over 30 days, one of the last checks pointed at, all of them as a list below."""
    await server(stage)
    await stage.tab.get_by_role("link", name="Last 30 d").click()
    await stage.tab.get_by_text("Latency in the last 30 days").wait_for(state="attached")
    await stage.tab.get_by_text("As a list").click()
    await stage.tab.locator(".cells > .unhealthy").first.hover()


async def server_then(stage: Stage) -> None:
    """The hour of an outage long ago."""
    await server(stage)
    await stage.tab.locator(".log .when").last.click()
    await stage.tab.get_by_text("Latency from").wait_for(state="attached")


async def server_down(stage: Stage) -> None:
    """One that is down, and snoozed."""
    await stage.five()
    one = stage.web.app.server("Behind the company proxy")
    await stage.web.app.snooze(one.id, datetime.now(UTC) + timedelta(hours=8))
    await stage.go(f"/servers/{one.id}")


async def server_new(stage: Stage) -> None:
    """One without a history."""
    await stage.five()
    await stage.go(f"/servers/{stage.web.app.servers()[-1].id}")


async def stop(stage: Stage) -> None:
    await wait_for_stream(stage.tab)
    stage.web.stop.set()
    await stage.tab.get_by_text("CodeWalk has stopped").wait_for()


async def five_stopped(stage: Stage) -> None:
    """The list after CodeWalk itself has stopped."""
    await five(stage)
    await stop(stage)


async def home_stopped(stage: Stage) -> None:
    await home(stage)
    await stop(stage)


async def server_stopped(stage: Stage) -> None:
    await server(stage)
    await stop(stage)


async def add_stopped(stage: Stage) -> None:
    """A half-filled form, which stays as it is."""
    await add(stage)
    await stage.tab.get_by_label("Label", exact=True).fill("Dev box 2")
    await stop(stage)


async def nowhere(stage: Stage) -> None:
    await stage.go("/nowhere")


async def locked_out(stage: Stage) -> None:
    await stage.tab.context.clear_cookies()
    await stage.go("/servers")


SCENES: Sequence[Scene] = (
    first_run,
    first_server_refused,
    one,
    five,
    bar_pointed_at,
    two_hundred,
    toasts,
    menu,
    switcher,
    switcher_down,
    refused,
    home,
    home_new,
    home_folder,
    home_partial,
    home_never,
    home_searched,
    home_down,
    home_empty,
    home_many,
    elsewhere,
    add,
    add_wrong,
    add_unreachable,
    add_without_password,
    add_suggested,
    add_tested,
    edit,
    edit_conflict,
    remove,
    server,
    server_check,
    server_then,
    server_down,
    server_new,
    five_stopped,
    home_stopped,
    server_stopped,
    add_stopped,
    nowhere,
    locked_out,
)


@asynccontextmanager
async def staged(browser: Browser, **options: Any) -> AsyncIterator[Stage]:
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="codewalk-pictures-"))
        web = await stack.enter_async_context(running(Path(folder)))
        tab = await browser.new_page(**options)
        stack.push_async_callback(tab.close)
        await tab.goto(web.login_address)
        yield Stage(web, tab, stack)


async def take(browser: Browser, scene: Scene, folder: Path) -> None:
    async with staged(browser) as stage:
        await scene(stage)
        for scheme in SCHEMES:
            await stage.tab.emulate_media(color_scheme=scheme)
            for width, height in WIDTHS.items():
                await stage.tab.set_viewport_size({"width": width, "height": height})
                await stage.tab.screenshot(path=folder / f"{scene.__name__}-{width}-{scheme}.png")


async def main(folder: Path, names: Sequence[str]) -> None:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=system_chromium(), args=[*CHROMIUM]
        )
        for scene in SCENES:
            if not names or scene.__name__ in names:
                await take(browser, scene, folder)
                print(scene.__name__, flush=True)
        await browser.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2:]))
