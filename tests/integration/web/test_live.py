"""The stream that keeps an open page true."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from tests.integration.web.running import Running, running
from tests.mock_behaviours import page
from tests.mock_opencode import MockOpenCode

CLOSED = "http://127.0.0.1:9"


class Parts:
    """Reads the parts of a page as they come."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._lines = answer.content

    async def next(self) -> dict[str, str]:
        """The HTML of the next message by the id it goes to."""
        html = ""
        async with asyncio.timeout(10):
            while line := (await self._lines.readline()).decode():
                if line.startswith("data: "):
                    html += line.removeprefix("data: ")
                elif not line.strip() and html:
                    found = re.findall(
                        r'<hx-partial hx-target="#([^"]+)"[^>]*>(.*?)</hx-partial>', html, re.DOTALL
                    )
                    return dict(found)
        raise EOFError

    async def until(self, target: str, text: str) -> dict[str, str]:
        while text not in (parts := await self.next()).get(target, ""):
            pass
        return parts


@asynccontextmanager
async def open_page(
    web: Running, *, stamp: str | None = None, **headers: str
) -> AsyncIterator[Parts]:
    """A page's stream; without a stamp of its own it has that of the page as it is now."""
    if stamp is None:
        async with web.client.get(f"{web.url}/servers") as answer:
            found = re.search(r'hx-sse:connect="/live\?stamp=(\w+)"', await answer.text())
        assert found
        stamp = found[1]
    async with web.client.get(f"{web.url}/live?stamp={stamp}", headers=headers) as answer:
        yield Parts(answer)


async def test_a_page_that_is_true_already_is_sent_the_first_change_only(tmp_path: Path) -> None:
    async with running(tmp_path) as web, open_page(web) as parts:
        await web.app.add_server(CLOSED, label="First", check=False)
        sent = await parts.next()
        assert sent.keys() == {"servers", "picks", "sessions", "active"}
        assert "First" in sent["servers"]


async def test_a_page_that_is_out_of_date_is_sent_all(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        await web.app.add_server(CLOSED, label="First", check=False)
        async with open_page(web, stamp="old") as parts:
            assert "First" in (await parts.next())["servers"]
        async with web.client.get(f"{web.url}/servers") as answer:
            found = re.search(r"stamp=(\w+)", await answer.text())
        assert found
        # A page that reconnects may have been changed since it was painted.
        async with open_page(web, stamp=found[1], **{"Last-Event-ID": "1"}) as parts:
            assert "First" in (await parts.next())["servers"]


async def test_a_change_of_health_is_one_row(tmp_path: Path) -> None:
    async with running(tmp_path) as web, MockOpenCode() as mock:
        await web.app.add_server(CLOSED, check=False)
        server = await web.app.add_server(mock.url, label="Box", check=False)
        async with open_page(web, stamp="old") as parts:
            await parts.until("servers", "Box")
            await web.app.check(server.id)
            sent = await parts.next()
        assert sent.keys() == {f"server-{server.id}", f"pick-{server.id}"}
        assert "healthy" in sent[f"server-{server.id}"]


async def test_a_server_that_turned_healthy_moves_up_in_the_switcher(tmp_path: Path) -> None:
    async with running(tmp_path) as web, MockOpenCode() as mock:
        for number in range(3):
            await web.app.add_server(f"{CLOSED}/{number}", check=False)
        server = await web.app.add_server(mock.url, label="Box", check=False)
        async with open_page(web) as parts:
            await web.app.check(server.id)
            sent = await parts.next()
        order = re.findall(r'<li id="pick-([^"]+)"', sent["picks"])
        first, *others, _ = web.app.servers()
        assert order == [first.id, server.id, *(other.id for other in others)]


async def test_a_burst_of_changes_is_one_message(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        servers = [
            await web.app.add_server(f"{CLOSED}/{number}", check=False) for number in range(5)
        ]
        async with open_page(web, stamp="old") as parts:
            await parts.next()
            for server in servers[1:]:
                web.app.parts.monitor.adopt(server.id, (await web.app.test_connection(CLOSED)))
            rows: set[str] = set()
            while len(rows) < 4:
                rows |= {key for key in await parts.next() if key.startswith("server-")}
        assert rows == {f"server-{server.id}" for server in servers[1:]}


async def test_after_a_switch_the_page_has_nothing_of_the_former_server(tmp_path: Path) -> None:
    async with running(tmp_path) as web, MockOpenCode() as a, MockOpenCode() as b:
        a.world.add_session("Of A")
        b.world.add_session("Of B")
        first = await web.app.add_server(a.url, label="A")
        second = await web.app.add_server(b.url, label="B", use=True)
        await web.app.sessions()
        await web.app.switch_to(first.id)
        await web.app.sessions()
        async with open_page(web, stamp="old") as parts:
            await parts.until("sessions", "Of A")
            await web.app.switch_to(second.id)
            sent = await parts.next()
        assert "Of B" in sent["sessions"]
        assert "Of A" not in str(sent)
        assert ">B<" in sent["active"]
        # Nothing else of the list is painted again.
        rows = {f"{part}-{server.id}" for part in ("server", "pick") for server in (first, second)}
        assert sent.keys() == {"sessions", "active", "picks", *rows}


async def test_a_list_on_its_way_when_another_server_became_active_is_not_shown(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as web, MockOpenCode() as a, MockOpenCode() as b:
        a.world.add_session("Of A")
        first = await web.app.add_server(a.url, label="A")
        second = await web.app.add_server(b.url, label="B")
        gate = a.hold("/session")
        refresh = f"{web.url}/servers/{first.id}/sessions"
        headers = {"HX-Request": "true"}
        async with open_page(web) as parts, asyncio.TaskGroup() as group:

            async def fetch() -> str:
                async with web.client.post(refresh, headers=headers) as answer:
                    return await answer.text()

            fetching = group.create_task(fetch())
            await gate.arrived.wait()
            await web.app.switch_to(second.id)
            gate.release()
            html = await fetching
            sent = await parts.until("active", ">B<")
        for told in (html, str(sent)):
            assert "Of A" not in told
            assert "The active server changed" not in told


async def test_a_server_that_goes_down_turns_red_within_a_second_of_the_check(
    tmp_path: Path,
) -> None:
    async with running(tmp_path, watch=True) as web, MockOpenCode() as mock:
        server = await web.app.add_server(mock.url, label="Box")
        async with open_page(web, stamp="old") as parts:
            await parts.until("active", "Box")
            mock.script("*", page())
            web.app.parts.monitor.check_soon(server.id)
            sent = await parts.until(f"server-{server.id}", "unhealthy")
            assert "OpenCode" in sent[f"server-{server.id}"]
            assert "unhealthy" in sent["active"]


async def test_when_a_server_was_checked_is_told_without_news(tmp_path: Path) -> None:
    async with running(tmp_path) as web, MockOpenCode() as mock:
        server = await web.app.add_server(mock.url)
        async with open_page(web) as parts:
            await web.app.check(server.id)
            sent = await parts.next()
        assert sent.keys() == {f"pulse-{server.id}"}
