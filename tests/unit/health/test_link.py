"""The rules of a live link."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codewalk.health.link import (
    BEATS,
    FIRST_PAUSE,
    LONGEST_PAUSE,
    OLD_BEAT,
    SHORTEST_BEAT,
    Pulse,
    chosen,
    pause,
)
from codewalk.servers.profile import NotifySetting
from tests.fakes import profile


def after(*beats: float) -> Pulse:
    pulse = Pulse()
    for at in beats:
        pulse = pulse.beat(at)
    return pulse


def test_until_two_heartbeats_came_the_pulse_is_that_of_current_releases() -> None:
    assert Pulse().patience == after(3).patience == 25


def test_the_pulse_is_measured() -> None:
    assert after(0, 30).patience == 75
    assert after(0, 6, 12).patience == 15


def test_one_late_and_one_early_heartbeat_dont_make_impatient() -> None:
    assert after(0, 10, 24, 30).patience >= 25


def test_the_time_between_two_streams_is_no_measure() -> None:
    assert after(0, 10).reopened().beat(1000).patience == 25


def test_who_was_silent_without_being_down_is_granted_the_old_releases_pace() -> None:
    assert Pulse().silent().patience == after(0, 10).silent().patience == 75


@given(st.lists(st.floats(min_value=0, max_value=1e6), min_size=2, max_size=30))
def test_no_server_makes_us_impatient_or_patient_without_end(times: list[float]) -> None:
    assert BEATS * SHORTEST_BEAT <= after(*sorted(times)).patience <= BEATS * OLD_BEAT


def test_the_pauses_double_up_to_ten_seconds() -> None:
    pauses = [pause(failures, 0.0) for failures in range(8)]
    assert pauses == pytest.approx([0.25, 0.5, 1.0, 2.0, 4.0, 20 / 3, 20 / 3, 20 / 3])
    assert pause(7, 1.0) == pytest.approx(10)


@given(st.integers(min_value=0, max_value=10**6))
def test_chance_makes_any_pause_up_to_half_as_long_again(failures: int) -> None:
    assert pause(failures, 1.0) == pytest.approx(1.5 * pause(failures, 0.0))


@given(st.integers(min_value=0, max_value=10**6), st.floats(min_value=0, max_value=1))
def test_a_pause_is_within_its_bounds(failures: int, chance: float) -> None:
    assert FIRST_PAUSE <= pause(failures, chance) <= LONGEST_PAUSE


@given(
    st.integers(min_value=0, max_value=12),
    st.integers(min_value=1, max_value=14),
    st.integers(min_value=1, max_value=12),
)
def test_the_active_server_is_always_among_those_linked(count: int, active: int, most: int) -> None:
    listed = [profile(number) for number in range(1, count + 1)]
    links = chosen(listed, profile(active).id, most)
    assert len(links) == min(count, most)
    assert (profile(active).id in links) == (active <= count)
    others = [server_id for server_id in links if server_id != profile(active).id]
    assert others == [p.id for p in listed if p.id != profile(active).id][: len(others)]


def test_who_is_asked_for_is_linked_and_who_is_not_wanted_is_not() -> None:
    listed = [profile(number) for number in range(1, 9)]
    listed[0] = replace(listed[0], notify=NotifySetting.OFF)
    listed[2] = replace(listed[2], notify=NotifySetting.OFF)
    listed[6] = replace(listed[6], notify=NotifySetting.ON)
    listed[7] = replace(listed[7], notify=NotifySetting.ON)

    def numbers(most: int, active: int) -> list[int]:
        links = chosen(listed, listed[active].id, most)
        return [number for number, each in enumerate(listed) if each.id in links]

    assert numbers(most=4, active=1) == [1, 3, 6, 7]
    # The active one always; however many are asked for.
    assert numbers(most=1, active=0) == [0, 6, 7]
