"""The last checks, packed."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from codewalk.history.history import RECENT, Check
from codewalk.history.period import EPOCH as YEAR_1970
from codewalk.history.recent_checks import NUMBERS, SIZE, Tape, unpack
from codewalk.reason import Reason

CHECKS = st.lists(
    st.builds(
        Check,
        at=st.integers(0, 4 * 10**12).map(lambda ms: YEAR_1970 + timedelta(milliseconds=ms)),
        reason=st.sampled_from(Reason),
        latency_ms=st.none() | st.integers(0, 60_000_000).map(lambda us: us / 1000),
    ),
    max_size=2 * RECENT + 5,
)


def add(tape: Tape, *checks: Check) -> None:
    for check in checks:
        latency = None if check.latency_ms is None else round(check.latency_ms * 1000)
        tape.add((check.at - YEAR_1970) // timedelta(milliseconds=1), check.reason, latency)


@given(CHECKS, CHECKS)
def test_a_tape_holds_the_last_checks_whatever_it_began_with(
    before: list[Check], then: list[Check]
) -> None:
    first = Tape()
    add(first, *before)
    second = Tape(first.take_unsaved())
    assert second.checks() == before[-RECENT:]
    add(second, *then)
    assert second.checks() == [*before, *then][-RECENT:]


@given(st.lists(CHECKS, max_size=4))
def test_what_is_taken_to_be_saved_is_what_is_new(rounds: list[list[Check]]) -> None:
    tape = Tape()
    for checks in rounds:
        add(tape, *checks)
        assert unpack(tape.take_unsaved()) == checks[-RECENT:]
        assert tape.take_unsaved() == b""


def test_a_check_is_twelve_bytes() -> None:
    # Base64 of it has no padding, so texts of it can be cut and joined by the database.
    assert SIZE % 3 == 0
    tape = Tape()
    add(tape, *[Check(at=YEAR_1970, reason=Reason.OK)] * 3)
    assert len(tape.take_unsaved()) == 36


def test_numbers_once_given_stay() -> None:
    assert {reason.value: number for reason, number in NUMBERS.items()} == {
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
    }
    assert NUMBERS.keys() == set(Reason)


def test_another_releases_reason_and_a_torn_beginning_are_passed_over() -> None:
    tape = Tape()
    check = Check(at=datetime(2026, 2, 9, tzinfo=UTC), reason=Reason.TIMEOUT)
    add(tape, check)
    good = tape.take_unsaved()
    strange = bytes([200]) + good[1:]
    assert unpack(b"torn" + strange + good) == [check]
    assert Tape(b"torn" + good).checks() == [check]


def test_states_are_those_of_the_checks() -> None:
    tape = Tape()
    for number, reason in enumerate([*Reason, *Reason, *Reason, *Reason, *Reason]):
        tape.add(number, reason, 1)
    assert tape.states() == [check.state for check in tape.checks()]
    assert len(tape.states()) == RECENT


def test_a_latency_beyond_an_hour_is_an_hour() -> None:
    tape = Tape()
    tape.add(0, Reason.OK, 10**12)
    (check,) = tape.checks()
    assert check.latency_ms is not None
    assert check.latency_ms > 3_600_000
