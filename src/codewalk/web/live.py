"""What happens, told while it happens: to programs as events, to pages as the parts that change."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Self

from fastapi.sse import ServerSentEvent

from codewalk.app import App
from codewalk.events import Event, Kind
from codewalk.web.views import Snapshot, Views, take_snapshot

TICK: Final = 2.0
"""Seconds between two looks for what changes without news: when a server was last checked."""

GAP: Final = 0.05
"""Seconds between two messages to a page: a burst of changes is one message, and one repaint."""


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


@dataclass(frozen=True, kw_only=True, slots=True)
class News:
    """What several events come to: each part of a page is repainted once."""

    servers: bool = False
    rows: frozenset[str] = frozenset()
    sessions: bool = False

    @classmethod
    def of(cls, events: Iterable[Event], active_id: str | None) -> Self:
        events = tuple(events)
        kinds = {event.kind for event in events}
        whole = bool(kinds & {Kind.SERVERS, Kind.ACTIVE, Kind.LOST})
        rows = {e.server_id for e in events if e.kind is Kind.HEALTH and e.server_id}
        told = {e.server_id for e in events if e.kind is Kind.SESSIONS}
        return cls(
            servers=whole,
            rows=frozenset() if whole else frozenset(rows),
            sessions=whole or active_id in rows or active_id in told,
        )


class Page:
    """One open page: what it shows, and what has to be sent so that it shows what is."""

    def __init__(self, app: App, views: Views) -> None:
        self._app = app
        self._views = views
        self._checked: dict[str, datetime | None] = {}

    async def catch_up(self, stamp: str | None) -> str:
        """All parts, or nothing where the page was painted from just this state."""
        shown = await take_snapshot(self._app)
        if shown.stamp == stamp:
            return ""  # checks made since then are told with the first pulse
        self._remember()
        return self._whole(shown)

    async def follow(self, events: Iterable[Event]) -> str:
        """The parts that changed, as they are now rather than as they were at the event."""
        active = self._app.active()
        news = News.of(events, active.id if active else None)
        if news.servers or news.sessions:
            shown = await take_snapshot(self._app)
            if news.servers:
                self._remember()
                return self._whole(shown)
            return self._rows(news.rows) + self._views.live_sessions(shown)
        return self._rows(news.rows)

    def pulse(self) -> str:
        """When each server was last checked, where that changed."""
        before, now = self._checked, self._remember()
        changed = [s for s in self._app.servers() if before.get(s.id) != now[s.id]]
        return self._views.live_pulses(changed)

    def _whole(self, shown: Snapshot) -> str:
        return self._views.live_servers(shown) + self._views.live_sessions(shown)

    def _rows(self, ids: frozenset[str]) -> str:
        return self._views.live_rows([s for s in self._app.servers() if s.id in ids])

    def _remember(self) -> dict[str, datetime | None]:
        self._checked = {s.id: s.health.checked_at for s in self._app.servers()}
        return self._checked


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
