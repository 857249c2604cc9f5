"""What counts as a time that was lost, and what is forgiven after it."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codewalk.health.status import CheckResult
from codewalk.health.suspend import LOOK_EVERY, LOST, Amnesty, Clocks
from codewalk.reason import TRANSPORT, Reason
from tests.fakes import EPOCH


def after(monotonic: float, wall: float) -> bool:
    """Whether time was lost when the clocks went on by so many seconds."""
    clocks = Clocks()
    assert not clocks.look(1000.0, EPOCH)
    lost = clocks.look(1000.0 + monotonic, EPOCH + timedelta(seconds=wall))
    # Told once.
    assert not clocks.look(1000.5 + monotonic, EPOCH + timedelta(seconds=wall + 0.5))
    return lost


@given(st.floats(0, LOOK_EVERY + LOST), st.floats(-1.9, 1.9))
def test_a_busy_loop_and_a_clock_that_is_trimmed_lose_no_time(passed: float, slew: float) -> None:
    assert not after(passed, passed + slew)


@pytest.mark.parametrize("asleep", [2.5, 60, 8 * 3600])
def test_a_sleep_that_the_monotonic_clock_does_not_count_is_noticed(asleep: float) -> None:
    assert after(0.7, 0.7 + asleep)


@pytest.mark.parametrize("asleep", [3.5, 60, 8 * 3600])
def test_a_sleep_that_both_clocks_count_is_noticed(asleep: float) -> None:
    assert after(asleep, asleep)


@pytest.mark.parametrize("jump", [-3600, -2.5, 2.5, 3600])
def test_a_clock_that_is_set_is_noticed(jump: float) -> None:
    assert after(1.0, 1.0 + jump)


def failed(reason: Reason) -> CheckResult:
    return CheckResult(reason=reason)


@pytest.mark.parametrize("reason", sorted(TRANSPORT))
def test_the_first_failure_of_each_server_counts_as_none(reason: Reason) -> None:
    amnesty = Amnesty()
    amnesty.declare(["a", "b"])
    assert amnesty.awaits("a")
    assert amnesty.pardons("a", failed(reason))
    assert amnesty.pardoned("a")
    assert not amnesty.pardons("a", failed(reason))
    assert not amnesty.pardoned("a")
    assert amnesty.pardons("b", failed(reason))
    assert not amnesty.pardons("c", failed(reason))


@pytest.mark.parametrize("reason", sorted(frozenset(Reason) - TRANSPORT))
def test_a_definite_answer_counts_and_ends_the_amnesty(reason: Reason) -> None:
    amnesty = Amnesty()
    amnesty.declare(["a"])
    assert not amnesty.pardons("a", failed(reason))
    assert not amnesty.awaits("a")
    assert not amnesty.pardons("a", failed(Reason.TIMEOUT))


def test_a_second_sleep_grants_it_anew() -> None:
    amnesty = Amnesty()
    for _ in range(2):
        amnesty.declare(["a"])
        assert not amnesty.pardoned("a")
        assert amnesty.pardons("a", failed(Reason.TIMEOUT))
    amnesty.forget("a")
    assert not amnesty.pardoned("a")
