"""Notices in a page's toast and as desktop notifications, with a limit on how many at once."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from math import inf
from time import monotonic
from typing import Final

from fastapi.sse import ServerSentEvent

from codewalk.app.app import App
from codewalk.events import Event, Kind
from codewalk.notifications.notice import Notice, NoticeEvent, NoticeKind
from codewalk.server import Server, count_down
from codewalk.times import format_duration
from codewalk.web.event_streams import EventStreams
from codewalk.web.text import health_sentence

MAX_TOASTS: Final = 3
"""Notices that a page shows at once; one more line counts the servers of the others."""

TOAST_SECONDS: Final = 10.0
"""Seconds for which a notice is shown; then the style sheet removes it."""

SUMMARY_ID: Final = "more-notices"
"""The id of the line that counts the servers whose notices aren't shown."""

COUNT_INTERVAL: Final = 1.0
"""Seconds between two counts of the servers that are down, for hidden pages."""

MAX_COUNT_AGE: Final = 30.0
"""Seconds after which they are counted without an event: a snooze may have ended."""

_ABOUT_STATES: Final = frozenset({Kind.HEALTH, Kind.SERVERS, Kind.OVERFLOW})
"""Events after which another number of servers may be down."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Toast:
    """The text of a notice; a later toast with the same `id` replaces it."""

    id: str
    server: Server
    kind: NoticeKind
    headline: str
    detail: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ToastStack:
    """The toasts of one page.

    A page keeps a toast for longer while the pointer is on it, which isn't known here: then it
    shows one more.

    Attributes:
        expiry: When each toast goes, by its id, on the clock of `add`.
        hidden: The servers with notices that aren't shown.
        hidden_expiry: When the toast that counts them goes.
    """

    expiry: Mapping[str, float] = field(default_factory=dict)
    hidden: frozenset[str] = frozenset()
    hidden_expiry: float = 0.0

    def add(self, notices: Iterable[Notice], now: float) -> "tuple[ToastStack, list[Notice], int]":
        """Add notices to the stack.

        Returns:
            The new stack, the notices to show, and how many servers the summary counts: 0 where it
            needn't be shown again.
        """
        expiry = {toast_id: until for toast_id, until in self.expiry.items() if until > now}
        hidden = self.hidden if self.hidden_expiry > now else frozenset()
        visible: dict[str, Notice] = {}
        overflow: set[str] = set()
        for notice in notices:
            toast_id = toast_id_of(notice)
            if toast_id in expiry or len(expiry) < MAX_TOASTS:
                expiry[toast_id] = now + TOAST_SECONDS
                visible[toast_id] = notice
            else:
                overflow.add(notice.server_id)
        hidden_expiry = now + TOAST_SECONDS if overflow else self.hidden_expiry
        stack = ToastStack(expiry=expiry, hidden=hidden | overflow, hidden_expiry=hidden_expiry)
        return stack, list(visible.values()), len(stack.hidden) if overflow else 0


def toast_id_of(notice: Notice) -> str:
    """Return the id of a notice's toast: a server's `up` replaces its `down`."""
    kind = "version" if notice.kind is NoticeKind.VERSION else "state"
    return f"{kind}-of-{notice.server_id}"


def make_toast(notice: Notice, server: Server) -> Toast:
    """Return the text of a notice; the headline continues a sentence that starts with the name."""
    headline, detail = _texts(notice)
    return Toast(
        id=toast_id_of(notice), server=server, kind=notice.kind, headline=headline, detail=detail
    )


def make_toasts(app: App, notices: Iterable[Notice]) -> list[Toast]:
    """Return the texts of notices, without those about servers that were removed."""
    pairs = ((notice, app.get(notice.server_id)) for notice in notices)
    return [make_toast(notice, server) for notice, server in pairs if server]


def summary_text(count: int) -> str:
    """Return the text for servers whose notices aren't shown."""
    return f"{count} more {'server has' if count == 1 else 'servers have'} news."


async def background_messages(
    app: App, queue: asyncio.Queue[Event], streams: EventStreams
) -> AsyncIterator[ServerSentEvent]:
    """Yield what concerns hidden pages too: notices, and how many servers are down (`down`).

    Notices are the arguments of `Notification` in a browser. A later one with the same `tag`
    replaces an earlier one, and `renotify` alerts the user again; the summary, whose number only
    grows, doesn't.
    """
    stack, count, counted_at, is_old = ToastStack(), None, -inf, True
    while not streams.closed:
        if monotonic() - counted_at >= (COUNT_INTERVAL if is_old else MAX_COUNT_AGE):
            before, count = count, count_down(app.servers())
            counted_at, is_old = monotonic(), False
            if count != before:
                yield ServerSentEvent(event="down", data=count)
        event = await streams.next_event(queue, timeout=COUNT_INTERVAL)
        if event and event.kind in _ABOUT_STATES:
            is_old = True
        if not isinstance(event, NoticeEvent):
            continue
        stack, visible, hidden = stack.add([event.notice], monotonic())
        for toast in make_toasts(app, visible):
            title = f"{toast.server.name} {toast.headline}"
            yield _notification(toast.id, title, toast.detail, renotify=True)
        if hidden:
            yield _notification(SUMMARY_ID, "CodeWalk", summary_text(hidden), renotify=False)


def _notification(tag: str, title: str, body: str, *, renotify: bool) -> ServerSentEvent:
    return ServerSentEvent(data={"tag": tag, "title": title, "body": body, "renotify": renotify})


def _texts(notice: Notice) -> tuple[str, str]:
    match notice.kind:
        case NoticeKind.DOWN:
            return "is down", health_sentence(notice.health)
        case NoticeKind.UP:
            return "is back", f"It was down for {format_duration(notice.downtime or timedelta())}."
        case NoticeKind.VERSION:
            version, previous = notice.health.version, notice.previous_version
            return "has another release", f"OpenCode {version}; it was {previous}."
