"""Events announced by one part of this process to the others."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

MAX_QUEUED_EVENTS: Final = 1000
"""Events queued for one listener; with more, they are replaced by one `Kind.OVERFLOW`."""


class Kind(StrEnum):
    """The events of `GET /api/v1/events`, and those that stay inside this process."""

    SERVERS = "servers"
    HEALTH = "health"
    WARNING = "warning"
    """The warning about a server changed; to programs this is `HEALTH`."""
    ACTIVE = "active"
    SESSIONS = "sessions"
    """A server's session list changed, or which of its sessions are busy."""
    WORK = "work"
    """Something else of a server changed: its projects, models or model selection."""
    NOTICE = "notice"
    """Something about a server that users are notified of."""
    OVERFLOW = "overflow"
    """This listener was too slow: events were dropped, and everything has to be read again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """One event.

    A `Kind.NOTICE` comes as `codewalk.notifications.notice.NoticeEvent`, which has the notice.

    Attributes:
        kind: What happened.
        server_id: The server it happened to; None for the list as a whole, or no active server.
        generation: The number of the switch, for `Kind.ACTIVE`.
    """

    kind: Kind
    server_id: str | None = None
    generation: int = 0


class Announcer:
    """Gives each event to each listener; no listener delays another or the announcer."""

    def __init__(self) -> None:
        self._queues: set[asyncio.Queue[Event]] = set()

    def announce(self, event: Event) -> None:
        for queue in self._queues:
            if queue.full():
                while not queue.empty():
                    queue.get_nowait()
                queue.put_nowait(Event(kind=Kind.OVERFLOW))
            queue.put_nowait(event)

    @contextmanager
    def listen(self) -> Iterator[asyncio.Queue[Event]]:
        """Return a queue of everything that is announced while the block runs."""
        queue: asyncio.Queue[Event] = asyncio.Queue(MAX_QUEUED_EVENTS)
        self._queues.add(queue)
        try:
            yield queue
        finally:
            self._queues.discard(queue)
