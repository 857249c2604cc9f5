"""Minutes that are over a day old, packed by the hour."""

from dataclasses import replace
from datetime import timedelta
from zlib import compress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codewalk.history.packing import pack_minutes, unpack_minutes
from codewalk.history.period import MINUTE, Period
from tests.fakes import EPOCH

HOUR_BEGINS = EPOCH.replace(minute=0, second=0, microsecond=0)


@st.composite
def minutes(draw: st.DrawFn) -> Period:
    answers = draw(st.integers(0, 600))
    lowest, mean, p95 = (draw(st.integers(0, 10**8)) for _ in range(3))
    return Period(
        begins=HOUR_BEGINS + draw(st.integers(0, 59)) * MINUTE,
        checks=draw(st.integers(0, 10**6)),
        failures=draw(st.integers(0, 10**6)),
        answers=answers,
        up_ms=draw(st.integers(0, 10**6)),
        down_ms=draw(st.integers(0, 10**6)),
        latency_min_us=lowest if answers else None,
        latency_sum_us=mean * answers,
        latency_p95_sum_us=p95 * answers,
    )


@given(st.lists(minutes(), min_size=1, max_size=60, unique_by=lambda minute: minute.begins))
def test_unpacked_minutes_have_the_same_json(hour: list[Period]) -> None:
    unpacked_hour = unpack_minutes(pack_minutes(hour), HOUR_BEGINS)
    assert [period.begins for period in unpacked_hour] == [period.begins for period in hour]
    for period, before in zip(unpacked_hour, hour, strict=True):
        assert (period.checks, period.failures) == (before.checks, before.failures)
        assert period.answers == before.answers
        for name in ("latency_min_ms", "latency_mean_ms", "latency_p95_ms"):
            unpacked, packed = getattr(period, name), getattr(before, name)
            # To a tenth of a millisecond, as in JSON.
            assert unpacked == (None if packed is None else pytest.approx(packed, abs=0.0501))
        assert (period.up_ms, period.down_ms) == (0, before.down_ms)


@given(st.lists(minutes(), min_size=1, max_size=60, unique_by=lambda minute: minute.begins))
def test_packing_again_changes_nothing(hour: list[Period]) -> None:
    once = unpack_minutes(pack_minutes(hour), HOUR_BEGINS)
    assert unpack_minutes(pack_minutes(once), HOUR_BEGINS) == once


def test_an_hour_of_a_healthy_server_takes_a_few_hundred_bytes() -> None:
    hour = [
        Period(
            begins=HOUR_BEGINS + number * MINUTE,
            checks=6,
            answers=6,
            latency_min_us=2_000 + 37 * number % 900,
            latency_sum_us=6 * (3_000 + 91 * number % 1_700),
            latency_p95_sum_us=6 * (4_000 + 173 * number % 2_500),
        )
        for number in range(60)
    ]
    assert len(pack_minutes(hour)) < 400


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b"x",
        pack_minutes([Period(begins=HOUR_BEGINS, checks=1)])[:-9],
        pack_minutes([Period(begins=HOUR_BEGINS, checks=1)])[::-1],
        *(
            compress(text)
            for text in (
                b"{}",
                b"7",
                b"[[1],[2]]",
                b"[[1000000000000],[1],[0],[0],[0],[0],[0],[0]]",
                b'[[1],["x"],[0],[1],[0],["y"],[0],[0]]',
                b"[[1],[null],[0],[1],[0],[0],[0],[0]]",
            )
        ),
    ],
)
def test_damaged_bytes_give_no_minutes(damaged: bytes) -> None:
    assert unpack_minutes(damaged, HOUR_BEGINS) == []


def test_bytes_that_unpack_to_too_much_give_no_minutes() -> None:
    hour = [
        replace(Period(begins=HOUR_BEGINS), checks=number, failures=10**6)
        for number in range(9_000)
    ]
    assert unpack_minutes(pack_minutes(hour), HOUR_BEGINS) == []


def test_the_last_minute_of_an_hour_keeps_its_time() -> None:
    late = Period(begins=HOUR_BEGINS + timedelta(minutes=59), checks=1)
    assert unpack_minutes(pack_minutes([late]), HOUR_BEGINS) == [late]
