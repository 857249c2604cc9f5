"""`GET /api/v1/events`: what a client hears, and when."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import aiohttp

from codewalk.events import MAX_QUEUED_EVENTS, Announcer, Event, Kind
from tests.integration.web.web_app import API, RunningApp, running
from tests.mock_behaviours import page
from tests.mock_opencode import MockOpenCode

CLOSED = "http://127.0.0.1:9"


class Stream:
    """Reads server-sent events."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._lines = answer.content

    async def next(self) -> tuple[str, Any]:
        """The name and data of the next event."""
        name, data = "", ""
        async with asyncio.timeout(10):
            while line := (await self._lines.readline()).decode():
                field, _, value = line.rstrip("\n").partition(": ")
                if field == "event":
                    name = value
                elif field == "data":
                    data += value
                elif not line.strip() and data:
                    return name, json.loads(data)
        raise EOFError

    async def until(self, expected: str) -> Any:
        while True:
            name, data = await self.next()
            if name == expected:
                return data


@asynccontextmanager
async def listening(web: RunningApp) -> AsyncIterator[Stream]:
    async with web.client.get(f"{web.url}{API}/events") as answer:
        assert answer.status == 200
        assert answer.content_type == "text/event-stream"
        yield Stream(answer)


async def test_a_stream_begins_with_how_things_are(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        async with listening(web) as stream:
            assert await stream.next() == ("servers", {"count": 0})
            assert await stream.next() == ("active", {"id": None, "generation": 0})
        server = await web.app.add_server(CLOSED, check=False)
        async with listening(web) as stream:
            assert await stream.next() == ("servers", {"count": 1})
            assert await stream.next() == ("active", {"id": server.id, "generation": 1})


async def test_each_change_is_an_event(tmp_path: Path) -> None:
    async with running(tmp_path) as web, MockOpenCode() as mock, listening(web) as stream:
        await stream.until("active")
        mock.world.add_session("New")
        first = await web.app.add_server(mock.url)
        assert await stream.until("servers") == {"count": 1}
        assert await stream.until("active") == {"id": first.id, "generation": 1}
        assert (await stream.until("health"))["health"]["state"] == "healthy"
        await web.app.work.sessions()
        assert await stream.until("sessions") == {"server_id": first.id}
        second = await web.app.add_server(CLOSED, check=False, use=True)
        assert await stream.until("active") == {"id": second.id, "generation": 2}
        await web.app.remove_server(second.id)
        assert await stream.until("active") == {"id": first.id, "generation": 3}


async def test_internal_events_are_not_sent(tmp_path: Path) -> None:
    async with running(tmp_path) as web, MockOpenCode() as mock:
        await web.app.add_server(mock.url)
        async with listening(web) as stream:
            await stream.until("active")
            with web.app.announcer.listen() as events:
                await web.app.work.models()
                assert events.get_nowait().kind is Kind.WORK
            await web.app.set_default(web.app.servers()[0].id)
            assert (await stream.next())[0] == "servers"


async def test_a_server_that_goes_down_is_an_event_without_a_check_by_the_client(
    tmp_path: Path,
) -> None:
    async with (
        running(tmp_path, watch=True) as web,
        MockOpenCode() as mock,
        listening(web) as stream,
    ):
        server = await web.app.add_server(mock.url)
        while (await stream.until("health"))["health"]["state"] != "healthy":
            pass
        mock.script("*", page())
        web.parts.monitor.check_soon(server.id)
        while (data := await stream.until("health"))["health"]["state"] == "healthy":
            web.parts.monitor.check_soon(server.id)
        assert data["id"] == server.id
        assert data["health"]["reason"] == "not_opencode"


async def test_a_client_that_missed_events_gets_the_current_state(tmp_path: Path) -> None:
    async with running(tmp_path) as web, listening(web) as stream:
        await stream.until("active")
        # More than the backlog at once: the stream can't take any of it in between.
        for _ in range(MAX_QUEUED_EVENTS + 1):
            web.app.announcer.announce(Event(kind=Kind.HEALTH, server_id="gone"))
        web.app.announcer.announce(Event(kind=Kind.SESSIONS, server_id="s"))
        assert await stream.next() == ("servers", {"count": 0})
        assert await stream.next() == ("active", {"id": None, "generation": 0})
        assert await stream.next() == ("sessions", {"server_id": "s"})


async def test_streams_end_with_the_app_within_a_second(tmp_path: Path) -> None:
    async with running(tmp_path) as web, listening(web) as stream:
        await stream.until("active")
        async with web.client.get(f"{web.url}/live") as page_stream:
            await page_stream.content.readline()
            web.stop.set()
            async with asyncio.timeout(1):
                await web.stopped.wait()
        try:
            await stream.until("never")
        except EOFError:
            return
        raise AssertionError("the stream went on")


class CountedAnnouncer(Announcer):
    """Tells when its last listener has left."""

    def __init__(self) -> None:
        super().__init__()
        self.deserted = asyncio.Event()

    @contextmanager
    def listen(self) -> Iterator[asyncio.Queue[Event]]:
        with super().listen() as queue:
            yield queue
        self.deserted.set()


async def test_a_client_that_leaves_leaves_nothing_behind(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        web.app.announcer = announcer = CountedAnnouncer()
        async with listening(web) as stream:
            await stream.until("active")
            assert not announcer.deserted.is_set()
        async with asyncio.timeout(5):
            await announcer.deserted.wait()
