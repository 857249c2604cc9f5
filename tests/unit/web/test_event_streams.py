"""The event streams that are open, and their end when the app stops."""

import asyncio

from codewalk.events import Event, Kind
from codewalk.web.event_streams import EventStreams
from tests.fake_time import advance_time, elapsed, fake_time

EVENT = Event(kind=Kind.SERVERS)


class ClosingQueue(asyncio.Queue[Event]):
    """Closes the streams at the moment when a wait for an event expires."""

    def __init__(self, streams: EventStreams) -> None:
        super().__init__()
        self._streams = streams

    async def get(self) -> Event:
        try:
            return await super().get()
        except asyncio.CancelledError:
            self._streams.close()
            raise


@fake_time
async def test_the_next_event_is_waited_for_as_long_as_asked() -> None:
    streams, queue = EventStreams(), asyncio.Queue[Event]()
    assert await streams.next_event(queue, timeout=1) is None
    assert elapsed() == 1
    asyncio.get_running_loop().call_later(1, queue.put_nowait, EVENT)
    assert await streams.next_event(queue) is EVENT


@fake_time
async def test_closing_ends_every_wait_and_those_that_begin_later() -> None:
    streams, queue = EventStreams(), asyncio.Queue[Event]()
    async with asyncio.TaskGroup() as group:
        waits = [
            group.create_task(streams.next_event(queue, timeout=within), name="wait")
            for within in (None, 60)
        ]
        await advance_time(1)
        streams.close()
    assert elapsed() == 1
    assert [wait.result() for wait in waits] == [None, None]
    assert await streams.next_event(queue) is None


@fake_time
async def test_streams_can_be_closed_at_the_moment_when_a_wait_expires() -> None:
    # The race: the wait's timeout has cancelled it, and it hasn't ended yet.
    streams = EventStreams()
    other: asyncio.Queue[Event] = asyncio.Queue()
    async with asyncio.TaskGroup() as group:
        waits = [
            group.create_task(
                streams.next_event(ClosingQueue(streams), timeout=1), name="expiring"
            ),
            group.create_task(streams.next_event(other), name="open"),
        ]
    assert elapsed() == 1
    assert [wait.result() for wait in waits] == [None, None]
