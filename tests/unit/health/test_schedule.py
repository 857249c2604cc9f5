"""Whose check starts when."""

from math import inf

from hypothesis import given
from hypothesis import strategies as st

from codewalk.health.histogram import Histogram
from codewalk.health.schedule import Schedule
from codewalk.health.throttle import MAX_IN_FLIGHT, MAX_RECENT, RECENT_SECONDS


class Clock:
    """Counts the seconds in which the process has nothing to do."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def taken(schedule: Schedule, now: float, *, priority: str | None = None) -> list[str]:
    """Everybody whose check starts at `now`; the checks stay under way."""
    ids = []
    while turn := schedule.pop_due(now, priority=priority):
        turn.throttle.started(object())
        ids.append(turn.server_id)
    return ids


def test_checks_start_in_the_order_of_their_deadlines_and_not_before_them() -> None:
    schedule = Schedule(clock=Clock())
    for server_id, due in (("c", 3.0), ("a", 1.0), ("b", 2.0)):
        schedule.plan(server_id, due)
    assert schedule.delay(0.5) == 0.5
    assert taken(schedule, 0.5) == []
    assert taken(schedule, 2.0) == ["a", "b"]
    assert "a" not in schedule
    assert "c" in schedule
    assert schedule.delay(2.0) == 1.0


def test_a_new_deadline_takes_the_place_of_the_one_before() -> None:
    schedule = Schedule(clock=Clock())
    assert schedule.plan("a", 10.0)
    assert schedule.plan("a", 1.0)
    schedule.plan("a", 5.0)
    assert taken(schedule, 4.0) == []
    assert taken(schedule, 5.0) == ["a"]
    assert taken(schedule, 99.0) == []
    assert schedule.delay(99.0) is None


def test_a_server_without_a_deadline_is_passed_over() -> None:
    schedule = Schedule(clock=Clock())
    schedule.plan("a", 1.0)
    schedule.plan("b", 1.0)
    schedule.remove("a")
    assert taken(schedule, 1.0) == ["b"]


def test_failing_servers_take_no_place_from_the_others() -> None:
    clock = Clock()
    schedule = Schedule(clock=clock)
    for number in range(3 * MAX_IN_FLIGHT):
        schedule.plan(f"hole {number}", 0.0, failing=True)
    for tenth in range(30):
        clock.seconds = tenth * RECENT_SECONDS
        taken(schedule, 1.0)
    assert schedule.has_waiting(1.0)
    schedule.plan("well", 1.0)
    assert taken(schedule, 1.0) == ["well"]
    # Nothing but the end of a check helps those that wait.
    assert schedule.delay(1.0) is None


def test_the_first_one_waits_for_no_place() -> None:
    schedule = Schedule(clock=Clock())
    for number in range(MAX_RECENT + 1):
        schedule.plan(f"{number}", 0.0)
    assert len(taken(schedule, 1.0)) == MAX_RECENT
    schedule.plan("active", 1.0)
    assert taken(schedule, 1.0, priority="active") == ["active"]
    assert taken(schedule, 1.0, priority="active") == []
    assert schedule.delay(1.0) == RECENT_SECONDS


def test_lateness_is_the_time_from_the_deadline_to_the_start() -> None:
    schedule = Schedule(clock=Clock())
    schedule.plan("a", 1.0)
    schedule.plan("b", 2.9995)
    schedule.plan("c", 0.0, failing=True)
    assert taken(schedule, 3.0) == ["a", "b", "c"]
    passing, failing = schedule.lateness
    assert (passing.count, passing.total) == (2, 2.0005)
    assert (failing.count, failing.total) == (1, 3.0)
    up_to = dict(zip((*passing.bounds, inf), passing.cumulative(), strict=True))
    assert (up_to[0.001], up_to[1.0], up_to[2.5], up_to[inf]) == (1, 1, 2, 2)


@given(
    st.lists(
        st.tuples(
            st.sampled_from("abcdef"), st.sampled_from(["plan", "slow", "drop"]), st.integers(0, 9)
        ),
        max_size=40,
    ),
    st.integers(0, 9),
)
def test_whatever_was_planned_and_dropped_just_the_last_deadlines_count(
    steps: list[tuple[str, str, int]], now: int
) -> None:
    schedule = Schedule(clock=Clock())
    expected: dict[str, int] = {}
    for server_id, step, due in steps:
        if step == "drop":
            schedule.remove(server_id)
            expected.pop(server_id, None)
        else:
            schedule.plan(server_id, due, failing=step == "slow")
            expected[server_id] = due
    ripe = [server_id for server_id, due in expected.items() if due <= now]
    found = taken(schedule, now)
    assert sorted(found) == sorted(ripe)
    assert {i for i in "abcdef" if i in schedule} == expected.keys() - set(ripe)
    left = [due for due in expected.values() if due > now]
    wait = schedule.delay(now)
    # It may wake too early for a deadline that was moved, never too late.
    assert not left or (wait is not None and wait <= min(left) - now)


def test_a_histogram_counts_what_is_up_to_each_bound() -> None:
    histogram = Histogram((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 7.0):
        histogram.add(value)
    assert histogram.counts == [2, 1, 1]
    assert histogram.cumulative() == [2, 3, 4]
    assert (histogram.count, histogram.total) == (4, 10.0)
