"""Counts by the minute and hour, and the uptime that follows from them."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import reduce
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codewalk.history.period import (
    DAY,
    HOUR,
    MAX_LATENCIES_PER_MINUTE,
    MINUTE,
    Minute,
    Period,
    Uptime,
    aggregate_periods,
    compute_uptime,
    merge_periods,
    percentile_95,
)
from codewalk.reason import State

NOON = datetime(2026, 2, 9, 12, tzinfo=UTC)
NUMBER = int(NOON.timestamp()) // 60

LATENCIES = st.none() | st.integers(0, 3_000_000)
CHECKS = st.lists(st.tuples(st.booleans(), LATENCIES), max_size=20)
PERIODS = st.builds(
    Period,
    begins=st.sampled_from([NOON, NOON + MINUTE, NOON + HOUR]),
    span=st.sampled_from([MINUTE, HOUR]),
    checks=st.integers(0, 100),
    failures=st.integers(0, 100),
    answers=st.integers(0, 100),
    up_ms=st.integers(0, 60_000),
    down_ms=st.integers(0, 60_000),
    latency_min_us=LATENCIES,
    latency_sum_us=st.integers(0, 10**9),
    latency_p95_sum_us=st.integers(0, 10**9),
)


def counted(checks: Sequence[tuple[bool, int | None]]) -> Period | None:
    minute = Minute(NUMBER)
    for ok, latency in checks:
        minute.add_check(ok=ok, latency_us=latency)
    return minute.period()


def of(minutes_ago: float, *, up: float = 0, down: float = 0, span: timedelta = MINUTE) -> Period:
    """A period that begins so long before noon, with seconds known up and down."""
    begins = NOON - timedelta(minutes=minutes_ago)
    return Period(begins=begins, span=span, up_ms=round(up * 1000), down_ms=round(down * 1000))


def test_a_minute_counts_checks_failures_and_latency() -> None:
    period = counted([(True, 2000), (True, 4000), (False, None), (True, 9000)])
    assert period is not None
    assert (period.begins, period.ends) == (NOON, NOON + MINUTE)
    assert (period.checks, period.failures, period.answers) == (4, 1, 3)
    assert (period.latency_min_ms, period.latency_mean_ms, period.latency_p95_ms) == (2, 5, 9)


def test_a_minute_without_an_answer_has_no_latency() -> None:
    period = counted([(False, None)])
    assert period is not None
    assert (period.latency_min_ms, period.latency_mean_ms, period.latency_p95_ms) == (None,) * 3


def test_a_minute_without_checks_has_no_period() -> None:
    minute = Minute(NUMBER)
    minute.add_time(State.UNKNOWN, 60_000)
    assert minute.period() is None


def test_a_minute_counts_the_time_up_and_down() -> None:
    minute = Minute(NUMBER)
    for state, milliseconds in ((State.HEALTHY, 9_990), (State.UNHEALTHY, 500), (State.HEALTHY, 1)):
        minute.add_time(state, milliseconds)
    period = minute.period()
    assert period is not None
    assert (period.up_ms, period.down_ms, period.checks) == (9_991, 500, 0)


@given(CHECKS)
def test_the_counts_of_a_minute_are_exact(checks: list[tuple[bool, int | None]]) -> None:
    period = counted(checks)
    latencies = sorted(us for _, us in checks if us is not None)
    if period is None:
        assert not checks
        return
    assert period.checks == len(checks)
    assert period.failures == sum(not ok for ok, _ in checks)
    if latencies:
        assert period.latency_min_us == latencies[0]
        assert period.latency_mean_ms == pytest.approx(sum(latencies) / len(latencies) / 1000)
        assert period.latency_p95_ms == latencies[ceil(0.95 * len(latencies)) - 1] / 1000


def test_only_so_many_latencies_of_a_minute_count() -> None:
    period = counted([(True, 1000)] * MAX_LATENCIES_PER_MINUTE + [(True, 5000)] * 10)
    assert period is not None
    assert (period.checks, period.answers) == (
        MAX_LATENCIES_PER_MINUTE + 10,
        MAX_LATENCIES_PER_MINUTE,
    )
    assert period.latency_mean_ms == 1


@pytest.mark.parametrize(("count", "rank"), [(1, 1), (6, 6), (19, 19), (20, 19), (100, 95)])
def test_the_percentile_is_the_nearest_rank(count: int, rank: int) -> None:
    assert percentile_95(range(1, count + 1)) == rank


@given(st.lists(PERIODS, max_size=8).flatmap(lambda p: st.tuples(st.just(p), st.permutations(p))))
def test_the_order_of_merging_changes_nothing(orders: tuple[list[Period], list[Period]]) -> None:
    one, other = orders
    assert merge_periods(one) == merge_periods(other)


@given(st.lists(PERIODS, max_size=8))
def test_nothing_is_lost_by_merging(periods: list[Period]) -> None:
    together = merge_periods(periods)
    keys = [(period.begins, period.span) for period in together]
    assert keys == sorted(set(keys))
    for name in ("checks", "failures", "answers", "up_ms", "down_ms", "latency_sum_us"):
        assert sum(getattr(p, name) for p in together) == sum(getattr(p, name) for p in periods)
    lowest = [p.latency_min_us for p in periods if p.latency_min_us is not None]
    merged = [p.latency_min_us for p in together if p.latency_min_us is not None]
    assert min(merged, default=None) == min(lowest, default=None)


@given(st.lists(CHECKS, min_size=1, max_size=5))
def test_an_hours_percentile_lies_between_those_of_its_minutes(
    minutes: list[list[tuple[bool, int | None]]],
) -> None:
    periods = [period for checks in minutes if (period := counted(checks))]
    known = [p.latency_p95_ms for p in periods if p.latency_p95_ms is not None]
    (hour,) = merge_periods(periods) or [Period(begins=NOON)]
    if known:
        assert hour.latency_p95_ms is not None
        assert min(known) <= hour.latency_p95_ms * (1 + 1e-9)
        assert hour.latency_p95_ms <= max(known) * (1 + 1e-9)
    else:
        assert hour.latency_p95_ms is None


def test_uptime_is_a_share_of_the_monitored_time() -> None:
    result = compute_uptime([of(3, up=60), of(2, up=30, down=15), of(1, down=15)], DAY, NOON)
    assert result == Uptime(window=DAY, up=timedelta(seconds=90), down=timedelta(seconds=30))
    assert result.percent == 75
    assert result.to_json() == {"percent": 75.0, "monitored_s": 120}


def test_time_without_checks_counts_for_nothing() -> None:
    assert compute_uptime([], DAY, NOON).percent is None
    # An hour at night in which the machine slept isn't an hour down.
    assert compute_uptime([of(600, up=60), of(1, up=60)], DAY, NOON).percent == 100


def test_uptime_is_of_the_periods_in_its_window() -> None:
    periods = [of(60 * 25, down=3600, span=HOUR), of(60 * 24, up=60), of(-1, down=60)]
    assert compute_uptime(periods, DAY, NOON).percent == 100
    assert compute_uptime(periods, 7 * DAY, NOON).percent == pytest.approx(1.639)


def test_only_a_server_that_was_never_down_has_100_percent() -> None:
    hair = Uptime(window=DAY, up=DAY, down=timedelta(milliseconds=1))
    assert hair.percent == 99.999
    assert Uptime(window=DAY, up=timedelta(0), down=HOUR).percent == 0


def test_two_processes_know_no_more_time_than_the_window() -> None:
    twice = Uptime(window=DAY, up=DAY, down=DAY)
    assert twice.monitored_time == DAY
    assert twice.percent == 50


@pytest.mark.parametrize("days", [1, 7, 30])
def test_a_percentage_needs_an_hour_of_each_day(days: int) -> None:
    def monitored(up: timedelta, down: timedelta = timedelta(0)) -> Uptime:
        return Uptime(window=days * DAY, up=up, down=down)

    assert not monitored(timedelta(0)).has_enough_data
    assert not monitored(timedelta(minutes=4)).has_enough_data
    assert not monitored(days * HOUR - timedelta(milliseconds=1)).has_enough_data
    assert monitored(days * HOUR - MINUTE, down=MINUTE).has_enough_data
    assert monitored(days * DAY, down=days * DAY).has_enough_data


@given(st.lists(PERIODS))
def test_nothing_is_lost_by_aggregating(periods: list[Period]) -> None:
    steps = aggregate_periods(periods, 2 * HOUR)
    assert [step.begins for step in steps] == ([NOON] if periods else [])
    if periods:
        assert steps[0] == reduce(Period.plus, periods, Period(begins=NOON, span=2 * HOUR))


def test_aggregated_periods_begin_at_round_times_and_are_in_order() -> None:
    periods = [of(1, up=1), of(61, up=2), of(119, up=4)]
    steps = aggregate_periods(periods, HOUR)
    assert [(step.begins, step.ends, step.up_ms) for step in steps] == [
        (NOON - 2 * HOUR, NOON - HOUR, 6000),
        (NOON - HOUR, NOON, 1000),
    ]
