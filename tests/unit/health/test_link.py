"""The rules of a live link."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codewalk.health.link import (
    MAX_BACKOFF,
    MAX_HEARTBEAT_INTERVAL,
    MIN_BACKOFF,
    MIN_HEARTBEAT_INTERVAL,
    TIMEOUT_HEARTBEATS,
    Heartbeats,
    backoff,
    select_linked,
)
from codewalk.servers.profile import NotifySetting
from tests.fakes import profile


def after(*beats: float) -> Heartbeats:
    pulse = Heartbeats()
    for at in beats:
        pulse = pulse.received(at)
    return pulse


def test_the_interval_of_current_releases_is_assumed_until_the_second_heartbeat() -> None:
    assert Heartbeats().timeout == after(3).timeout == 25


def test_the_heartbeat_interval_is_measured() -> None:
    assert after(0, 30).timeout == 75
    assert after(0, 6, 12).timeout == 15


def test_a_late_heartbeat_and_an_early_one_dont_shorten_the_timeout() -> None:
    assert after(0, 10, 24, 30).timeout >= 25


def test_the_time_between_two_streams_is_not_measured() -> None:
    assert after(0, 10).reconnected().received(1000).timeout == 25


def test_after_a_timeout_the_interval_of_older_releases_is_assumed() -> None:
    assert Heartbeats().timed_out().timeout == after(0, 10).timed_out().timeout == 75


@given(st.lists(st.floats(min_value=0, max_value=1e6), min_size=2, max_size=30))
def test_the_heartbeat_timeout_is_bounded(times: list[float]) -> None:
    assert (
        TIMEOUT_HEARTBEATS * MIN_HEARTBEAT_INTERVAL
        <= after(*sorted(times)).timeout
        <= TIMEOUT_HEARTBEATS * MAX_HEARTBEAT_INTERVAL
    )


def test_the_backoff_doubles_up_to_ten_seconds() -> None:
    delays = [backoff(failures, 0.0) for failures in range(8)]
    assert delays == pytest.approx([0.25, 0.5, 1.0, 2.0, 4.0, 20 / 3, 20 / 3, 20 / 3])
    assert backoff(7, 1.0) == pytest.approx(10)


@given(st.integers(min_value=0, max_value=10**6))
def test_jitter_adds_up_to_half_of_the_backoff(failures: int) -> None:
    assert backoff(failures, 1.0) == pytest.approx(1.5 * backoff(failures, 0.0))


@given(st.integers(min_value=0, max_value=10**6), st.floats(min_value=0, max_value=1))
def test_the_backoff_is_bounded(failures: int, jitter: float) -> None:
    assert MIN_BACKOFF <= backoff(failures, jitter) <= MAX_BACKOFF


@given(
    st.integers(min_value=0, max_value=12),
    st.integers(min_value=1, max_value=14),
    st.integers(min_value=1, max_value=12),
)
def test_the_active_server_is_always_linked(count: int, active: int, max_links: int) -> None:
    listed = [profile(number) for number in range(1, count + 1)]
    links = select_linked(listed, profile(active).id, max_links)
    assert len(links) == min(count, max_links)
    assert (profile(active).id in links) == (active <= count)
    others = [server_id for server_id in links if server_id != profile(active).id]
    assert others == [p.id for p in listed if p.id != profile(active).id][: len(others)]


def test_servers_with_notify_on_are_linked_and_those_with_it_off_are_not() -> None:
    listed = [profile(number) for number in range(1, 9)]
    listed[0] = replace(listed[0], notify=NotifySetting.OFF)
    listed[2] = replace(listed[2], notify=NotifySetting.OFF)
    listed[6] = replace(listed[6], notify=NotifySetting.ON)
    listed[7] = replace(listed[7], notify=NotifySetting.ON)

    def numbers(max_links: int, active: int) -> list[int]:
        links = select_linked(listed, listed[active].id, max_links)
        return [number for number, each in enumerate(listed) if each.id in links]

    assert numbers(max_links=4, active=1) == [1, 3, 6, 7]
    # The active one always; however many are asked for.
    assert numbers(max_links=1, active=0) == [0, 6, 7]
