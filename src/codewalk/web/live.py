"""What happens, told while it happens: to programs as events, to pages as the parts that change."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import datetime
from typing import Final

from fastapi.sse import ServerSentEvent

from codewalk.app import App
from codewalk.events import Event, Kind
from codewalk.view import Server, in_switching_order
from codewalk.web.views import Snapshot, Views, take_servers, take_snapshot, visible

TICK: Final = 2.0
"""Seconds between two looks for what changes without news: when a server was last checked."""

REORDER: Final = 1.0
"""Seconds between two times that the switcher's list is put in a new order: what is in it follows
at once, but servers that come and go don't jump about under a pointer."""

GAP: Final = 0.05
"""Seconds between two messages to a page: a burst of changes is one message, and one repaint."""


_ABOUT_ALL: Final = frozenset({Kind.SERVERS, Kind.ACTIVE, Kind.LOST})
"""Events after which any part of a page may have changed."""


class Streams:
    """The event streams that are open, so that they can be ended when the app stops."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Timeout] = set()
        self.closed = False

    def close(self) -> None:
        """Ends every stream; one that is opened later ends at once."""
        self.closed = True
        for waiting in tuple(self._waiting):
            waiting.reschedule(0.0)

    async def next(
        self, queue: asyncio.Queue[Event], *, within: float | None = None
    ) -> Event | None:
        """The next event; None where `within` seconds pass without one, or the streams end."""
        if self.closed:
            return None
        try:
            async with asyncio.timeout(within) as waiting:
                self._waiting.add(waiting)
                try:
                    return await queue.get()
                finally:
                    self._waiting.discard(waiting)
        except TimeoutError:
            return None


async def api_events(
    app: App, queue: asyncio.Queue[Event], streams: Streams
) -> AsyncIterator[ServerSentEvent]:
    """The events of `GET /api/v1/events`."""
    for message in _state(app):
        yield message
    while event := await streams.next(queue):
        for message in _messages(app, event):
            yield message


def _state(app: App) -> Iterable[ServerSentEvent]:
    yield ServerSentEvent(event=Kind.SERVERS, data={"count": len(app.servers())})
    active = app.active()
    yield ServerSentEvent(
        event=Kind.ACTIVE,
        data={"id": active.id if active else None, "generation": app.generation.number},
    )


def _messages(app: App, event: Event) -> Iterable[ServerSentEvent]:
    match event.kind:
        case Kind.LOST:
            yield from _state(app)
        case Kind.SERVERS:
            yield ServerSentEvent(event=event.kind, data={"count": len(app.servers())})
        case Kind.ACTIVE:
            data = {"id": event.server_id, "generation": event.generation}
            yield ServerSentEvent(event=event.kind, data=data)
        case Kind.SESSIONS:
            yield ServerSentEvent(event=event.kind, data={"server_id": event.server_id})
        case Kind.HEALTH:
            for server in app.servers():
                if server.id == event.server_id:
                    yield ServerSentEvent(event=event.kind, data=server.to_json())


class Page:
    """One open page: what it shows, and what has to be sent so that it shows what is."""

    def __init__(self, app: App, views: Views) -> None:
        self._app = app
        self._views = views
        self._rows: dict[str, object] = {}
        self._checked: dict[str, datetime | None] = {}
        self._news: str | None = None
        self._order: list[str] = []
        self._ordered = 0.0

    async def catch_up(self, stamp: str | None) -> str:
        """All parts, or nothing where the page was painted from just this state."""
        shown = await take_snapshot(self._app)
        self._remember(shown)
        self._order = _order_of(shown.servers)
        if shown.stamp == stamp:
            self._checked = {}  # checks made since it was painted are told with the first pulse
            return ""
        return self._views.live_sessions(shown) + self._views.live_servers(shown)

    async def follow(self, events: Iterable[Event]) -> str:
        """The parts that changed, as they are now rather than as they were at the event."""
        events = tuple(events)
        active = self._app.active()
        about = {event.server_id for event in events}
        switched = any(event.kind in _ABOUT_ALL for event in events)
        if not switched and (active is None or active.id not in about):
            return self._rows_of(take_servers(self._app))
        shown = await take_snapshot(self._app)
        return self._views.live_sessions(shown) + self._rows_of(shown)

    def pulse(self) -> str:
        """When each server was last checked, where that changed."""
        servers = self._app.servers()
        before, self._checked = self._checked, {s.id: s.health.checked_at for s in servers}
        changed = [s for s in servers if before.get(s.id) != s.health.checked_at]
        return self._views.live_pulses(changed) + self._reordered(servers)

    def _rows_of(self, shown: Snapshot) -> str:
        """The rows that look different now; the list as a whole where they aren't the same ones."""
        before, news = self._rows, self._news
        self._remember(shown)
        if list(before) != list(self._rows) or news != shown.news:
            self._order = _order_of(shown.servers)
            return self._views.live_servers(shown)
        changed = [s for s in shown.servers if before[s.id] != self._rows[s.id]]
        return self._views.live_rows(changed) + self._reordered(shown.servers)

    def _reordered(self, servers: Sequence[Server]) -> str:
        order, now = _order_of(servers), time.monotonic()
        if order == self._order or now - self._ordered < REORDER:
            return ""
        self._order, self._ordered = order, now
        return self._views.live_picks(servers)

    def _remember(self, shown: Snapshot) -> None:
        before, self._rows = self._rows, {s.id: visible(s) for s in shown.servers}
        self._news = shown.news
        self._checked |= {
            s.id: s.health.checked_at for s in shown.servers if before.get(s.id) != self._rows[s.id]
        }


def _order_of(servers: Iterable[Server]) -> list[str]:
    return [server.id for server in in_switching_order(servers)]


async def page_parts(
    page: Page, queue: asyncio.Queue[Event], streams: Streams, *, stamp: str | None
) -> AsyncIterator[ServerSentEvent]:
    """The parts of a page that change. `stamp` tells what it showed when it was painted."""
    html = await page.catch_up(stamp)
    while not streams.closed:
        if html:
            # With an id, a browser that reconnects tells that it had some: then all is sent.
            yield ServerSentEvent(raw_data=html, id="1")
            await asyncio.sleep(GAP)
        event = await streams.next(queue, within=TICK)
        html = await page.follow(_with_waiting(event, queue)) if event else page.pulse()


def _with_waiting(event: Event, queue: asyncio.Queue[Event]) -> list[Event]:
    events = [event]
    while not queue.empty():
        events.append(queue.get_nowait())
    return events
