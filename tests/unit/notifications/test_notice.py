"""Which changes of a server's health cause a notice."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codewalk.health.status import HealthStatus
from codewalk.notifications.notice import (
    DOWN_NOTICE_DELAY,
    MAX_VERSIONS,
    UPGRADE_DISPLAY_TIME,
    Notice,
    NoticeKind,
    NoticeState,
    advance,
)
from codewalk.reason import Reason, State
from tests.fakes import EPOCH

UP = HealthStatus(state=State.HEALTHY, reason=Reason.OK, version="1.18.33")
DOWN = HealthStatus(state=State.UNHEALTHY, reason=Reason.REFUSED, version="1.18.33")
OFFLINE = HealthStatus(state=State.UNKNOWN, reason=Reason.OFFLINE, version="1.18.33")
ID = "server"


def at(seconds: float) -> datetime:
    return EPOCH + timedelta(seconds=seconds)


class Observed:
    """One server over time: a status begins when it is set, and is looked at again when due."""

    def __init__(self, snoozed_until: datetime | None = None) -> None:
        self.state = NoticeState()
        self.snoozed_until = snoozed_until
        self.notices: list[tuple[float, Notice]] = []
        self._status: HealthStatus | None = None

    def set_status(self, status: HealthStatus, seconds: float) -> None:
        """Let this status begin at that time."""
        self.wait(seconds)
        before = self._status
        since = before.since if before and before.state is status.state else at(seconds)
        self._status = replace(status, since=since)
        self._advance(seconds)

    def wait(self, seconds: float) -> None:
        """Let the time pass until then, and advance at each time that is due before."""
        while (due := self.state.due_at(self.snoozed_until)) and due <= at(seconds):
            self._advance((due - EPOCH).total_seconds())

    def _advance(self, seconds: float) -> None:
        assert self._status
        self.state, notices = advance(
            self.state, ID, self._status, at(seconds), snoozed_until=self.snoozed_until
        )
        self.notices += [(seconds, notice) for notice in notices]

    @property
    def kinds(self) -> list[tuple[float, NoticeKind]]:
        return [(seconds, notice.kind) for seconds, notice in self.notices]


def test_down_is_reported_after_five_seconds_and_up_at_once() -> None:
    server = Observed()
    server.set_status(UP, 0)
    server.set_status(DOWN, 10)
    server.wait(60)
    server.set_status(UP, 70)
    server.wait(100)
    assert server.kinds == [(15, NoticeKind.DOWN), (70, NoticeKind.UP)]
    (_, down), (_, up) = server.notices
    assert (down.at, down.health.reason, down.downtime) == (at(10), Reason.REFUSED, None)
    assert (up.at, up.downtime, up.server_id) == (at(70), timedelta(seconds=60), ID)


def test_a_short_outage_causes_no_notice() -> None:
    server = Observed()
    for start in range(0, 100, 10):
        server.set_status(UP, start)
        server.set_status(DOWN, start + 5.1)
    assert server.notices == []


def test_a_server_that_was_never_healthy_does_not_go_down() -> None:
    server = Observed()
    server.set_status(DOWN, 0)
    server.wait(100)
    server.set_status(UP, 100)
    assert server.notices == []
    server.set_status(DOWN, 200)
    server.wait(210)
    assert server.kinds == [(205, NoticeKind.DOWN)]


def test_another_reason_causes_no_second_notice() -> None:
    server = Observed()
    server.set_status(UP, 0)
    server.set_status(DOWN, 10)
    server.set_status(replace(DOWN, reason=Reason.TIMEOUT), 12)
    server.set_status(replace(DOWN, reason=Reason.SERVER_ERROR), 40)
    assert server.kinds == [(15, NoticeKind.DOWN)]
    assert server.notices[0][1].health.reason is Reason.TIMEOUT


def test_unknown_does_not_count_as_down() -> None:
    server = Observed()
    server.set_status(UP, 0)
    server.set_status(OFFLINE, 10)
    server.wait(1000)
    server.set_status(UP, 1000)
    server.set_status(DOWN, 1010)
    server.set_status(OFFLINE, 1013)
    server.wait(2000)
    assert server.notices == []
    # Down when the network is back: that counts from then on.
    server.set_status(DOWN, 2000)
    server.wait(2100)
    assert server.kinds == [(2005, NoticeKind.DOWN)]
    server.set_status(OFFLINE, 2200)
    server.set_status(UP, 2300)
    assert server.kinds[1:] == [(2300, NoticeKind.UP)]


def test_a_version_is_reported_the_first_time_it_is_seen() -> None:
    server = Observed()
    server.set_status(UP, 0)
    server.set_status(replace(UP, version="1.19.0"), 10)
    server.set_status(replace(UP, version=None), 20)
    server.set_status(replace(UP, version="1.19.0"), 30)
    assert server.kinds == [(10, NoticeKind.VERSION)]
    notice = server.notices[0][1]
    assert (notice.previous_version, notice.health.version) == ("1.18.33", "1.19.0")


def test_the_previous_version_is_known_for_a_day_unless_the_upgrade_is_undone() -> None:
    server = Observed(snoozed_until=at(1000))
    server.set_status(replace(UP, version="1.0.0"), 0)
    assert server.state.previous_version(at(1)) is None
    server.set_status(replace(UP, version="2.0.0"), 10)
    server.set_status(replace(DOWN, version="2.0.0"), 20)
    assert server.state.previous_version(at(20)) == "1.0.0"
    assert (
        server.state.previous_version(at(10) + UPGRADE_DISPLAY_TIME - timedelta(seconds=1))
        == "1.0.0"
    )
    assert server.state.previous_version(at(10) + UPGRADE_DISPLAY_TIME) is None
    server.set_status(replace(UP, version="1.0.0"), 30)
    assert server.state.previous_version(at(30)) is None


def test_two_versions_that_take_turns_behind_one_url_are_reported_once() -> None:
    server = Observed()
    for second in range(100):
        server.set_status(replace(UP, version="1.19.0" if second % 2 else "1.18.33"), second)
    assert server.kinds == [(1, NoticeKind.VERSION)]


def test_only_so_many_versions_are_remembered() -> None:
    server = Observed()
    for number in range(100):
        server.set_status(replace(UP, version=f"1.0.{number}"), number)
    assert len(server.notices) == 99
    assert len(server.state.versions) == MAX_VERSIONS


def test_an_upgrade_while_the_app_was_closed_is_reported() -> None:
    server = Observed()
    # What was stored before the start, and what the first check returns.
    server.set_status(HealthStatus(version="1.18.33"), 0)
    server.set_status(replace(UP, version="1.19.0"), 1)
    assert server.kinds == [(1, NoticeKind.VERSION)]


def test_after_a_snooze_a_server_that_is_still_down_is_reported() -> None:
    server = Observed(snoozed_until=at(100))
    server.set_status(UP, 0)
    server.set_status(DOWN, 10)
    server.set_status(UP, 50)
    server.set_status(replace(DOWN, version="1.19.0"), 60)
    server.wait(200)
    assert server.kinds == [(100, NoticeKind.DOWN)]
    server.set_status(UP, 210)
    assert server.kinds[1:] == [(210, NoticeKind.UP)]


def test_a_return_during_a_snooze_is_never_reported() -> None:
    server = Observed()
    server.set_status(UP, 0)
    server.set_status(DOWN, 10)
    server.wait(20)
    server.snoozed_until = at(100)
    server.set_status(UP, 50)
    server.wait(200)
    assert server.kinds == [(15, NoticeKind.DOWN)]
    server.snoozed_until = None
    server.set_status(DOWN, 300)
    server.wait(400)
    assert server.kinds[1:] == [(305, NoticeKind.DOWN)]


STATUSES = st.sampled_from(
    [UP, DOWN, OFFLINE, replace(UP, version="2"), replace(DOWN, version="3")]
)
# Of 1/64 s, whose sums are exact, as floats and in microseconds: an outage may last exactly as long
# as the delay of its notice.
SECONDS = st.integers(1, 20 * 64).map(lambda parts: parts / 64)
STEPS = st.lists(st.tuples(STATUSES, SECONDS), max_size=30)


def outages(steps: list[tuple[HealthStatus, float]]) -> list[tuple[float, float]]:
    """Return when the server was down, from and to, after it had been healthy."""
    periods: list[tuple[float, float]] = []
    since: float | None = None
    now, was_healthy = 0.0, False
    for status, seconds in steps:
        down = status.state is State.UNHEALTHY and was_healthy
        if since is not None and not down:
            periods.append((since, now))
            since = None
        if down and since is None:
            since = now
        was_healthy = was_healthy or status.state is State.HEALTHY
        now += seconds
    return [*periods, (since, now)] if since is not None else periods


@given(STEPS)
def test_down_and_up_alternate_and_no_long_outage_is_missed(
    steps: list[tuple[HealthStatus, float]],
) -> None:
    server, now = Observed(), 0.0
    for status, seconds in steps:
        server.set_status(status, now)
        now += seconds
    server.wait(now)
    downs = [seconds for seconds, kind in server.kinds if kind is NoticeKind.DOWN]
    turns = [kind for _, kind in server.kinds if kind is not NoticeKind.VERSION]
    assert turns == [NoticeKind.DOWN, NoticeKind.UP] * (len(turns) // 2) + [NoticeKind.DOWN] * (
        len(turns) % 2
    )
    delay = DOWN_NOTICE_DELAY.total_seconds()
    long = [(since, to) for since, to in outages(steps) if to - since >= delay]
    # Each notice came five seconds after a long outage began, and each long outage that followed a
    # return caused one.
    for seconds in downs:
        assert any(since + delay == pytest.approx(seconds) for since, _ in long)
    ups = [0.0, *(seconds for seconds, kind in server.kinds if kind is NoticeKind.UP)]
    for since, to in long:
        reported_before = any(
            down <= since and not any(down < up <= since for up in ups) for down in downs
        )
        assert reported_before or any(since <= down <= to for down in downs)
    versions = [
        notice.health.version for _, notice in server.notices if notice.kind is NoticeKind.VERSION
    ]
    assert len(versions) == len(set(versions))


@given(STEPS, st.floats(0, 300))
def test_there_is_no_notice_during_a_snooze(
    steps: list[tuple[HealthStatus, float]], until: float
) -> None:
    server, now = Observed(snoozed_until=at(until)), 0.0
    for status, seconds in steps:
        server.set_status(status, now)
        now += seconds
    server.wait(now)
    assert all(seconds >= until - 1e-6 for seconds, _ in server.notices)


@given(STEPS)
def test_advancing_again_with_the_same_status_changes_nothing(
    steps: list[tuple[HealthStatus, float]],
) -> None:
    state, now = NoticeState(), 0.0
    for status, seconds in steps:
        dated = replace(status, since=at(now))
        state, _ = advance(state, ID, dated, at(now))
        again, notices = advance(state, ID, dated, at(now))
        assert (again, notices) == (state, ())
        now += seconds
