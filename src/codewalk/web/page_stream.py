"""The updates that an open page needs."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from time import monotonic
from typing import Any, Final, NamedTuple

from fastapi.sse import ServerSentEvent

from codewalk.app.app import App
from codewalk.events import Event, Kind
from codewalk.notifications.notice import Notice, NoticeEvent
from codewalk.server import Server
from codewalk.storage.loss_report import StoreProblem
from codewalk.web.page_context import (
    PageContext,
    get_page_context,
    health_values,
    profile_values,
)
from codewalk.web.toasts import ToastStack, make_toasts
from codewalk.web.views import Views

POLL_INTERVAL: Final = 2.0
"""Seconds between two polls for what changes without an event."""

MAX_ROWS_PER_MESSAGE: Final = 8
"""Changed rows in one message: with more, typing in the page would stutter. The rest follow."""

_ABOUT_ALL: Final = frozenset({Kind.SERVERS, Kind.ACTIVE, Kind.OVERFLOW})
"""Events after which any server may look different."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PageUpdate:
    """One message to a page: events for its scripts, then fragments as HTML.

    `active` is a switch: it has the generation, the active server and its address, and the page
    decides whether it follows. After the others the page asks again for what it shows, which only
    the page knows: `sessions` (the active server's list may be old), `work` (its projects or models
    may be), `server` (the server that the page is about changed), `checked` (it was checked).
    """

    html: str = ""
    events: dict[str, Any] = field(default_factory=dict)

    def messages(self) -> Iterable[ServerSentEvent]:
        for name, data in self.events.items():
            yield ServerSentEvent(event=name, data=data)
        if self.html:
            yield ServerSentEvent(raw_data=self.html)


class _Row(NamedTuple):
    """The values of a server that a page shows."""

    profile: tuple[object, ...]
    health: tuple[object, ...]


class OpenPage:
    """An open page: the values that it shows, and the updates that it needs.

    The switcher's list isn't sent: while it is open it polls, and else nobody sees it.

    Args:
        app: The app.
        views: The views in the page's theme.
        rows: Whether the page is the list of servers.
        about: The id of the server that the page is about; empty for other pages.
    """

    def __init__(self, app: App, views: Views, *, rows: bool, about: str = "") -> None:
        self._app = app
        self._views = views
        self._has_rows = rows
        self._about = about
        self._rows: dict[str, _Row] = {}
        self._checked_at: dict[str, datetime | None] = {}
        self._notes: tuple[object, ...] = ()
        self._store_problem: StoreProblem | None = None
        self._generation = 0
        self._down_count: int | None = None
        self._toasts = ToastStack()
        self.is_behind = False
        """Whether changed rows haven't been sent yet."""

    @property
    def timeout(self) -> float:
        """Seconds to wait for the next event; 0 while changed rows haven't been sent yet."""
        return 0.0 if self.is_behind else POLL_INTERVAL

    def catch_up(self, stamp: str | None) -> PageUpdate:
        """Return all fragments; none where the page was rendered from the state with this stamp."""
        context = get_page_context(self._app)
        self._remember(context)
        self._store_problem = context.store_problem
        self._generation = context.generation
        link = self._servers_link(context)
        if context.stamp == stamp:
            self._checked_at = {}  # checks since the page was rendered come with the first poll
            return PageUpdate()
        events = {"active": _active_event(context), "sessions": {}, "work": {}}
        html = self._views.switcher_fragments(context) + link + self._whole_list(context)
        html += self._views.store_problem_fragment(context.store_problem)
        return PageUpdate(html=html, events=events | self._server_event())

    def apply_events(self, events: Sequence[Event]) -> PageUpdate:
        """Return what changed, as it is now rather than at the time of the event, and notices."""
        changes = [event for event in events if event.kind is not Kind.NOTICE]
        notices = [event.notice for event in events if isinstance(event, NoticeEvent)]
        toasts = self._add_toasts(notices)
        context = get_page_context(self._app)
        active_id = context.active.id if context.active else None
        page_events = self._page_events(changes, context, active_id)
        if self._about and self._rows.get(self._about) != _row_of(context, self._about):
            page_events |= self._server_event()
        is_about_all = any(event.kind in _ABOUT_ALL for event in changes)
        is_about_active = active_id in {event.server_id for event in changes}
        button = ""
        if is_about_all or is_about_active:
            button = self._views.switcher_fragments(context)
        link, rows = self._servers_link(context), self._changed_rows(context)
        html = button + link + rows + toasts + self._changed_problem(context)
        return PageUpdate(html=html, events=page_events)

    def poll(self) -> PageUpdate:
        """Return what changes without an event: the time of a server's last check, and its link."""
        context = get_page_context(self._app)
        # A snooze ends, and a store is lost or back, without an event.
        always = self._servers_link(context) + self._changed_problem(context)
        rows = self._changed_rows(context)  # first: their checks needn't be sent again
        servers = [s for s in context.servers if self._has_rows or s.id == self._about]
        before, self._checked_at = self._checked_at, {s.id: s.health.checked_at for s in servers}
        checked = [s for s in servers if before.get(s.id) != s.health.checked_at]
        if self._has_rows:
            return PageUpdate(html=always + rows + self._views.last_check_fragments(checked))
        return PageUpdate(html=always, events={"checked": {}} if checked else {})

    def _page_events(
        self, changes: Sequence[Event], context: PageContext, active_id: str | None
    ) -> dict[str, Any]:
        # By the generation: after a switch there and back, a page that followed the first one shows
        # another server, though the same one is active.
        if context.generation != self._generation:
            self._generation = context.generation
            return {"active": _active_event(context)}
        kinds = {e.kind for e in changes if e.kind is Kind.OVERFLOW or e.server_id == active_id}
        events: dict[str, Any] = {}
        if kinds - {Kind.WORK}:
            events["sessions"] = {}
        if kinds & {Kind.WORK, Kind.WARNING, Kind.OVERFLOW}:
            events["work"] = {}
        return events

    def _add_toasts(self, notices: Iterable[Notice]) -> str:
        self._toasts, visible, count = self._toasts.add(notices, monotonic())
        return self._views.toast_fragments(make_toasts(self._app, visible), summary_count=count)

    def _servers_link(self, context: PageContext) -> str:
        """Return the link to the servers if it says another number; empty otherwise."""
        before, self._down_count = self._down_count, context.down_count
        if self._down_count == before:
            return ""
        section = "servers" if self._has_rows else ""
        return self._views.servers_link_fragment(context, section=section, about=self._about)

    def _server_event(self) -> dict[str, Any]:
        return {"server": {}} if self._about else {}

    def _changed_rows(self, context: PageContext) -> str:
        """Return the rows that changed; the whole list where servers came, went or moved."""
        before, notes = self._rows, self._notes
        self._remember(context)
        self.is_behind = False
        if list(before) != list(self._rows) or notes != self._notes:
            return self._whole_list(context)
        if not self._has_rows:
            return ""
        changed = [s for s in context.servers if before[s.id] != self._rows[s.id]]
        edited = [s for s in changed if before[s.id].profile != self._rows[s.id].profile]
        reported = [s for s in changed if before[s.id].profile == self._rows[s.id].profile]
        # Those over the limit count as unsent.
        self._rows |= {s.id: before[s.id] for s in reported[MAX_ROWS_PER_MESSAGE:]}
        self.is_behind = len(reported) > MAX_ROWS_PER_MESSAGE
        statuses = self._views.server_status_fragments(reported[:MAX_ROWS_PER_MESSAGE])
        return self._views.server_row_fragments(edited) + statuses

    def _changed_problem(self, context: PageContext) -> str:
        """Return why nothing can be saved, where that changed."""
        before, self._store_problem = self._store_problem, context.store_problem
        if before == self._store_problem:
            return ""
        return self._views.store_problem_fragment(self._store_problem)

    def _whole_list(self, context: PageContext) -> str:
        return self._views.server_list_fragment(context) if self._has_rows else ""

    def _remember(self, context: PageContext) -> None:
        before, self._rows = self._rows, {s.id: _row(s) for s in context.servers}
        self._notes = context.local_message, context.import_message, context.local
        self._checked_at |= {
            s.id: s.health.checked_at
            for s in context.servers
            if before.get(s.id) != self._rows[s.id]
        }


def _row_of(context: PageContext, server_id: str) -> _Row | None:
    return next((_row(server) for server in context.servers if server.id == server_id), None)


def _row(server: Server) -> _Row:
    return _Row(profile=profile_values(server), health=health_values(server))


def _active_event(context: PageContext) -> dict[str, str | int | None]:
    server = context.active
    if server is None:
        data = {"id": None, "name": None, "url": "/servers"}
    else:
        data = {"id": server.id, "name": server.name, "url": f"/s/{server.id}/"}
    return {"generation": context.generation, **data}
