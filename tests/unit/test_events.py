"""What happened, told to whoever listens."""

import asyncio

from codewalk.events import MAX_QUEUED_EVENTS, Announcer, Event, Kind
from tests.fake_time import fake_time


def event(number: int) -> Event:
    return Event(kind=Kind.HEALTH, server_id=str(number))


def drained(queue: asyncio.Queue[Event]) -> list[Event]:
    return [queue.get_nowait() for _ in range(queue.qsize())]


def test_every_listener_hears_everything_from_then_on_in_order() -> None:
    announcer = Announcer()
    announcer.announce(event(0))
    with announcer.listen() as first, announcer.listen() as second:
        announcer.announce(event(1))
        announcer.announce(event(2))
        assert drained(first) == drained(second) == [event(1), event(2)]


def test_who_stopped_listening_hears_nothing_and_costs_nothing() -> None:
    announcer = Announcer()
    with announcer.listen() as queue:
        pass
    announcer.announce(event(1))
    assert queue.empty()


def test_a_listener_that_breaks_stops_listening() -> None:
    announcer = Announcer()
    queues: list[asyncio.Queue[Event]] = []
    try:
        with announcer.listen() as queue:
            queues.append(queue)
            raise ZeroDivisionError
    except ZeroDivisionError:
        announcer.announce(event(1))
    assert queues[0].empty()


def test_a_slow_listener_is_told_that_it_lost_some_and_the_others_lose_none() -> None:
    announcer = Announcer()
    heard: list[Event] = []
    with announcer.listen() as slow, announcer.listen() as quick:
        for number in range(MAX_QUEUED_EVENTS + 5):
            announcer.announce(event(number))
            heard += drained(quick)
        assert heard == [event(number) for number in range(MAX_QUEUED_EVENTS + 5)]
        told = drained(slow)
        assert told[0] == Event(kind=Kind.OVERFLOW)
        assert told[1:] == [
            event(number) for number in range(MAX_QUEUED_EVENTS, MAX_QUEUED_EVENTS + 5)
        ]


def test_a_listener_that_is_never_served_costs_a_bounded_amount() -> None:
    announcer = Announcer()
    with announcer.listen() as stuck:
        for number in range(5 * MAX_QUEUED_EVENTS):
            announcer.announce(event(number))
        assert stuck.qsize() <= MAX_QUEUED_EVENTS
        told = drained(stuck)
        assert [e.kind for e in told].count(Kind.OVERFLOW) == 1
        assert told[-1] == event(5 * MAX_QUEUED_EVENTS - 1)


@fake_time
async def test_an_event_wakes_who_waits_for_it() -> None:
    announcer = Announcer()
    with announcer.listen() as queue:
        asyncio.get_running_loop().call_later(1, announcer.announce, event(1))
        assert await queue.get() == event(1)


def test_a_listener_may_begin_and_stop_while_events_come() -> None:
    announcer = Announcer()
    with announcer.listen() as first:
        announcer.announce(event(1))
        with announcer.listen() as second:
            announcer.announce(event(2))
        announcer.announce(event(3))
    assert drained(first) == [event(1), event(2), event(3)]
    assert drained(second) == [event(2)]


def test_the_interface_knows_these_events() -> None:
    assert {*Kind} - {Kind.WORK, Kind.NOTICE, Kind.OVERFLOW} == {
        "servers",
        "health",
        "active",
        "sessions",
    }
