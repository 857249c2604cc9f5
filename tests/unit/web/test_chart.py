"""The numbers that a page draws."""

import re
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codewalk.history.period import HOUR, MINUTE, Period
from codewalk.reason import State
from codewalk.web.chart import bar_lines, latency_chart, round_up
from tests.fakes import EPOCH

UNTIL = EPOCH + HOUR
MILLISECONDS = st.integers(0, 60_000_000).map(lambda us: us / 1000)
POINT = re.compile(r"(-?\d+\.\d) (-?\d+\.\d)")


def period(minute: int, mean: float | None, p95: float | None = None) -> Period:
    """One with this many milliseconds, from one answer."""
    if mean is None:
        return Period(begins=EPOCH + minute * MINUTE, checks=1, failures=1)
    return Period(
        begins=EPOCH + minute * MINUTE,
        checks=1,
        answers=1,
        latency_min_us=round(mean * 1000),
        latency_sum_us=round(mean * 1000),
        latency_p95_sum_us=round((p95 or mean) * 1000),
    )


def drawn(*periods: Period, width: float = 60, height: float = 100) -> tuple[str, str, float]:
    chart = latency_chart(periods, since=EPOCH, until=UNTIL, width=width, height=height)
    return chart.mean, chart.p95, chart.top_ms


def test_the_bar_is_a_line_of_dashes_for_each_state() -> None:
    well, ill, unknown = State.HEALTHY, State.UNHEALTHY, State.UNKNOWN
    assert bar_lines([], step=3) == {}
    assert bar_lines([None] * 60, step=3) == {}
    assert bar_lines([well] * 60, step=3) == {well: "M0 0h179"}
    drawn = bar_lines([*[well] * 57, ill, well, unknown], step=3)
    assert drawn == {well: "M0 0h170M174 0h2", ill: "M171 0h2", unknown: "M177 0h2"}
    assert bar_lines([None, ill, None, ill], step=3) == {ill: "M3 0h2M9 0h2"}


def test_a_line_goes_from_left_to_right_and_up_with_latency() -> None:
    mean, p95, top = drawn(period(0, 5, 10), period(1, 10), period(2, 0))
    assert top == 10
    assert mean == "M0.5 50.0L1.5 0.0L2.5 100.0"
    assert p95 == "M0.5 0.0L1.5 0.0L2.5 100.0"


def test_a_line_is_interrupted_where_there_is_no_data() -> None:
    mean, _, _ = drawn(period(0, 10), period(1, None), period(2, 10), period(10, 10))
    assert mean == "M0.5 0.0L2.5 0.0M10.5 0.0L10.5 0.0"
    patient = latency_chart(
        [period(2, 10), period(10, 10)],
        since=EPOCH,
        until=UNTIL,
        width=60,
        height=100,
        stale_after=timedelta(minutes=10),
    )
    assert patient.mean == "M2.5 0.0L10.5 0.0"


def test_without_an_answer_there_is_no_line() -> None:
    assert drawn() == ("", "", 1.0)
    assert drawn(period(0, None)) == ("", "", 1.0)


def test_what_reaches_out_of_the_time_is_on_its_edge() -> None:
    mean, _, _ = drawn(period(-2, 1), period(60, 1))
    assert mean == "M0.0 0.0L0.0 0.0M60.0 0.0L60.0 0.0"
    chart = latency_chart([period(0, 1)], since=EPOCH, until=EPOCH, width=60, height=100)
    assert chart.mean == "M60.0 0.0L60.0 0.0"


@pytest.mark.parametrize(
    ("latency", "top"), [(0, 1), (1, 1), (1.1, 2), (3.1, 5), (10, 10), (10.1, 20), (2999, 5000)]
)
def test_the_upper_edge_is_a_round_number(latency: float, top: float) -> None:
    assert round_up(latency) == top


@given(
    st.lists(
        st.tuples(st.integers(-100, 5000), st.none() | MILLISECONDS),
        max_size=50,
        unique_by=lambda point: point[0],
    ).map(sorted)
)
def test_a_line_stays_in_its_box_and_is_nothing_but_numbers(
    points: list[tuple[int, float | None]],
) -> None:
    mean, p95, top = drawn(*(period(minute, latency) for minute, latency in points))
    assert re.fullmatch(r"[ML\d. ]*", mean + p95)
    assert top >= max((latency for _, latency in points if latency is not None), default=0)
    coordinates = [(float(x), float(y)) for x, y in POINT.findall(mean)]
    assert all(0 <= x <= 60 and 0 <= y <= 100 for x, y in coordinates)
    assert [x for x, _ in coordinates] == sorted(x for x, _ in coordinates)
    assert len(coordinates) >= sum(latency is not None for _, latency in points)


def test_hours_and_minutes_make_one_line() -> None:
    hour = Period(begins=EPOCH, span=HOUR, checks=1, answers=1, latency_sum_us=1000)
    after = period(60, 1)
    chart = latency_chart(
        [hour, after], since=EPOCH, until=UNTIL + timedelta(hours=1), width=120, height=100
    )
    assert chart.mean == "M30.0 0.0L60.5 0.0"


def test_where_it_was_down_is_a_bar_from_top_to_bottom_within_the_box() -> None:
    def down(minute: int, milliseconds: int) -> Period:
        return Period(begins=EPOCH + minute * MINUTE, down_ms=milliseconds)

    chart = latency_chart(
        [down(-1, 1), down(1, 0), down(30, 1), down(59, 60_000), down(60, 1)],
        since=EPOCH,
        until=UNTIL,
        width=60,
        height=100,
    )
    bars = ["M0.0 0H0.0", "M30.0 0H31.0", "M59.0 0H60.0", "M60.0 0H60.0"]
    assert re.findall(r"M[^V]+", chart.down) == bars
    assert chart.down.endswith("V100H60.0Z")
