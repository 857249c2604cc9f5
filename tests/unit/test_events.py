"""Events that one part of this process announces to the others."""

import asyncio

from codewalk.events import MAX_QUEUED_EVENTS, Announcer, Event, Kind
from tests.fake_time import fake_time


def event(number: int) -> Event:
    return Event(kind=Kind.HEALTH, server_id=str(number))


def drained(queue: asyncio.Queue[Event]) -> list[Event]:
    return [queue.get_nowait() for _ in range(queue.qsize())]


def test_every_listener_gets_all_events_from_then_on_in_order() -> None:
    announcer = Announcer()
    announcer.announce(event(0))
    with announcer.listen() as first, announcer.listen() as second:
        announcer.announce(event(1))
        announcer.announce(event(2))
        assert drained(first) == drained(second) == [event(1), event(2)]


def test_a_listener_that_stopped_gets_nothing() -> None:
    announcer = Announcer()
    with announcer.listen() as queue:
        pass
    announcer.announce(event(1))
    assert queue.empty()


def test_a_listener_whose_block_fails_stops_listening() -> None:
    announcer = Announcer()
    queues: list[asyncio.Queue[Event]] = []
    try:
        with announcer.listen() as queue:
            queues.append(queue)
            raise ZeroDivisionError
    except ZeroDivisionError:
        announcer.announce(event(1))
    assert queues[0].empty()


def test_a_slow_listener_gets_an_overflow_and_the_others_get_all_events() -> None:
    announcer = Announcer()
    received: list[Event] = []
    with announcer.listen() as slow, announcer.listen() as quick:
        for number in range(MAX_QUEUED_EVENTS + 5):
            announcer.announce(event(number))
            received += drained(quick)
        assert received == [event(number) for number in range(MAX_QUEUED_EVENTS + 5)]
        events = drained(slow)
        assert events[0] == Event(kind=Kind.OVERFLOW)
        assert events[1:] == [
            event(number) for number in range(MAX_QUEUED_EVENTS, MAX_QUEUED_EVENTS + 5)
        ]


def test_the_queue_of_a_listener_that_reads_nothing_is_bounded() -> None:
    announcer = Announcer()
    with announcer.listen() as stuck:
        for number in range(5 * MAX_QUEUED_EVENTS):
            announcer.announce(event(number))
        assert stuck.qsize() <= MAX_QUEUED_EVENTS
        events = drained(stuck)
        assert [e.kind for e in events].count(Kind.OVERFLOW) == 1
        assert events[-1] == event(5 * MAX_QUEUED_EVENTS - 1)


@fake_time
async def test_an_event_wakes_a_waiting_listener() -> None:
    announcer = Announcer()
    with announcer.listen() as queue:
        asyncio.get_running_loop().call_later(1, announcer.announce, event(1))
        assert await queue.get() == event(1)


def test_listeners_begin_and_stop_between_events() -> None:
    announcer = Announcer()
    with announcer.listen() as first:
        announcer.announce(event(1))
        with announcer.listen() as second:
            announcer.announce(event(2))
        announcer.announce(event(3))
    assert drained(first) == [event(1), event(2), event(3)]
    assert drained(second) == [event(2)]


def test_the_events_of_the_api() -> None:
    assert {*Kind} - {Kind.WARNING, Kind.WORK, Kind.NOTICE, Kind.OVERFLOW} == {
        "servers",
        "health",
        "active",
        "sessions",
    }
