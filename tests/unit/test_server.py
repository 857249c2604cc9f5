"""The order of servers in the switcher, the fallback for a server that is down, and warnings."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codewalk.health.status import HealthStatus
from codewalk.reason import Reason, State
from codewalk.server import (
    Server,
    count_down,
    find_fallback,
    security_warning,
    sort_for_switcher,
)
from codewalk.servers.profile import NotifySetting, ServerProfile

NOW = datetime(2026, 2, 9, tzinfo=UTC)


def server(
    name: str, state: State = State.HEALTHY, *, latency: float | None = None, mark: str = ""
) -> Server:
    """A server that is `active`, `default` or `previous`, as its mark says."""
    profile = ServerProfile(id=name, url=f"http://{name}", created_at=NOW, updated_at=NOW)
    return Server(
        profile=profile,
        health=HealthStatus(state=state, reason=Reason.OK, latency_ms=latency),
        active=mark == "active",
        default=mark == "default",
        previous=mark == "previous",
    )


def test_the_previous_one_comes_after_the_active_one_whatever_its_state() -> None:
    servers = [
        server("up"),
        server("down", State.UNHEALTHY, mark="previous"),
        server("mine", mark="active"),
    ]
    assert [each.id for each in sort_for_switcher(servers)] == ["mine", "down", "up"]


def test_the_active_one_is_first_then_healthy_unknown_and_unhealthy_ones() -> None:
    servers = [
        server("down", State.UNHEALTHY),
        server("new", State.UNKNOWN),
        server("up", State.HEALTHY),
        server("also-up", State.HEALTHY),
        server("mine", State.UNHEALTHY, mark="active"),
        server("also-new", State.UNKNOWN),
    ]
    order = [each.id for each in sort_for_switcher(servers)]
    assert order == ["mine", "up", "also-up", "new", "also-new", "down"]


def test_those_that_are_down_are_counted_unless_they_are_muted() -> None:
    down = server("down", State.UNHEALTHY)
    servers = [down, server("new", State.UNKNOWN), server("up")]
    assert count_down(servers) == 1
    assert count_down([replace(down, snoozed=True)]) == 0
    off = replace(down.profile, notify=NotifySetting.OFF)
    assert count_down([replace(down, profile=off)]) == 0
    assert count_down([]) == 0


@given(st.lists(st.sampled_from(State)))
def test_servers_of_one_kind_stay_in_list_order(states: list[State]) -> None:
    servers = [server(str(number), state) for number, state in enumerate(states)]
    order = sort_for_switcher(servers)
    for state in State:
        in_list_order = [each for each in servers if each.health.state is state]
        assert [each for each in order if each.health.state is state] == in_list_order


DOWN = server("down", State.UNHEALTHY, mark="active")
SLOW, QUICK, TWIN = (
    server(n, latency=ms) for n, ms in (("slow", 9.0), ("quick", 2.0), ("twin", 2))
)
UNTIMED = server("untimed")


@pytest.mark.parametrize(
    ("servers", "expected"),
    [
        ([], None),
        ([DOWN], None),
        ([DOWN, server("new", State.UNKNOWN, mark="default")], None),
        ([DOWN, UNTIMED, SLOW, QUICK, TWIN], "quick"),
        ([TWIN, QUICK, DOWN], "twin"),
        ([UNTIMED, DOWN], "untimed"),
        ([DOWN, QUICK, server("before", latency=9.0, mark="previous")], "before"),
        ([DOWN, QUICK, server("before", State.UNHEALTHY, mark="previous")], "quick"),
        ([DOWN, server("before", mark="previous"), server("default", mark="default")], "default"),
        (
            [server("before", mark="previous"), server("default", State.UNHEALTHY, mark="default")],
            "before",
        ),
        # The active one is never its own way out.
        ([server("mine", mark="active", latency=1.0), SLOW], "slow"),
    ],
)
def test_the_fallback_is_the_default_then_the_previous_one_then_the_quickest(
    servers: list[Server], expected: str | None
) -> None:
    fallback = find_fallback(servers)
    assert (fallback and fallback.id) == expected


@pytest.mark.parametrize("version", ["0.9.9", "1.0.0", "1.0.215", "1.0.99", "1.0.216-beta.1"])
def test_a_vulnerable_release_has_a_warning_with_its_reason(version: str) -> None:
    warning = security_warning(version)
    assert warning is not None
    assert f"OpenCode {version} " in warning
    assert "CVE-2026-22812" in warning


@pytest.mark.parametrize(
    "version", ["1.0.216", "1.0.1000", "1.1.0", "1.18.33", "2.0.0", "1.1.0-beta"]
)
def test_later_releases_have_no_warning(version: str) -> None:
    assert security_warning(version) is None


@pytest.mark.parametrize("version", ["0.0.0-beta-19296", "0.0.0-dev-202609", "0.0.0"])
def test_a_build_that_is_no_release_has_no_warning(version: str) -> None:
    assert security_warning(version) is None


@pytest.mark.parametrize("version", [None, "", "local", "1.0", "٣.0.0", "1" * 50])
def test_a_version_without_three_numbers_has_no_warning(version: str | None) -> None:
    assert security_warning(version) is None
