"""A server's own page, as a browser gets it, with and without JavaScript."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path

from codewalk.history.period import DAY
from codewalk.reason import State
from codewalk.web.history_context import load_history_context
from codewalk.web.history_query import HistoryPageQuery, Range
from tests.integration.web.plain_browser import CLOSED, HTMX, PlainBrowser
from tests.integration.web.test_live import Parts, open_page
from tests.integration.web.web_app import RunningApp, running
from tests.mock_opencode import MockOpenCode
from tests.recorded_month import compact_store, record_month

LONG_AGO = "0001-01-01T00:00:00%2B14:00"


async def fragment(web: RunningApp, path: str) -> tuple[str, str | None]:
    """Return what htmx gets, and the address that it puts into the browser's history."""
    async with web.client.get(web.url + path, headers=HTMX) as answer:
        return await answer.text(), answer.headers.get("hx-push-url")


async def test_a_server_has_a_page_that_works_without_script(tmp_path: Path) -> None:
    async with running(tmp_path) as web, MockOpenCode() as mock:
        server = await web.app.add_server(mock.url, label="Box", check=False)
        browser = PlainBrowser(web)
        path = f"/servers/{server.id}"
        assert "No history yet." in await browser.get(path)
        await web.app.check(server.id)
        text = await browser.get(path)
        assert "Changes are stored for 30 days" in text
        for one in ("1h", "7d", "30d"):
            assert f'href="{path}?range={one}"' in text
            await browser.get(f"{path}?range={one}")
            assert browser.status == 200
        # Its forms lead back to it.
        referer = {"Referer": web.url + path}
        for action in ("check", "default", "default/clear"):
            url = f"{web.url}{path}/{action}"
            async with web.client.post(url, headers=referer) as answer:
                assert (answer.status, answer.url.path) == (200, path)


async def test_a_time_outside_of_the_history_is_moved_into_it(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        server = await web.app.add_server(CLOSED, check=False)
        path = f"/servers/{server.id}"
        browser = PlainBrowser(web)
        # A time in the future or before the history is moved to its end or beginning.
        for until, period in (
            ("9999-12-31T23:59:59-14:00", "in the last hour"),
            (LONG_AGO, "of that time"),
        ):
            text = await browser.get(f"{path}?range=1h&until={until}")
            assert browser.status == 200
            assert f"There are no checks {period}." in text
            _, pushed = await fragment(web, f"{path}?range=1h&until={until}")
            assert (pushed or "").startswith(f"{path}?range=1h")
            assert f'href="{path}?range=1h&amp;until=' in text
        text, _ = await fragment(web, f"{path}/history?range=1h&until={LONG_AGO}")
        assert '<input type="hidden" name="until"' in text


async def test_an_hour_of_long_ago_is_drawn_by_the_minute_and_a_week_by_the_hour(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as web:
        server = await web.app.add_server(CLOSED, check=False)
        record_month(web.parts, server.id)
        await compact_store(web.parts)
        now = datetime.now(UTC)

        async def points(range_: Range, ago: timedelta) -> int:
            query = HistoryPageQuery(range=range_, until=now - ago)
            return (await load_history_context(web.app, server.id, query)).chart.mean.count("L")

        # A check each 2.5 minutes, and a quarter of a minute after each.
        assert 20 <= await points(Range.HOUR, 9 * DAY) <= 60
        assert 90 <= await points(Range.DAY, 9 * DAY) <= 145
        assert 120 <= await points(Range.WEEK, 9 * DAY) <= 169


async def test_an_invalid_query_is_refused(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        server = await web.app.add_server(CLOSED, check=False)
        browser = PlainBrowser(web)
        wrong = (
            ("range=2h", "`range` in the address must be `1h`, `24h`, `7d` or `30d`, not '2h'."),
            ("page=0", "`page` in the address must be at least 1, not '0'."),
            ("page=x", "`page` in the address must be a whole number, not 'x'."),
            ("range=", "`range` in the address must be `1h`, `24h`, `7d` or `30d`, not ''."),
            ("until=then", "'then' is not a time"),
            ("until=2026-02-09T20:51:50", "'2026-02-09T20:51:50' is not a time"),
            ("until=0", "'0' is not a time"),
        )
        for query, message in wrong:
            text = unescape(await browser.get(f"/servers/{server.id}?{query}"))
            assert browser.status == 422, query
            assert message in text
        assert "No server has the id" in await browser.get("/servers/gone")
        assert browser.status == 404


async def test_a_server_is_snoozed_and_unsnoozed(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        server = await web.app.add_server(CLOSED, check=False)
        browser = PlainBrowser(web)
        path = f"/servers/{server.id}"
        await browser.post(f"{path}/snooze", snooze="tomorrow")
        assert "Snoozed until" in await browser.get(path)
        answer = await browser.send(f"{path}/snooze", snooze="end")
        assert f'hx-target="#health-{server.id}"' in await answer.text()
        assert web.app.servers()[0].profile.snoozed_until is None
        await browser.post(f"{path}/snooze", snooze="for ever")
        assert browser.status == 422


async def test_htmx_gets_the_fragment_that_changes(tmp_path: Path) -> None:
    async with running(tmp_path) as web, MockOpenCode() as mock:
        server = await web.app.add_server(mock.url, check=False)
        await web.app.check(server.id)
        path = f"/servers/{server.id}"
        text, pushed = await fragment(web, f"{path}?range=7d")
        assert text.startswith(f'<hx-partial hx-target="#history-{server.id}"')
        assert pushed == f"{path}?range=7d"
        text, pushed = await fragment(web, f"{path}/history?range=7d")
        assert "Latency in the last 7 days" in text
        assert pushed == "false"
        text, pushed = await fragment(web, f"{path}/health")
        assert text.startswith(f'<hx-partial hx-target="#health-{server.id}"')
        assert pushed == "false"
        text, pushed = await fragment(web, f"{path}/checks")
        assert text.startswith(f'<hx-partial hx-target="#status-{server.id} .facts > i"')
        assert "healthy: Ready to use." in text
        assert pushed == "false"
        await web.app.remove_server(server.id)
        async with web.client.get(f"{web.url}{path}/health", headers=HTMX) as answer:
            assert answer.headers["hx-redirect"] == "/servers"


async def test_a_page_gets_events_of_its_own_server_only(tmp_path: Path) -> None:
    async with running(tmp_path) as web, MockOpenCode() as mock:
        other = await web.app.add_server(CLOSED, label="Other", check=False)
        server = await web.app.add_server(mock.url, label="Box", check=False)
        async with open_page(web, path=f"/servers/{server.id}") as parts:
            await web.app.check(server.id)
            assert (await parts.next()) == {"server": "{}"}
            await web.app.check(other.id)  # the active one: its name is in the bar
            await _until(parts, "active")
            health = web.app.server(server.id).health
            web.parts.monitor.set_status(server.id, replace(health, checked_at=datetime.now(UTC)))
            assert (await parts.next()) == {"checked": "{}"}
            down = replace(health, state=State.UNHEALTHY, checked_at=datetime.now(UTC))
            web.parts.monitor.set_status(server.id, down)
            assert (await parts.next()) == {"server": "{}"}


async def _until(parts: Parts, name: str) -> None:
    async with asyncio.timeout(10):
        while name not in (sent := await parts.next()):
            assert "server" not in sent
