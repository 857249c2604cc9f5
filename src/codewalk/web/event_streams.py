"""The event streams that are open, and what happens as the events of the API."""

import asyncio
from collections.abc import AsyncIterator, Iterable

from fastapi.sse import ServerSentEvent

from codewalk.app.app import App
from codewalk.events import Event, Kind
from codewalk.tasks import InterruptibleBlock


class Streams:
    """The event streams that are open, so that they can be ended when the app stops."""

    def __init__(self) -> None:
        self._waiting: set[InterruptibleBlock] = set()
        self.closed = False

    def close(self) -> None:
        """Ends every stream; one that is opened later ends at once."""
        self.closed = True
        for waiting in tuple(self._waiting):
            waiting.interrupt()

    async def next(
        self, queue: asyncio.Queue[Event], *, within: float | None = None
    ) -> Event | None:
        """The next event; None where `within` seconds pass without one, or the streams end."""
        if self.closed:
            return None
        try:
            async with InterruptibleBlock(within) as waiting:
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
        case Kind.OVERFLOW:
            yield from _state(app)
        case Kind.SERVERS:
            yield ServerSentEvent(event=event.kind, data={"count": len(app.servers())})
        case Kind.ACTIVE:
            data = {"id": event.server_id, "generation": event.generation}
            yield ServerSentEvent(event=event.kind, data=data)
        case Kind.SESSIONS:
            yield ServerSentEvent(event=event.kind, data={"server_id": event.server_id})
        case Kind.HEALTH:
            if event.server_id and (server := app.get(event.server_id)):
                yield ServerSentEvent(event=event.kind, data=server.to_json())
