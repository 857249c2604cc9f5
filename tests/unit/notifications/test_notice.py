"""What is worth telling of a server's health."""

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


class Telling:
    """One server over time: a status begins when it is given, and is looked at when it is due."""

    def __init__(self, snoozed_until: datetime | None = None) -> None:
        self.story = NoticeState()
        self.snoozed_until = snoozed_until
        self.told: list[tuple[float, Notice]] = []
        self._status: HealthStatus | None = None

    def be(self, status: HealthStatus, seconds: float) -> None:
        """Has this status begin at that time."""
        self.wait(seconds)
        before = self._status
        kept = before.since if before and before.state is status.state else at(seconds)
        self._status = replace(status, since=kept)
        self._look(seconds)

    def wait(self, seconds: float) -> None:
        """Lets the time come, and looks at what was due before."""
        while (due := self.story.due_at(self.snoozed_until)) and due <= at(seconds):
            self._look((due - EPOCH).total_seconds())

    def _look(self, seconds: float) -> None:
        assert self._status
        self.story, news = advance(
            self.story, ID, self._status, at(seconds), snoozed_until=self.snoozed_until
        )
        self.told += [(seconds, each) for each in news]

    @property
    def whats(self) -> list[tuple[float, NoticeKind]]:
        return [(seconds, news.kind) for seconds, news in self.told]


def test_down_is_told_after_five_seconds_of_it_and_up_at_once() -> None:
    server = Telling()
    server.be(UP, 0)
    server.be(DOWN, 10)
    server.wait(60)
    server.be(UP, 70)
    server.wait(100)
    assert server.whats == [(15, NoticeKind.DOWN), (70, NoticeKind.UP)]
    (_, down), (_, up) = server.told
    assert (down.at, down.health.reason, down.downtime) == (at(10), Reason.REFUSED, None)
    assert (up.at, up.downtime, up.server_id) == (at(70), timedelta(seconds=60), ID)


def test_a_short_absence_is_told_to_nobody() -> None:
    server = Telling()
    for start in range(0, 100, 10):
        server.be(UP, start)
        server.be(DOWN, start + 5.1)
    assert server.told == []


def test_a_server_that_was_never_up_does_not_go_down() -> None:
    server = Telling()
    server.be(DOWN, 0)
    server.wait(100)
    server.be(UP, 100)
    assert server.told == []
    server.be(DOWN, 200)
    server.wait(210)
    assert server.whats == [(205, NoticeKind.DOWN)]


def test_a_change_of_reason_is_not_told_again() -> None:
    server = Telling()
    server.be(UP, 0)
    server.be(DOWN, 10)
    server.be(replace(DOWN, reason=Reason.TIMEOUT), 12)
    server.be(replace(DOWN, reason=Reason.SERVER_ERROR), 40)
    assert server.whats == [(15, NoticeKind.DOWN)]
    assert server.told[0][1].health.reason is Reason.TIMEOUT


def test_what_is_not_known_is_no_absence() -> None:
    server = Telling()
    server.be(UP, 0)
    server.be(OFFLINE, 10)
    server.wait(1000)
    server.be(UP, 1000)
    server.be(DOWN, 1010)
    server.be(OFFLINE, 1013)
    server.wait(2000)
    assert server.told == []
    # Down when the network is back: that counts from then on.
    server.be(DOWN, 2000)
    server.wait(2100)
    assert server.whats == [(2005, NoticeKind.DOWN)]
    server.be(OFFLINE, 2200)
    server.be(UP, 2300)
    assert server.whats[1:] == [(2300, NoticeKind.UP)]


def test_a_version_is_told_the_first_time_it_is_seen() -> None:
    server = Telling()
    server.be(UP, 0)
    server.be(replace(UP, version="1.19.0"), 10)
    server.be(replace(UP, version=None), 20)
    server.be(replace(UP, version="1.19.0"), 30)
    assert server.whats == [(10, NoticeKind.VERSION)]
    news = server.told[0][1]
    assert (news.previous_version, news.health.version) == ("1.18.33", "1.19.0")


def test_what_ran_before_an_upgrade_is_known_for_a_day_and_not_after_it_was_taken_back() -> None:
    server = Telling(snoozed_until=at(1000))
    server.be(replace(UP, version="1.0.0"), 0)
    assert server.story.previous_version(at(1)) is None
    server.be(replace(UP, version="2.0.0"), 10)
    server.be(replace(DOWN, version="2.0.0"), 20)
    assert server.story.previous_version(at(20)) == "1.0.0"
    assert (
        server.story.previous_version(at(10) + UPGRADE_DISPLAY_TIME - timedelta(seconds=1))
        == "1.0.0"
    )
    assert server.story.previous_version(at(10) + UPGRADE_DISPLAY_TIME) is None
    server.be(replace(UP, version="1.0.0"), 30)
    assert server.story.previous_version(at(30)) is None


def test_two_versions_behind_one_address_are_not_told_for_ever() -> None:
    server = Telling()
    for second in range(100):
        server.be(replace(UP, version="1.19.0" if second % 2 else "1.18.33"), second)
    assert server.whats == [(1, NoticeKind.VERSION)]


def test_so_many_versions_are_remembered() -> None:
    server = Telling()
    for number in range(100):
        server.be(replace(UP, version=f"1.0.{number}"), number)
    assert len(server.told) == 99
    assert len(server.story.versions) == MAX_VERSIONS


def test_an_upgrade_while_the_app_was_closed_is_told() -> None:
    server = Telling()
    # What the store knew at the start, and what the first check finds.
    server.be(HealthStatus(version="1.18.33"), 0)
    server.be(replace(UP, version="1.19.0"), 1)
    assert server.whats == [(1, NoticeKind.VERSION)]


def test_while_it_is_snoozed_nothing_is_told_and_then_what_is_still_so() -> None:
    server = Telling(snoozed_until=at(100))
    server.be(UP, 0)
    server.be(DOWN, 10)
    server.be(UP, 50)
    server.be(replace(DOWN, version="1.19.0"), 60)
    server.wait(200)
    assert server.whats == [(100, NoticeKind.DOWN)]
    server.be(UP, 210)
    assert server.whats[1:] == [(210, NoticeKind.UP)]


def test_a_return_while_it_is_snoozed_is_never_told() -> None:
    server = Telling()
    server.be(UP, 0)
    server.be(DOWN, 10)
    server.wait(20)
    server.snoozed_until = at(100)
    server.be(UP, 50)
    server.wait(200)
    assert server.whats == [(15, NoticeKind.DOWN)]
    server.snoozed_until = None
    server.be(DOWN, 300)
    server.wait(400)
    assert server.whats[1:] == [(305, NoticeKind.DOWN)]


STATUSES = st.sampled_from(
    [UP, DOWN, OFFLINE, replace(UP, version="2"), replace(DOWN, version="3")]
)
# Of 1/64 s, whose sums are exact, as floats and in microseconds: an absence may last just as long
# as one that is told of.
SECONDS = st.integers(1, 20 * 64).map(lambda parts: parts / 64)
STEPS = st.lists(st.tuples(STATUSES, SECONDS), max_size=30)


def absences(steps: list[tuple[HealthStatus, float]]) -> list[tuple[float, float]]:
    """When it was down, from and to, after it had been up."""
    found: list[tuple[float, float]] = []
    since: float | None = None
    now, seen_up = 0.0, False
    for status, seconds in steps:
        down = status.state is State.UNHEALTHY and seen_up
        if since is not None and not down:
            found.append((since, now))
            since = None
        if down and since is None:
            since = now
        seen_up = seen_up or status.state is State.HEALTHY
        now += seconds
    return [*found, (since, now)] if since is not None else found


@given(STEPS)
def test_whatever_happens_down_and_up_take_turns_and_no_long_absence_is_missed(
    steps: list[tuple[HealthStatus, float]],
) -> None:
    server, now = Telling(), 0.0
    for status, seconds in steps:
        server.be(status, now)
        now += seconds
    server.wait(now)
    downs = [seconds for seconds, what in server.whats if what is NoticeKind.DOWN]
    turns = [what for _, what in server.whats if what is not NoticeKind.VERSION]
    assert turns == [NoticeKind.DOWN, NoticeKind.UP] * (len(turns) // 2) + [NoticeKind.DOWN] * (
        len(turns) % 2
    )
    quiet = DOWN_NOTICE_DELAY.total_seconds()
    long = [(since, to) for since, to in absences(steps) if to - since >= quiet]
    # Each was told in a long absence, five seconds after it began; and each long absence that
    # follows a return was told.
    for seconds in downs:
        assert any(since + quiet == pytest.approx(seconds) for since, _ in long)
    ups = [0.0, *(seconds for seconds, what in server.whats if what is NoticeKind.UP)]
    for since, to in long:
        told_before = any(
            down <= since and not any(down < up <= since for up in ups) for down in downs
        )
        assert told_before or any(since <= down <= to for down in downs)
    versions = [news.health.version for _, news in server.told if news.kind is NoticeKind.VERSION]
    assert len(versions) == len(set(versions))


@given(STEPS, st.floats(0, 300))
def test_nothing_is_ever_told_while_it_is_snoozed(
    steps: list[tuple[HealthStatus, float]], until: float
) -> None:
    server, now = Telling(snoozed_until=at(until)), 0.0
    for status, seconds in steps:
        server.be(status, now)
        now += seconds
    server.wait(now)
    assert all(seconds >= until - 1e-6 for seconds, _ in server.told)


@given(STEPS)
def test_a_second_look_tells_nothing(steps: list[tuple[HealthStatus, float]]) -> None:
    story, now = NoticeState(), 0.0
    for status, seconds in steps:
        dated = replace(status, since=at(now))
        story, _ = advance(story, ID, dated, at(now))
        again, news = advance(story, ID, dated, at(now))
        assert (again, news) == (story, ())
        now += seconds
