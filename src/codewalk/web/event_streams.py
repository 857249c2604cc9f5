"""Open event streams, and the events of the API."""

import asyncio
from collections.abc import AsyncIterator, Iterable

from fastapi.sse import ServerSentEvent

from codewalk.app.app import App
from codewalk.events import Event, Kind
from codewalk.tasks import InterruptibleBlock


class EventStreams:
    """The open event streams, which end when the app stops."""

    def __init__(self) -> None:
        self._waits: set[InterruptibleBlock] = set()
        self.closed = False

    def close(self) -> None:
        """End every stream; one that is opened later ends at once."""
        self.closed = True
        for wait in tuple(self._waits):
            wait.interrupt()

    async def next_event(
        self, queue: asyncio.Queue[Event], *, timeout: float | None = None
    ) -> Event | None:
        """Wait for the next event; None after `timeout` seconds, or once the streams end."""
        if self.closed:
            return None
        try:
            async with InterruptibleBlock(timeout) as wait:
                self._waits.add(wait)
                try:
                    return await queue.get()
                finally:
                    self._waits.discard(wait)
        except TimeoutError:
            return None


async def api_events(
    app: App, queue: asyncio.Queue[Event], streams: EventStreams
) -> AsyncIterator[ServerSentEvent]:
    """Yield the events of `GET /api/v1/events`."""
    for message in _current_state(app):
        yield message
    while event := await streams.next_event(queue):
        for message in _messages(app, event):
            yield message


def _current_state(app: App) -> Iterable[ServerSentEvent]:
    yield ServerSentEvent(event=Kind.SERVERS, data={"count": len(app.servers())})
    active = app.active()
    yield ServerSentEvent(
        event=Kind.ACTIVE,
        data={"id": active.id if active else None, "generation": app.generation.number},
    )


def _messages(app: App, event: Event) -> Iterable[ServerSentEvent]:
    match event.kind:
        case Kind.OVERFLOW:
            yield from _current_state(app)
        case Kind.SERVERS:
            yield ServerSentEvent(event=event.kind, data={"count": len(app.servers())})
        case Kind.ACTIVE:
            data = {"id": event.server_id, "generation": event.generation}
            yield ServerSentEvent(event=event.kind, data=data)
        case Kind.SESSIONS:
            yield ServerSentEvent(event=event.kind, data={"server_id": event.server_id})
        case Kind.HEALTH | Kind.WARNING:
            if event.server_id and (server := app.get(event.server_id)):
                yield ServerSentEvent(event=Kind.HEALTH, data=server.to_json())
