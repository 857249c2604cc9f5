"""The counters of each server's checks."""

import pytest

from codewalk.health.counters import CheckCounters, ServerCounters
from codewalk.health.status import CheckResult, HealthStatus
from codewalk.reason import Reason, State

NEW = HealthStatus()
UP = HealthStatus(state=State.HEALTHY, reason=Reason.OK)
DOWN = HealthStatus(state=State.UNHEALTHY, reason=Reason.REFUSED)
GOOD = CheckResult(reason=Reason.OK, latency_ms=3.0)
BAD = CheckResult(reason=Reason.REFUSED)


def test_checks_transitions_and_latencies_are_counted() -> None:
    counters = CheckCounters()
    seen = ((NEW, UP, GOOD), (UP, UP, GOOD), (UP, DOWN, BAD), (DOWN, UP, GOOD))
    for before, after, result in seen:
        counters.record("a", before, before, after, result)
    # Put on hold: no check is behind that.
    counters.record("a", UP, UP, NEW, None)
    counted = counters.get("a")
    assert (counted.good, counted.failed) == (3, 1)
    assert counted.transitions == {State.HEALTHY: 2, State.UNHEALTHY: 1, State.UNKNOWN: 1}
    assert counted.latency.count == 3
    assert counted.latency.total == pytest.approx(0.009)


def test_the_counters_of_a_server_before_its_first_check_are_zero() -> None:
    counters = CheckCounters()
    counters.get("a").good = 7
    assert counters.get("a").good == 0


def test_a_removed_server_is_forgotten() -> None:
    counters = CheckCounters()
    for server_id in "ab":
        counters.record(server_id, NEW, NEW, UP, GOOD)
    counters.retain({"b"})
    assert (counters.get("a").good, counters.get("b").good) == (0, 1)


def test_the_counters_of_several_servers_can_be_added() -> None:
    counters, total = CheckCounters(), ServerCounters()
    counters.record("a", NEW, NEW, UP, GOOD)
    counters.record("b", NEW, NEW, DOWN, BAD)
    for server_id in "ab":
        total.add(counters.get(server_id))
    assert (total.good, total.failed, total.latency.count) == (1, 1, 1)
    assert total.transitions == {State.HEALTHY: 1, State.UNHEALTHY: 1}
