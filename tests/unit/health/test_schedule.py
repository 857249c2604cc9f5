"""The order of the checks, and how late they start."""

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codewalk.health.schedule import MAX_JITTER, Schedule, is_held_back, next_interval
from codewalk.health.status import RECHECK_DELAY, HealthStatus
from codewalk.health.throttle import MAX_IN_FLIGHT, MAX_RECENT, RECENT_SECONDS
from codewalk.reason import Reason, State
from tests.fakes import EPOCH


class Clock:
    """Counts the seconds in which the process is idle."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def pop_all(schedule: Schedule, now: float, *, priority: str | None = None) -> list[str]:
    """Return the servers whose checks start at `now`; the checks stay in flight."""
    ids = []
    while due := schedule.pop_due(now, priority=priority):
        due.throttle.started(object())
        ids.append(due.server_id)
    return ids


def test_checks_start_in_the_order_of_their_deadlines_and_not_before_them() -> None:
    schedule = Schedule(clock=Clock())
    for server_id, due in (("c", 3.0), ("a", 1.0), ("b", 2.0)):
        schedule.plan(server_id, due)
    assert schedule.delay(0.5) == 0.5
    assert pop_all(schedule, 0.5) == []
    assert pop_all(schedule, 2.0) == ["a", "b"]
    assert "a" not in schedule
    assert "c" in schedule
    assert schedule.delay(2.0) == 1.0


def test_a_new_deadline_replaces_the_one_before() -> None:
    schedule = Schedule(clock=Clock())
    assert schedule.plan("a", 10.0)
    assert schedule.plan("a", 1.0)
    schedule.plan("a", 5.0)
    assert pop_all(schedule, 4.0) == []
    assert pop_all(schedule, 5.0) == ["a"]
    assert pop_all(schedule, 99.0) == []
    assert schedule.delay(99.0) is None


def test_a_removed_deadline_is_skipped() -> None:
    schedule = Schedule(clock=Clock())
    schedule.plan("a", 1.0)
    schedule.plan("b", 1.0)
    schedule.remove("a")
    assert pop_all(schedule, 1.0) == ["b"]


def test_failing_servers_do_not_throttle_the_others() -> None:
    clock = Clock()
    schedule = Schedule(clock=clock)
    for number in range(3 * MAX_IN_FLIGHT):
        schedule.plan(f"slow {number}", 0.0, failing=True)
    for tenth in range(30):
        clock.seconds = tenth * RECENT_SECONDS
        pop_all(schedule, 1.0)
    assert schedule.has_waiting(1.0)
    schedule.plan("healthy", 1.0)
    assert pop_all(schedule, 1.0) == ["healthy"]
    # Only the end of a check lets another one start.
    assert schedule.delay(1.0) is None


def test_the_priority_server_is_not_throttled() -> None:
    schedule = Schedule(clock=Clock())
    for number in range(MAX_RECENT + 1):
        schedule.plan(f"{number}", 0.0)
    assert len(pop_all(schedule, 1.0)) == MAX_RECENT
    schedule.plan("active", 1.0)
    assert pop_all(schedule, 1.0, priority="active") == ["active"]
    assert pop_all(schedule, 1.0, priority="active") == []
    assert schedule.delay(1.0) == RECENT_SECONDS


def test_lateness_is_the_time_from_the_deadline_to_the_start() -> None:
    schedule = Schedule(clock=Clock())
    schedule.plan("a", 1.0)
    schedule.plan("b", 2.9995)
    schedule.plan("c", 0.0, failing=True)
    assert pop_all(schedule, 3.0) == ["a", "b", "c"]
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
def test_only_the_last_deadline_of_each_server_counts(
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
    due_now = pop_all(schedule, now)
    assert sorted(due_now) == sorted(ripe)
    assert {i for i in "abcdef" if i in schedule} == expected.keys() - set(ripe)
    left = [due for due in expected.values() if due > now]
    wait = schedule.delay(now)
    # It may wake too early for a deadline that was moved, never too late.
    assert not left or (wait is not None and wait <= min(left) - now)


HEALTHY = HealthStatus(state=State.HEALTHY, reason=Reason.OK, since=EPOCH)
DOWN = HealthStatus(state=State.UNHEALTHY, reason=Reason.REFUSED, since=EPOCH, failures=9)
SUSPECT = HealthStatus(state=State.HEALTHY, reason=Reason.OK, since=EPOCH, failures=1)


@pytest.mark.parametrize(
    ("status", "interval", "seconds", "active", "expected"),
    [
        (HEALTHY, 10, 3600, False, 10),
        (SUSPECT, 10, 3600, False, RECHECK_DELAY),
        (DOWN, 10, 119, False, 10),
        (DOWN, 10, 120, False, 30),
        (DOWN, 10, 600, False, 60),
        # Never more often than its own settings say.
        (DOWN, 300, 600, False, 300),
        (DOWN, 10, 600, True, 10),
    ],
)
def test_a_server_that_has_been_down_for_long_has_a_longer_interval(
    status: HealthStatus, interval: float, seconds: float, active: bool, expected: float
) -> None:
    now = EPOCH + timedelta(seconds=seconds)
    assert next_interval(status, interval, now=now, active=active, jitter=0.5) == expected


def test_refused_credentials_are_sent_at_most_four_times_in_five_minutes() -> None:
    refused = HealthStatus(state=State.UNHEALTHY, reason=Reason.AUTH_REJECTED, since=EPOCH)
    for jitter in (0.0, 0.5, 1.0):
        for active in (False, True):
            at, times = 0.0, [0.0]
            for number in range(1, 10):
                status = replace(refused, refusals=number)
                at += next_interval(status, 10, now=EPOCH, active=active, jitter=jitter)
                times.append(at)
            # A slow first check may send them twice.
            assert sum(time <= 300 for time in times) <= 3
            assert all(later - one >= 540 for one, later in pairwise(times[2:]))


def test_a_longer_interval_of_a_users_own_applies_to_refused_credentials_too() -> None:
    refused = HealthStatus(state=State.UNHEALTHY, reason=Reason.AUTH_REJECTED, refusals=1)
    assert next_interval(refused, 3600, now=EPOCH, active=True, jitter=0.5) == 3600


@pytest.mark.parametrize(("waited", "left"), [(0, 90), (30, 60), (90, 10), (100, 10)])
def test_a_busy_server_is_due_when_it_may_be_asked(waited: float, left: float) -> None:
    # A check that couldn't be made then leaves the status as it is: it isn't repeated at once.
    now, retry_at = EPOCH + timedelta(seconds=waited), EPOCH + timedelta(seconds=90)
    busy = HealthStatus(reason=Reason.BUSY, retry_at=retry_at)
    assert next_interval(busy, 10, now=now, active=True, jitter=0.5) == left
    assert is_held_back(busy, now) is (waited < 90)


def test_only_a_busy_server_and_refused_credentials_hold_requests_back() -> None:
    for reason in Reason:
        status = HealthStatus(reason=reason, refusals=1)
        held_back = reason in (Reason.AUTH_REJECTED, Reason.AUTH_REQUIRED)
        assert is_held_back(status, EPOCH) is held_back
        # As loaded from the store: the first check decides.
        assert not is_held_back(replace(status, refusals=0), EPOCH)


@given(st.floats(0, 1))
def test_jitter_changes_an_interval_within_its_bounds(jitter: float) -> None:
    interval = next_interval(HEALTHY, 10, now=EPOCH, active=False, jitter=jitter)
    assert 10 * (1 - MAX_JITTER) <= interval <= 10 * (1 + MAX_JITTER)
