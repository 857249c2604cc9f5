"""The detection of a suspend, and the grace period after it."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codewalk.health.status import CheckResult
from codewalk.health.suspend import (
    CLOCK_CHECK_INTERVAL,
    SUSPEND_THRESHOLD,
    GracePeriod,
    SuspendDetector,
)
from codewalk.reason import TRANSPORT_FAILURES, Reason
from tests.fakes import EPOCH


def detects(monotonic: float, wall: float) -> bool:
    """Return whether a suspend is detected after both clocks went on so far."""
    detector = SuspendDetector()
    assert not detector.detect(1000.0, EPOCH)
    detected = detector.detect(1000.0 + monotonic, EPOCH + timedelta(seconds=wall))
    # Reported once.
    assert not detector.detect(1000.5 + monotonic, EPOCH + timedelta(seconds=wall + 0.5))
    return detected


@given(st.floats(0, CLOCK_CHECK_INTERVAL + SUSPEND_THRESHOLD), st.floats(-1.9, 1.9))
def test_a_busy_loop_and_a_slewed_clock_are_no_suspend(passed: float, slew: float) -> None:
    assert not detects(passed, passed + slew)


@pytest.mark.parametrize("asleep", [2.5, 60, 8 * 3600])
def test_a_sleep_that_the_monotonic_clock_does_not_count_is_detected(asleep: float) -> None:
    assert detects(0.7, 0.7 + asleep)


@pytest.mark.parametrize("asleep", [3.5, 60, 8 * 3600])
def test_a_sleep_that_both_clocks_count_is_detected(asleep: float) -> None:
    assert detects(asleep, asleep)


@pytest.mark.parametrize("jump", [-3600, -2.5, 2.5, 3600])
def test_a_clock_that_is_set_is_detected(jump: float) -> None:
    assert detects(1.0, 1.0 + jump)


def failed(reason: Reason) -> CheckResult:
    return CheckResult(reason=reason)


@pytest.mark.parametrize("reason", sorted(TRANSPORT_FAILURES))
def test_the_first_failure_of_each_server_is_ignored(reason: Reason) -> None:
    grace = GracePeriod()
    grace.begin(["a", "b"])
    assert grace.covers("a")
    assert grace.excuses("a", failed(reason))
    assert grace.excused("a")
    assert not grace.excuses("a", failed(reason))
    assert not grace.excused("a")
    assert grace.excuses("b", failed(reason))
    assert not grace.excuses("c", failed(reason))


@pytest.mark.parametrize("reason", sorted(frozenset(Reason) - TRANSPORT_FAILURES))
def test_an_http_response_counts_and_ends_the_grace_period(reason: Reason) -> None:
    grace = GracePeriod()
    grace.begin(["a"])
    assert not grace.excuses("a", failed(reason))
    assert not grace.covers("a")
    assert not grace.excuses("a", failed(Reason.TIMEOUT))


def test_a_second_suspend_begins_a_new_grace_period() -> None:
    grace = GracePeriod()
    for _ in range(2):
        grace.begin(["a"])
        assert not grace.excused("a")
        assert grace.excuses("a", failed(Reason.TIMEOUT))
    grace.forget("a")
    assert not grace.excused("a")
