"""The last checks, packed."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from codewalk.history.check_bar import mark_check
from codewalk.history.history import MAX_RECENT_CHECKS, Check
from codewalk.history.period import EPOCH as YEAR_1970
from codewalk.history.recent_checks import (
    PACKED_CHECK_BYTES,
    REASON_CODES,
    RecentChecks,
    unpack_checks,
)
from codewalk.reason import Reason

CHECKS = st.lists(
    st.builds(
        Check,
        at=st.integers(0, 4 * 10**12).map(lambda ms: YEAR_1970 + timedelta(milliseconds=ms)),
        reason=st.sampled_from(Reason),
        latency_ms=st.none() | st.integers(0, 60_000_000).map(lambda us: us / 1000),
    ),
    max_size=2 * MAX_RECENT_CHECKS + 5,
)


def add(recent: RecentChecks, *checks: Check) -> None:
    for check in checks:
        latency = None if check.latency_ms is None else round(check.latency_ms * 1000)
        recent.add((check.at - YEAR_1970) // timedelta(milliseconds=1), check.reason, latency)


@given(CHECKS, CHECKS)
def test_it_holds_the_last_checks_whatever_it_began_with(
    before: list[Check], then: list[Check]
) -> None:
    first = RecentChecks()
    add(first, *before)
    second = RecentChecks(first.take_unsaved())
    assert second.checks() == before[-MAX_RECENT_CHECKS:]
    add(second, *then)
    assert second.checks() == [*before, *then][-MAX_RECENT_CHECKS:]


@given(st.lists(CHECKS, max_size=4))
def test_only_new_checks_are_taken_to_be_saved(rounds: list[list[Check]]) -> None:
    recent = RecentChecks()
    for checks in rounds:
        add(recent, *checks)
        assert unpack_checks(recent.take_unsaved()) == checks[-MAX_RECENT_CHECKS:]
        assert recent.take_unsaved() == b""


def test_a_failure_repeats_an_earlier_one_with_its_reason_soon_after_it() -> None:
    recent = RecentChecks()
    assert not recent.repeats(1000, Reason.REFUSED, within_ms=9000)
    recent.add(1000, Reason.REFUSED, None)
    assert recent.repeats(1000, Reason.REFUSED, within_ms=9000)
    assert recent.repeats(9999, Reason.REFUSED, within_ms=9000)
    assert not recent.repeats(10_000, Reason.REFUSED, within_ms=9000)
    assert not recent.repeats(2000, Reason.TIMEOUT, within_ms=9000)
    # The clock was set back.
    assert not recent.repeats(999, Reason.REFUSED, within_ms=9000)


def test_reasons_that_alternate_repeat_each_other_until_a_good_check() -> None:
    recent = RecentChecks()
    recent.add(1000, Reason.REFUSED, None)
    recent.add(2000, Reason.TIMEOUT, None)
    assert recent.repeats(3000, Reason.REFUSED, within_ms=9000)
    assert not recent.repeats(10_000, Reason.REFUSED, within_ms=9000)
    recent.add(3000, Reason.OK, 1)
    for reason in (Reason.REFUSED, Reason.TIMEOUT):
        assert not recent.repeats(4000, reason, within_ms=9000)


def test_a_failure_repeats_one_of_the_checks_that_are_held() -> None:
    recent = RecentChecks()
    recent.add(0, Reason.REFUSED, None)
    for _ in range(MAX_RECENT_CHECKS - 1):
        recent.add(0, Reason.TIMEOUT, None)
    assert recent.repeats(0, Reason.REFUSED, within_ms=9000)
    recent.add(0, Reason.TIMEOUT, None)
    assert not recent.repeats(0, Reason.REFUSED, within_ms=9000)


def test_a_check_is_twelve_bytes() -> None:
    # Base64 of it has no padding, so texts of it can be cut and joined by the database.
    assert PACKED_CHECK_BYTES % 3 == 0
    recent = RecentChecks()
    add(recent, *[Check(at=YEAR_1970, reason=Reason.OK)] * 3)
    assert len(recent.take_unsaved()) == 36


def test_the_code_of_a_reason_never_changes() -> None:
    assert {reason.value: number for reason, number in REASON_CODES.items()} == {
        "ok": 0,
        "refused": 1,
        "timeout": 2,
        "dns": 3,
        "tls": 4,
        "unreachable": 5,
        "auth_required": 6,
        "auth_rejected": 7,
        "not_opencode": 8,
        "server_error": 9,
        "incompatible": 10,
        "offline": 11,
        "unchecked": 12,
        "busy": 13,
        "reports_unhealthy": 14,
    }
    assert REASON_CODES.keys() == set(Reason)


def test_another_releases_reason_and_a_torn_beginning_are_skipped() -> None:
    recent = RecentChecks()
    check = Check(at=datetime(2026, 2, 9, tzinfo=UTC), reason=Reason.TIMEOUT)
    add(recent, check)
    good = recent.take_unsaved()
    strange = bytes([200]) + good[1:]
    assert unpack_checks(b"torn" + strange + good) == [check]
    assert RecentChecks(b"torn" + good).checks() == [check]


def test_a_check_at_a_time_that_no_calendar_has_is_left_out() -> None:
    # A damaged store has any bytes.
    recent = RecentChecks()
    add(recent, Check(at=datetime(2026, 2, 9, tzinfo=UTC), reason=Reason.OK))
    good = recent.take_unsaved()
    far = bytes([0]) + b"\xff" * 7 + good[8:]
    assert len(unpack_checks(far + good)) == 1
    assert len(RecentChecks(far + good).checks()) == 1


def test_marks_are_those_of_the_checks() -> None:
    recent = RecentChecks()
    for number, reason in enumerate([*Reason] * 10):
        recent.add(number, reason, 1)
    assert recent.marks() == [mark_check(check) for check in recent.checks()]
    assert len(recent.marks()) == MAX_RECENT_CHECKS


def test_a_latency_beyond_an_hour_is_an_hour() -> None:
    recent = RecentChecks()
    recent.add(0, Reason.OK, 10**12)
    (check,) = recent.checks()
    assert check.latency_ms is not None
    assert check.latency_ms > 3_600_000
