"""What an open page is sent so that it goes on showing what is."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from time import monotonic
from typing import Any, Final, NamedTuple

from fastapi.sse import ServerSentEvent

from codewalk.app.app import App
from codewalk.events import Event, Kind
from codewalk.notifications.notice import Notice, NoticeEvent
from codewalk.server import Server
from codewalk.web.event_streams import Streams
from codewalk.web.page_context import PageContext, get_page_context, profile_values, reported_values
from codewalk.web.toasts import ToastStack, make_toasts
from codewalk.web.views import Views

POLL_INTERVAL: Final = 2.0
"""Seconds between two looks for what changes without an event."""

MIN_MESSAGE_INTERVAL: Final = 0.03
"""Seconds between two messages to a page: a burst of changes is one message, and one repaint."""

SWITCH_DELAY: Final = 0.1
"""Seconds after a switch until a page hears of it: the one that asked for it has its answer by
then, and shows that first."""

MAX_ROWS_PER_MESSAGE: Final = 8
"""Changed rows in a message: more would hold up what is typed in the page. The rest follow."""

_ABOUT_ALL: Final = frozenset({Kind.SERVERS, Kind.ACTIVE, Kind.OVERFLOW})
"""Events after which any server may look different."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PageUpdate:
    """What a page is sent at once: parts as HTML, and before them events for its scripts.

    `active` tells of a switch: it names the generation, the active server and its address. The page
    decides whether it goes there.
    `sessions` and `work` tell that what it shows of the active server may be old: its list, or what
    stands around it; `server` and `checked`, that the server it is about looks different, or was
    just checked. The page asks for what it shows, which only the page knows.
    """

    html: str = ""
    events: dict[str, Any] = field(default_factory=dict)

    def messages(self) -> Iterable[ServerSentEvent]:
        for name, data in self.events.items():
            yield ServerSentEvent(event=name, data=data)
        if self.html:
            yield ServerSentEvent(raw_data=self.html)


class _Seen(NamedTuple):
    """What a page shows of a server."""

    named: tuple[object, ...]
    told: tuple[object, ...]


class OpenPage:
    """One open page: what it shows, and what has to be sent so that it shows what is.

    `rows` tells whether the page is the list of servers, and `about` which server it is about, if
    it is one's own. The switcher's list isn't sent: it asks for itself while it is open, and nobody
    sees it else.
    """

    def __init__(self, app: App, views: Views, *, rows: bool, about: str = "") -> None:
        self._app = app
        self._views = views
        self._with_rows = rows
        self._about = about
        self._seen: dict[str, _Seen] = {}
        self._checked: dict[str, datetime | None] = {}
        self._told: tuple[object, ...] = ()
        self._generation = 0
        self._pile = ToastStack()
        self._behind = False

    @property
    def timeout(self) -> float:
        """Seconds to wait for the next event; none where rows that changed aren't told yet."""
        return 0.0 if self._behind else POLL_INTERVAL

    def catch_up(self, stamp: str | None) -> PageUpdate:
        """All parts, or nothing where the page was painted from just this state."""
        frame = get_page_context(self._app)
        self._remember(frame)
        self._generation = frame.generation
        if frame.stamp == stamp:
            self._checked = {}  # checks made since it was painted are told with the first poll
            return PageUpdate()
        events = {"active": _whereabouts(frame), "sessions": {}, "work": {}} | self._of_the_server()
        return PageUpdate(
            html=self._views.switcher_button_fragment(frame) + self._all_of(frame), events=events
        )

    def apply_events(self, events: Sequence[Event]) -> PageUpdate:
        """What changed, as it is now rather than as it was at the event, and what is news."""
        changes = [event for event in events if event.kind is not Kind.NOTICE]
        told = self._tell(e.notice for e in events if isinstance(e, NoticeEvent))
        frame = get_page_context(self._app)
        active = frame.active.id if frame.active else None
        heard: dict[str, Any] = {}
        # Not by the server: after a switch there and back, a page that followed is at the other.
        if frame.generation != self._generation:
            self._generation = frame.generation
            heard["active"] = _whereabouts(frame)
        else:
            kinds = {e.kind for e in changes if e.kind is Kind.OVERFLOW or e.server_id == active}
            if kinds - {Kind.WORK}:
                heard["sessions"] = {}
            if kinds & {Kind.WORK, Kind.OVERFLOW}:
                heard["work"] = {}
        if self._about and self._seen.get(self._about) != _look_of(frame, self._about):
            heard |= self._of_the_server()
        all_of_it = any(event.kind in _ABOUT_ALL for event in changes)
        about = all_of_it or active in {event.server_id for event in changes}
        button = self._views.switcher_button_fragment(frame) if about else ""
        return PageUpdate(html=button + self._changed(frame) + told, events=heard)

    def poll(self) -> PageUpdate:
        """What changes without an event: when each server was checked, and how its link is."""
        frame = get_page_context(self._app)
        rows = self._changed(frame)  # and so what these have isn't told a second time
        shown = [s for s in frame.servers if self._with_rows or s.id == self._about]
        before, self._checked = self._checked, {s.id: s.health.checked_at for s in shown}
        changed = [s for s in shown if before.get(s.id) != s.health.checked_at]
        if self._with_rows:
            return PageUpdate(html=rows + self._views.last_check_fragments(changed))
        return PageUpdate(events={"checked": {}} if changed else {})

    def _tell(self, news: Iterable[Notice]) -> str:
        """Toasts; what is news while a page has no stream is told to it by no toast later."""
        self._pile, shown, more = self._pile.add(news, monotonic())
        return self._views.toast_fragments(make_toasts(self._app, shown), more=more)

    def _of_the_server(self) -> dict[str, Any]:
        return {"server": {}} if self._about else {}

    def _changed(self, frame: PageContext) -> str:
        """The rows that look different now; all of them where they aren't the same ones."""
        before, told = self._seen, self._told
        self._remember(frame)
        self._behind = False
        if list(before) != list(self._seen) or told != self._told:
            return self._all_of(frame)
        if not self._with_rows:
            return ""
        changed = [s for s in frame.servers if before[s.id] != self._seen[s.id]]
        rows = [s for s in changed if before[s.id].named != self._seen[s.id].named]
        said = [s for s in changed if before[s.id].named == self._seen[s.id].named]
        self._seen |= {s.id: before[s.id] for s in said[MAX_ROWS_PER_MESSAGE:]}
        self._behind = len(said) > MAX_ROWS_PER_MESSAGE
        return self._views.server_row_fragments(rows) + self._views.server_status_fragments(
            said[:MAX_ROWS_PER_MESSAGE]
        )

    def _all_of(self, frame: PageContext) -> str:
        return self._views.server_list_fragment(frame) if self._with_rows else ""

    def _remember(self, frame: PageContext) -> None:
        before, self._seen = self._seen, {s.id: _seen(s) for s in frame.servers}
        self._told = frame.news, frame.import_message, frame.local
        self._checked |= {
            s.id: s.health.checked_at for s in frame.servers if before.get(s.id) != self._seen[s.id]
        }


async def page_updates(
    page: OpenPage, queue: asyncio.Queue[Event], streams: Streams, *, stamp: str | None
) -> AsyncIterator[ServerSentEvent]:
    """The stream of one page. `stamp` tells what it showed when it was painted."""
    # With an id a page that reconnects says that it does: then all is sent. It has one at once,
    # for what a hidden tab misses may be the first thing that happens.
    yield ServerSentEvent(id="1")
    update = page.catch_up(stamp)
    while not streams.closed:
        for message in update.messages():
            yield message
        if update.html:
            await asyncio.sleep(MIN_MESSAGE_INTERVAL)
        event = await streams.next(queue, within=page.timeout)
        if event and event.kind is Kind.ACTIVE:
            await asyncio.sleep(SWITCH_DELAY)
        update = page.apply_events(_with_waiting(event, queue)) if event else page.poll()


def _look_of(frame: PageContext, server_id: str) -> _Seen | None:
    return next((_seen(server) for server in frame.servers if server.id == server_id), None)


def _seen(server: Server) -> _Seen:
    return _Seen(profile_values(server), reported_values(server))


def _whereabouts(frame: PageContext) -> dict[str, str | int | None]:
    known = {"generation": frame.generation}
    if frame.active is None:
        return known | {"id": None, "name": None, "url": "/servers"}
    server = frame.active
    return known | {"id": server.id, "name": server.name, "url": f"/s/{server.id}/"}


def _with_waiting(event: Event, queue: asyncio.Queue[Event]) -> list[Event]:
    events = [event]
    while not queue.empty():
        events.append(queue.get_nowait())
    return events
