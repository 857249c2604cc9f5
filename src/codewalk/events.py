"""What happened, told to whoever listens."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

MAX_QUEUED_EVENTS: Final = 1000
"""Events that a slow listener may lag behind before it is told to read everything anew."""


class Kind(StrEnum):
    """The events of `GET /api/v1/events`, and those that only this process hears of."""

    SERVERS = "servers"
    HEALTH = "health"
    ACTIVE = "active"
    SESSIONS = "sessions"
    """A server's session list changed, or which of its sessions are at work."""
    WORK = "work"
    """Something else that belongs to a server changed: its projects, models or model selection."""
    NOTICE = "notice"
    """Something that a person would want to be told of."""
    OVERFLOW = "overflow"
    """This listener lost some."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """`server_id` is whose it is, None for the list as a whole and for no active server.

    A `Kind.NOTICE` comes as `codewalk.notifications.notice.NoticeEvent`, which has the notice.
    """

    kind: Kind
    server_id: str | None = None
    generation: int = 0


class Announcer:
    """Hands each event to each listener; no listener can delay another or the announcer."""

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
        """A queue of everything announced from now on."""
        queue: asyncio.Queue[Event] = asyncio.Queue(MAX_QUEUED_EVENTS)
        self._queues.add(queue)
        try:
            yield queue
        finally:
            self._queues.discard(queue)
