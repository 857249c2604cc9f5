"""The stream that keeps an open page true."""

import asyncio
import html
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp

from codewalk.web.page_context import get_page_context
from codewalk.web.page_stream import MAX_ROWS_PER_MESSAGE, OpenPage
from codewalk.web.views import Views
from tests.integration.web.notices import announce_notice, notice_event
from tests.integration.web.web_app import RunningApp, running
from tests.mock_behaviours import page as web_page
from tests.mock_opencode import MockOpenCode
from tests.real.linking import linked

CLOSED = "http://127.0.0.1:9"
HTMX = {"HX-Request": "true"}


class Parts:
    """Reads the parts of a page as they come."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._lines = answer.content

    async def next(self) -> dict[str, str]:
        """The next message: its HTML by the id it goes to, or the data of a named event."""
        data, event = "", ""
        async with asyncio.timeout(10):
            while line := (await self._lines.readline()).decode():
                if line.startswith("event: "):
                    event = line.removeprefix("event: ").strip()
                elif line.startswith("data: "):
                    data += line.removeprefix("data: ")
                elif not line.strip() and event:
                    return {event: data.strip()}
                elif not line.strip() and data:
                    fragments = re.findall(
                        r'<hx-partial hx-target="#([^"]+)"[^>]*>(.*?)</hx-partial>', data, re.DOTALL
                    )
                    return dict(fragments)
        raise EOFError

    async def next_id(self) -> str:
        """The next id, which a browser gives back when it reconnects."""
        async with asyncio.timeout(10):
            while line := (await self._lines.readline()).decode():
                if line.startswith("id: "):
                    return line.removeprefix("id: ").strip()
        raise EOFError

    async def until(self, target: str, text: str = "") -> dict[str, str]:
        while text not in (parts := await self.next()).get(target, "") or target not in parts:
            pass
        return parts


@asynccontextmanager
async def open_page(
    web: RunningApp, *, path: str = "/servers", stamp: str | None = None, **headers: str
) -> AsyncIterator[Parts]:
    """A page's stream; without a stamp of its own it has that of the page as it is now."""
    async with web.client.get(f"{web.url}{path}") as answer:
        (address,) = re.findall(r'data-stream="([^"]+)"', await answer.text())
    address = html.unescape(address)
    if stamp is not None:
        address = re.sub(r"stamp=\w+", f"stamp={stamp}", address)
    async with web.client.get(f"{web.url}{address}", headers=headers) as answer:
        yield Parts(answer)


async def test_a_page_that_is_up_to_date_is_sent_the_first_change_only(tmp_path: Path) -> None:
    async with running(tmp_path) as web, open_page(web) as parts:
        first = await web.app.add_server(CLOSED, label="First", check=False)
        sent = await parts.next()
        url = f"/s/{first.id}/"
        data = {"generation": 1, "id": first.id, "name": "First", "url": url}
        assert json.loads(sent["active"]) == data
        sent = await parts.next()
        assert sent.keys() == {"servers", "active", f"switcher-{first.id}"}
        assert "First" in sent["servers"]


async def test_a_page_that_is_out_of_date_is_sent_all(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        await web.app.add_server(CLOSED, label="First", check=False)
        async with open_page(web, stamp="old") as parts:
            assert "First" in (await parts.until("servers"))["servers"]
        # A page that reconnects may have been changed since it was painted.
        async with open_page(web, **{"Last-Event-ID": "1"}) as parts:
            assert "First" in (await parts.until("active", '"First"'))["active"]
            assert (await parts.next()) == {"sessions": "{}"}
            assert (await parts.next()) == {"work": "{}"}
            assert "First" in (await parts.next())["servers"]


async def test_a_tab_that_was_hidden_before_anything_happened_catches_up(tmp_path: Path) -> None:
    async with running(tmp_path) as web, MockOpenCode() as mock:
        server = await web.app.add_server(mock.url, label="A")
        home = f"/s/{server.id}/"
        async with open_page(web, path=home) as parts:
            last = await parts.next_id()
        # Its list alone, which no stamp tells of.
        mock.world.add_session("Made while it was hidden")
        await web.app.work.sessions()
        async with open_page(web, path=home, **{"Last-Event-ID": last}) as parts:
            assert await parts.until("sessions") == {"sessions": "{}"}


async def ask(web: RunningApp, last: str = "", *, page: str = "") -> tuple[str, str]:
    """What a page without a stream of its own gets, and the id of its last message."""
    url = f"{web.url}/live?stamp={get_page_context(web.app).stamp}&hold=false{page}"
    async with web.client.get(url, headers={"Last-Event-ID": last} if last else {}) as answer:
        text = await answer.text()
    ids = re.findall(r"^id: (.+)$", text, re.MULTILINE)
    return text, ids[-1] if ids else last


async def test_a_page_that_asks_again_gets_what_happened_since_once(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        server = await web.app.add_server(CLOSED, label="Box", check=False)
        first, last = await ask(web)
        assert first == f"id: {last}\n\n"
        announce_notice(web, server.id)
        await web.app.add_server(f"{CLOSED}/2", label="New", check=False)
        since, last = await ask(web, last, page="&rows=true")
        # A notice is in no list: only who continues gets it.
        assert "is down." in since
        assert await ask(web, last) == ("", last)


async def test_a_page_that_missed_a_message_is_sent_all(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        server = await web.app.add_server(CLOSED, label="Box", check=False)
        _, first = await ask(web, page="&rows=true")
        announce_notice(web, server.id)
        await ask(web, first)
        everything, last = await ask(web, first, page="&rows=true")
        assert "event: sessions" in everything
        assert 'hx-target="#servers"' in everything
        assert last.partition(".")[0] != first.partition(".")[0]


async def test_more_changed_rows_than_fit_in_a_message_come_in_one_answer(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        servers = [
            await web.app.add_server(f"{CLOSED}/{number}", check=False) for number in range(20)
        ]
        _, last = await ask(web, page="&rows=true")
        down = await web.app.drafts.test_connection(CLOSED)
        for server in servers:
            web.parts.monitor.set_status(server.id, down)
        since, _ = await ask(web, last)
        rows = re.findall(r'hx-target="#status-([^"]+)"', since)
        assert sorted(rows) == sorted(server.id for server in servers)


async def test_a_home_counts_as_looked_at_between_two_requests(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        await ask(web, page="&home=true")
        async with asyncio.timeout(3):
            for _ in range(2):  # the first is its arrival
                await web.app.work.viewers.wait(0.1)


async def test_a_change_of_health_is_one_row(tmp_path: Path) -> None:
    async with running(tmp_path) as web, MockOpenCode() as mock:
        await web.app.add_server(CLOSED, check=False)
        server = await web.app.add_server(mock.url, label="Box", check=False)
        async with open_page(web, stamp="old") as parts:
            await parts.until("servers", "Box")
            await web.app.check(server.id)
            sent = await parts.next()
        assert sent.keys() == {f"status-{server.id}"}
        assert "healthy" in sent[f"status-{server.id}"]


async def test_an_open_switcher_asks_for_its_list_and_gets_what_it_lacks(tmp_path: Path) -> None:
    async with running(tmp_path) as web, MockOpenCode() as mock:
        for number in range(3):
            await web.app.add_server(f"{CLOSED}/{number}", check=False)
        server = await web.app.add_server(mock.url, label="Box", check=False)

        async def ask(address: str) -> tuple[list[str], str]:
            url = f"{web.url}{html.unescape(address)}"
            async with web.client.get(url, headers=HTMX) as answer:
                text = await answer.text()
            (again,) = re.findall(r'id="switcher-poll" hx-get="([^"]+)"', text)
            return re.findall(r'<li id="switcher-([^"]+)"', text), again

        async with web.client.get(f"{web.url}/servers") as answer:
            (address,) = re.findall(r'id="switcher-poll" hx-get="([^"]+)"', await answer.text())
        assert await ask(address) == ([], address)
        await web.app.check(server.id)
        first, *others, _ = web.app.servers()
        order, again = await ask(address)
        assert order == [first.id, server.id, *(other.id for other in others)]
        assert await ask(again) == ([], again)


async def test_a_burst_of_changes_is_one_message(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        servers = [
            await web.app.add_server(f"{CLOSED}/{number}", check=False) for number in range(5)
        ]
        async with open_page(web, stamp="old") as parts:
            await parts.next()
            for server in servers[1:]:
                web.parts.monitor.set_status(
                    server.id, (await web.app.drafts.test_connection(CLOSED))
                )
            rows: set[str] = set()
            while len(rows) < 4:
                rows |= {key for key in await parts.next() if key.startswith("status-")}
        assert rows == {f"status-{server.id}" for server in servers[1:]}


async def test_many_changes_at_once_come_a_few_rows_a_message(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        servers = [
            await web.app.add_server(f"{CLOSED}/{number}", check=False) for number in range(20)
        ]
        async with open_page(web, stamp="old") as parts:
            await parts.next()
            down = await web.app.drafts.test_connection(CLOSED)
            for server in servers:
                web.parts.monitor.set_status(server.id, down)
            messages: list[set[str]] = []
            while sum(map(len, messages)) < len(servers):
                messages.append({key for key in await parts.next() if key.startswith("status-")})
        assert set().union(*messages) == {f"status-{server.id}" for server in servers}
        assert max(map(len, messages)) == MAX_ROWS_PER_MESSAGE


async def test_a_switch_sends_every_page_the_active_server(tmp_path: Path) -> None:
    async with running(tmp_path) as web, MockOpenCode() as a, MockOpenCode() as b:
        first = await web.app.add_server(a.url, label="A")
        second = await web.app.add_server(b.url, label="B")
        async with open_page(web, path="/servers/new") as form, open_page(web) as servers:
            await web.app.switch_to(second.id)
            for parts in (form, servers):
                data = json.loads((await parts.next())["active"])
                url = f"/s/{second.id}/"
                assert data == {"generation": 2, "id": second.id, "name": "B", "url": url}
            # After the event, so that a page can tell the one it showed from the one to show.
            # And with the items to switch back, for a user who does that at once.
            rows, items = (
                {f"{kind}-{server.id}" for server in (first, second)}
                for kind in ("server", "switcher")
            )
            assert (await servers.next()).keys() == {"active", *items, *rows}
            sent = await form.next()
            assert sent.keys() == {"active", *items}
            assert ">B<" in sent["active"]


async def test_a_switch_there_and_back_is_sent(tmp_path: Path) -> None:
    async with running(tmp_path) as web, MockOpenCode() as a, MockOpenCode() as b:
        first = await web.app.add_server(a.url, label="A")
        second = await web.app.add_server(b.url, label="B")
        page = OpenPage(web.app, Views(), rows=False)
        page.catch_up(None)
        # The same server is active as when the page was last told of one.
        for server in (second, first):
            await web.app.switch_to(server.id)
        data = page.apply_events([]).events["active"]
        assert (data["id"], data["generation"]) == (first.id, 3)


async def test_a_page_fetches_its_sessions_again_when_they_may_be_old(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as web, MockOpenCode() as mock:
        server = await web.app.add_server(mock.url, label="A")
        home = f"/s/{server.id}/"
        async with open_page(web, path=home) as parts:
            mock.world.add_session("Of A")
            await web.app.work.sessions()
            assert (await parts.next()) == {"sessions": "{}"}
        async with web.client.get(f"{web.url}{home}sessions", headers=HTMX) as answer:
            assert "Of A" in await answer.text()
            assert answer.headers["hx-replace-url"] == home


async def test_a_list_in_flight_when_another_server_became_active_is_not_shown(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as web, MockOpenCode() as a, MockOpenCode() as b:
        a.world.add_session("Of A")
        first = await web.app.add_server(a.url, label="A")
        second = await web.app.add_server(b.url, label="B")
        gate = a.hold("/experimental/session")

        async def fetch() -> tuple[int, str]:
            url = f"{web.url}/s/{first.id}/refresh"
            async with web.client.post(url, headers=HTMX) as answer:
                return answer.status, await answer.text()

        async with asyncio.TaskGroup() as group:
            fetching = group.create_task(fetch())
            await gate.arrived.wait()
            await web.app.switch_to(second.id)
            gate.release()
        assert fetching.result() == (204, "")


async def test_a_server_that_goes_down_turns_red_within_a_second_of_the_check(
    tmp_path: Path,
) -> None:
    async with running(tmp_path, watch=True) as web, MockOpenCode() as mock:
        server = await web.app.add_server(mock.url, label="Box")
        async with open_page(web, stamp="old") as parts:
            await parts.until("active", "Box")
            mock.script("*", web_page())
            web.parts.monitor.check_soon(server.id)
            sent = await parts.until(f"status-{server.id}", "unhealthy")
            assert "OpenCode" in sent[f"status-{server.id}"]
            assert "unhealthy" in sent["active"]


async def test_the_time_of_a_check_is_sent_without_another_change(tmp_path: Path) -> None:
    async with running(tmp_path) as web, MockOpenCode() as mock:
        server = await web.app.add_server(mock.url)
        async with open_page(web) as parts:
            await web.app.check(server.id)
            sent = await parts.next()
        assert sent.keys() == {f"last-check-{server.id}"}


async def test_a_notice_is_a_toast_in_every_page_and_causes_no_fetch(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        server = await web.app.add_server(CLOSED, label="Box", check=False)
        async with open_page(web, path="/servers/new") as form, open_page(web) as servers:
            announce_notice(web, server.id)
            for parts in (form, servers):
                sent = await parts.next()
                assert sent.keys() == {f"state-of-{server.id}", "notice-lines"}
                assert "Box</bdi></a> is down." in sent["notice-lines"]


async def test_a_burst_of_notices_is_three_toasts_and_a_summary(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        servers = [
            await web.app.add_server(f"{CLOSED}/{number}", check=False) for number in range(9)
        ]
        async with open_page(web, path="/servers/new") as parts:
            for server in servers:
                announce_notice(web, server.id)
            toasts = ""
            while "6 more servers have news." not in toasts:
                toasts += (await parts.next())["notice-lines"]
        assert toasts.count("is down.") == 3


async def test_a_notice_about_a_removed_server_is_not_sent(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        server = await web.app.add_server(CLOSED, label="Box", check=False)
        page = OpenPage(web.app, Views(), rows=False)
        page.catch_up(None)
        await web.app.remove_server(server.id)
        update = page.apply_events([notice_event(server.id)])
        assert "notice-lines" not in update.html


async def test_notices_and_the_number_of_servers_that_are_down_have_a_stream_for_hidden_pages(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as web:
        servers = [
            await web.app.add_server(f"{CLOSED}/{number}", label=f"Box {number}", check=False)
            for number in range(5)
        ]
        async with web.client.get(f"{web.url}/live/notices") as answer:
            for server in servers:
                announce_notice(web, server.id)
            messages: list[dict[str, object]] = []
            async with asyncio.timeout(10):
                while len(messages) < 5:
                    line = (await answer.content.readline()).decode()
                    if line.startswith("data: {"):
                        messages.append(json.loads(line.removeprefix("data: ")))
            counts = await read_down_counts(answer, web, *(server.id for server in servers))
            assert counts == sorted(counts)
            assert counts[-1] == 5
        tags = [f"state-of-{server.id}" for server in servers[:3]]
        # The number stands in one place, too.
        assert [one["tag"] for one in messages] == [*tags, "more-notices", "more-notices"]
        assert messages[0]["title"] == "Box 0 is down"
        assert [one["renotify"] for one in messages] == [True, True, True, False, False]
        assert messages[-1]["body"] == "2 more servers have news."


async def read_down_counts(
    answer: aiohttp.ClientResponse, web: RunningApp, *servers: str
) -> list[int]:
    """Check servers, which are down, and return the numbers that are sent until all are counted."""
    for server_id in servers:
        await web.app.check(server_id)
    counts: list[int] = []
    async with asyncio.timeout(10):
        while counts[-1:] != [len(servers)]:
            if await answer.content.readline() == b"event: down\n":
                data = (await answer.content.readline()).decode()
                counts.append(int(data.removeprefix("data: ")))
    return counts


async def test_the_link_to_the_servers_is_sent_where_another_number_of_them_is_down(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as web:
        server = await web.app.add_server(CLOSED, label="Box", check=False)
        async with open_page(web) as page:
            await web.app.check(server.id)
            link = (await page.until("servers-link"))["servers-link"]
            assert 'aria-label="Servers, 1 down"' in link
            await web.app.snooze(server.id, datetime.now(UTC) + timedelta(hours=1))
            link = (await page.until("servers-link"))["servers-link"]
            assert "aria-label" not in link


async def test_a_link_that_is_there_shows_though_nothing_announces_it(tmp_path: Path) -> None:
    async with running(tmp_path, watch=True) as web, MockOpenCode() as mock:
        gate = mock.hold("/global/event")
        server = await web.app.add_server(mock.url, label="Box")
        await gate.arrived.wait()
        page = OpenPage(web.app, Views(), rows=True)
        assert "connecting" in page.catch_up(None).html
        gate.release()
        await linked(web.app, "Box")
        html = page.poll().html
        assert ">live<" in html
        assert f'hx-target="#last-check-{server.id}"' not in html
        assert ">live<" not in page.poll().html


async def test_a_snooze_shows_and_ends(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        server = await web.app.add_server(CLOSED, label="Box", check=False)
        row = f"server-{server.id}"
        async with open_page(web) as parts:
            for choice, snoozed in (("1h", True), ("end", False)):
                url = f"{web.url}/servers/{server.id}/snooze"
                async with web.client.post(url, headers=HTMX, data={"snooze": choice}) as answer:
                    assert answer.status == 200
                sent = await parts.until(row)
                assert ("Snoozed until" in sent[row]) is snoozed
                assert web.app.server("Box").snoozed is snoozed
