"""The bar of recent checks: equal slots of time."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codewalk.history.check_bar import SLOTS, CheckBar, build_check_bar, mark_check
from codewalk.history.history import Check
from codewalk.history.period import EPOCH as YEAR_1970
from codewalk.reason import Reason, State
from codewalk.servers.health_check import HealthCheckSettings

NOW = datetime(2026, 2, 9, 21, 0, 0, tzinfo=UTC)
"""A multiple of every interval here, so that the current slot has just begun."""

MARKS = {State.HEALTHY: "+", State.UNHEALTHY: "x", State.UNKNOWN: "?", None: "."}


def check(ago: float, reason: Reason = Reason.OK, *, now: datetime = NOW) -> Check:
    return Check(at=now - timedelta(seconds=ago), reason=reason)


def every(seconds: float, *, since: float, until: float, reason: Reason = Reason.OK) -> list[Check]:
    """Checks from `since` seconds ago on, before `until` seconds ago."""
    count = -(-(since - until) // seconds)
    return [check(since - number * seconds, reason) for number in range(int(count))]


def bar_of(checks: Sequence[Check], *, interval: float = 10, now: datetime = NOW) -> CheckBar:
    marks = [mark_check(one) for one in checks]
    return build_check_bar(marks, HealthCheckSettings(interval=interval), now)


def drawn(bar: CheckBar) -> str:
    return "".join(MARKS[state] for state in bar.states)


def test_an_outage_is_as_long_in_the_bar_as_it_was_in_time() -> None:
    # 53 seconds in ten minutes, in which the server was checked each 0.75 s.
    down = every(0.75, since=300, until=247, reason=Reason.REFUSED)
    bar = bar_of([*every(10, since=600, until=300), *down, *every(10, since=247, until=0)])
    assert bar.states.count(State.UNHEALTHY) == 6
    assert bar.states.count(State.HEALTHY) == SLOTS - 6
    assert bar.down == timedelta(seconds=53)
    assert bar.summary == "down for 53 s"


@pytest.mark.parametrize(
    ("interval", "span"), [(1, "1 min"), (10, "10 min"), (60, "1 h"), (3600, "2 days 12 h")]
)
def test_a_slot_is_as_long_as_the_interval(interval: float, span: str) -> None:
    checks = every(interval, since=60 * interval, until=0)
    failed = check(30 * interval, Reason.TIMEOUT)
    bar = bar_of([*checks[:30], failed, *checks[31:]], interval=interval)
    assert bar.span == span
    assert bar.slot == timedelta(seconds=interval)
    # One slot is the current one, which goes on from the last check.
    assert drawn(bar) == "+" * 29 + "x" + "+" * 30
    assert bar.down == timedelta(seconds=interval)


def test_a_state_goes_on_in_slots_without_a_check_while_it_is_valid() -> None:
    assert drawn(bar_of([check(599)])) == "+" * 18 + "." * 42  # up to three minutes after it
    assert drawn(bar_of([check(35), check(25, Reason.REFUSED)])) == "." * 55 + "+xxxx"
    # It is checked rarely, so what it answered is valid for longer.
    assert drawn(bar_of([check(599, Reason.AUTH_REJECTED)])) == "x" * 60
    # Three intervals where those are longer.
    assert drawn(bar_of([check(3700)], interval=600)) == "." * 52 + "++++" + "." * 4


def test_a_check_in_a_slot_wins_over_an_earlier_state_and_the_worst_one_over_the_others() -> None:
    assert drawn(bar_of([check(15, Reason.REFUSED), check(9)])) == "." * 57 + "x++"
    # A lost packet is seen, though a good check followed at once.
    lost = [check(19), check(15, Reason.TIMEOUT), check(14.5)]
    assert drawn(bar_of(lost)) == "." * 57 + "x++"
    assert drawn(bar_of([check(15), check(12, Reason.OFFLINE)])) == "." * 57 + "???"
    both = [check(15, Reason.OFFLINE), check(12, Reason.REFUSED), check(11)]
    assert drawn(bar_of(both)) == "." * 57 + "x++"


def test_a_check_stays_in_its_slot_while_time_goes_on() -> None:
    failed = [check(100), check(95, Reason.REFUSED), check(85)]
    places = {
        drawn(bar_of(failed, now=NOW + timedelta(seconds=seconds))).index("x")
        for seconds in (0, 3, 6, 9.9)
    }
    assert len(places) == 1
    assert drawn(bar_of(failed, now=NOW + timedelta(seconds=10))).index("x") == places.pop() - 1


def test_slots_name_the_check_that_gives_their_state() -> None:
    checks = [check(31), check(25, Reason.REFUSED), check(24, Reason.TIMEOUT), check(5)]
    *gaps, before, worst, continued, last = bar_of(checks).slots(checks)[:-1]
    assert {slot.check for slot in gaps} == {None}
    assert [slot.begins for slot in (before, worst)] == [
        NOW - timedelta(seconds=40),
        NOW - timedelta(seconds=30),
    ]
    assert (before.check, before.is_continued) == (checks[0], False)
    assert (worst.check, worst.is_continued) == (checks[1], False)
    assert (continued.check, continued.is_continued) == (checks[2], True)
    assert (last.check, last.is_continued) == (checks[3], False)


@pytest.mark.parametrize(
    ("checks", "summary"),
    [
        ([], "not checked"),
        ([check(3600)], "not checked"),
        ([check(20, Reason.OFFLINE), check(9, Reason.OFFLINE)], "unknown"),
        (every(10, since=600, until=0), "never down"),
        ([check(120)], "never down, unknown for 7 min 50 s"),
        ([check(120, Reason.TLS)], "down for 2 min, unknown for 7 min 50 s"),
        (
            [*every(10, since=600, until=10), check(10, Reason.DNS), check(9.5)],
            "down for under 1 s",
        ),
    ],
)
def test_the_summary_is_the_bar_in_words(checks: list[Check], summary: str) -> None:
    assert bar_of(checks).summary == summary


def test_checks_out_of_the_bar_are_left_out() -> None:
    ahead = check(-3600, Reason.REFUSED)  # a clock was wrong
    assert drawn(bar_of([check(5), ahead])) == "." * 58 + "++"
    assert bar_of([check(5), ahead]).up == timedelta(seconds=5)
    long_ago = check(1e9, Reason.REFUSED)
    assert drawn(bar_of([long_ago, check(5)])) == "." * 58 + "++"


def test_checks_out_of_order_give_a_bar_all_the_same() -> None:
    set_back = [check(50), check(20), check(40, Reason.REFUSED), check(10)]
    bar = bar_of(set_back)
    assert len(bar.states) == SLOTS
    assert min(bar.up, bar.down) >= timedelta(0)


@given(
    st.lists(
        st.tuples(st.floats(-100, 10_000), st.sampled_from(Reason)).map(lambda one: check(*one)),
        max_size=100,
    ),
    st.floats(1, 3600),
    st.floats(0, 100).map(lambda seconds: NOW + timedelta(seconds=seconds)),
)
def test_any_checks_give_sixty_slots_up_to_now(
    checks: list[Check], interval: float, now: datetime
) -> None:
    checks.sort(key=lambda one: one.at)
    bar = bar_of(checks, interval=interval, now=now)
    slots = bar.slots(checks)
    assert len(slots) == SLOTS
    assert slots[-1].begins <= now < slots[-1].begins + bar.slot
    assert [slot.check.state if slot.check else None for slot in slots] == list(bar.states)
    for slot in slots:
        assert slot.check is None or slot.check.at < slot.begins + bar.slot
    assert min(bar.up, bar.down, bar.unknown) >= timedelta(0)
    total = now - slots[0].begins
    assert abs(bar.up + bar.down + bar.unknown - total) < timedelta(milliseconds=2)
    assert bar.begins >= YEAR_1970
