"""Notice for a person: what is said of a server, and how much of it at once."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from time import monotonic
from typing import Final

from fastapi.sse import ServerSentEvent

from codewalk.app.app import App
from codewalk.events import Event
from codewalk.notifications.notice import Notice, NoticeEvent, NoticeKind
from codewalk.server import Server
from codewalk.web.event_streams import Streams
from codewalk.web.text import sentence

MAX_TOASTS: Final = 3
"""Toasts of news that a page has at once; one more says how many there would be."""

TOAST_SECONDS: Final = 10.0
"""Seconds that a toast is seen; the style sheet takes it away then."""

MORE_TOAST_ID: Final = "more-news"
"""The place of what stands for all that found no place."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Toast:
    """A piece of news as it is told. A later one with the same `place` replaces it."""

    place: str
    server: Server
    kind: NoticeKind
    headline: str
    detail: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ToastStack:
    """What a page shows of news: until when each place is taken, and the servers beyond those.

    It can't know that a toast is pointed at, and so stays longer; then there is one more.
    """

    places: Mapping[str, float] = field(default_factory=dict)
    more: frozenset[str] = frozenset()
    more_until: float = 0.0

    def add(self, news: Iterable[Notice], now: float) -> "tuple[ToastStack, list[Notice], int]":
        """The pile with `news` on it, what of them is to be shown, and for how many servers there
        is more: none where nothing is to be said of that."""
        places = {place: until for place, until in self.places.items() if until > now}
        more = self.more if self.more_until > now else frozenset()
        shown: dict[str, Notice] = {}
        beyond: set[str] = set()
        for each in news:
            place = toast_id(each)
            if place in places or len(places) < MAX_TOASTS:
                places[place] = now + TOAST_SECONDS
                shown[place] = each
            else:
                beyond.add(each.server_id)
        until = now + TOAST_SECONDS if beyond else self.more_until
        pile = ToastStack(places=places, more=more | beyond, more_until=until)
        return pile, list(shown.values()), len(pile.more) if beyond else 0


def toast_id(news: Notice) -> str:
    """Where it is shown: that a server is back takes the place of its being down."""
    kind = "version" if news.kind is NoticeKind.VERSION else "state"
    return f"{kind}-of-{news.server_id}"


def make_toast(news: Notice, server: Server) -> Toast:
    """The news in words; the headline goes on after the server's name."""
    headline, detail = _words(news)
    return Toast(
        place=toast_id(news), server=server, kind=news.kind, headline=headline, detail=detail
    )


def make_toasts(app: App, news: Iterable[Notice]) -> list[Toast]:
    """Those of the servers that there are."""
    known = ((each, app.get(each.server_id)) for each in news)
    return [make_toast(each, server) for each, server in known if server]


def more_text(count: int) -> str:
    """What is said of servers that found no place."""
    return f"{count} more {'server has' if count == 1 else 'servers have'} news."


async def desktop_notifications(
    app: App, queue: asyncio.Queue[Event], streams: Streams
) -> AsyncIterator[ServerSentEvent]:
    """The news as notices of the desktop: `title`, `body`, and a `tag` by which a later one takes
    the place of an earlier one; that it does is heard (`renotify`), but for a number that grows."""
    pile = ToastStack()
    while event := await streams.next(queue):
        if not isinstance(event, NoticeEvent):
            continue
        pile, shown, more = pile.add([event.notice], monotonic())
        for each in make_toasts(app, shown):
            title = f"{each.server.name} {each.headline}"
            yield _notice(each.place, title, each.detail, heard=True)
        if more:
            yield _notice(MORE_TOAST_ID, "CodeWalk", more_text(more), heard=False)


def _notice(tag: str, title: str, body: str, *, heard: bool) -> ServerSentEvent:
    return ServerSentEvent(data={"tag": tag, "title": title, "body": body, "renotify": heard})


def _words(news: Notice) -> tuple[str, str]:
    match news.kind:
        case NoticeKind.DOWN:
            return "is down", sentence(news.health)
        case NoticeKind.UP:
            return "is back", f"It was away for {_span(news.downtime)}."
        case NoticeKind.VERSION:
            now, before = news.health.version, news.previous_version
            return "has another release", f"OpenCode {now}; it was {before}."


def _span(duration: timedelta | None) -> str:
    """How long, in the largest unit that fits."""
    seconds = max(1, int((duration or timedelta()).total_seconds()))
    for unit, word in ((86_400, "day"), (3600, "h"), (60, "min")):
        if seconds >= unit:
            count = seconds // unit
            return f"{count} {word}{'s' if word == 'day' and count > 1 else ''}"
    return f"{seconds} s"
