"""Subscriptions of open pages to updates, which outlive their requests for a few seconds.

A browser allows six connections to one origin, so not every visible window has a stream of its own.
A window without one asks each second, and each request continues where the last one ended.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Final

from fastapi.sse import ServerSentEvent

from codewalk.app.app import App
from codewalk.events import Event, Kind
from codewalk.web.event_streams import EventStreams
from codewalk.web.page_stream import OpenPage, PageUpdate

RESUME_SECONDS: Final = 5.0
"""Seconds after the end of a request in which another one can continue."""

MAX_IDLE_SUBSCRIPTIONS: Final = 100
"""Subscriptions without a request; with more, the oldest ends."""

MIN_MESSAGE_INTERVAL: Final = 0.03
"""Seconds between two messages to a page: a burst of changes is one message, and one repaint."""

SWITCH_DELAY: Final = 0.1
"""Seconds after a switch until pages are sent it: the one that asked shows its answer first."""


@dataclass(kw_only=True, eq=False, slots=True)
class PageSubscription:
    """An open page, and the events that it hasn't been sent yet.

    Attributes:
        page: The values that the page shows.
        queue: The events announced since they were sent.
        resources: What has to be closed at the end.
        key: Identifies the subscription in the ids of its messages.
        sent_updates: How many updates were sent.
        is_new: Whether nothing was sent yet.
        is_settled: Whether everything that was taken from the queue was sent.
    """

    page: OpenPage
    queue: asyncio.Queue[Event]
    resources: ExitStack
    key: str = field(default_factory=lambda: secrets.token_urlsafe(9))
    sent_updates: int = 0
    is_new: bool = True
    is_settled: bool = False

    @property
    def event_id(self) -> str:
        """The id of the last message: a browser that gives it back has all of them."""
        return f"{self.key}.{self.sent_updates}"

    def messages(self, update: PageUpdate) -> Iterator[ServerSentEvent]:
        """Yield the messages of an update; the last one has the id."""
        messages = list(update.messages())
        if messages:
            self.sent_updates += 1
            messages[-1].id = self.event_id
        yield from messages


class PageSubscriptions:
    """The subscriptions that no request uses at the moment."""

    def __init__(self) -> None:
        self._idle: dict[str, tuple[PageSubscription, asyncio.TimerHandle]] = {}

    @contextmanager
    def attach(
        self, subscribe: Callable[[], PageSubscription], *, last_event_id: str | None
    ) -> Iterator[PageSubscription]:
        """Continue the subscription whose last message the page has, or `subscribe`."""
        subscription = self._resume(last_event_id) or subscribe()
        subscription.is_settled = False
        try:
            yield subscription
        finally:
            self._keep(subscription)

    def _resume(self, last_event_id: str | None) -> PageSubscription | None:
        subscription = self._remove((last_event_id or "").rpartition(".")[0])
        if subscription is None or subscription.event_id == last_event_id:
            return subscription
        # The last message was lost on its way.
        subscription.resources.close()
        return None

    def _keep(self, subscription: PageSubscription) -> None:
        if not subscription.is_settled:
            subscription.resources.close()
            return
        if len(self._idle) >= MAX_IDLE_SUBSCRIPTIONS:
            self._end(next(iter(self._idle)))
        loop, key = asyncio.get_running_loop(), subscription.key
        self._idle[key] = subscription, loop.call_later(RESUME_SECONDS, self._end, key)

    def _end(self, key: str) -> None:
        subscription = self._remove(key)
        if subscription:
            subscription.resources.close()

    def _remove(self, key: str) -> PageSubscription | None:
        if key not in self._idle:
            return None
        subscription, timer = self._idle.pop(key)
        timer.cancel()
        return subscription


def subscribe(app: App, page: OpenPage, *, is_home: bool) -> PageSubscription:
    """Return a new subscription; a home counts as looked at until it ends."""
    with ExitStack() as stack:
        queue = stack.enter_context(app.announcer.listen())
        if is_home:
            stack.enter_context(app.work.viewers.viewing())
        return PageSubscription(page=page, queue=queue, resources=stack.pop_all())


async def page_updates(
    subscription: PageSubscription, streams: EventStreams, *, stamp: str | None, hold: bool
) -> AsyncIterator[ServerSentEvent]:
    """Yield the messages of one request.

    Args:
        subscription: That of the page.
        streams: The open streams.
        stamp: The stamp of the page as it was rendered.
        hold: Whether to wait for further events once the page is up to date.
    """
    page, queue = subscription.page, subscription.queue
    if subscription.is_new:
        subscription.is_new = False
        # At once: the first event may be what a window misses that loses its stream.
        yield ServerSentEvent(id=subscription.event_id)
        update = page.catch_up(stamp)
    else:
        events = _drain(queue)
        update = page.apply_events(events) if events else page.poll()
    while not streams.closed:
        for message in subscription.messages(update):
            yield message
        if update.html:
            await asyncio.sleep(MIN_MESSAGE_INTERVAL)
        subscription.is_settled = True
        if not hold and queue.empty() and not page.is_behind:
            return
        event = await streams.next_event(queue, timeout=page.timeout)
        subscription.is_settled = False
        if event and event.kind is Kind.ACTIVE:
            await asyncio.sleep(SWITCH_DELAY)
        update = page.apply_events([event, *_drain(queue)]) if event else page.poll()


def _drain(queue: asyncio.Queue[Event]) -> list[Event]:
    """Take all events that wait in the queue."""
    events = []
    while not queue.empty():
        events.append(queue.get_nowait())
    return events
