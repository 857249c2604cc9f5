"""A server's history as values."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codewalk.errors import InvalidValue
from codewalk.health.status import CheckResult, HealthStatus, advance
from codewalk.history.history import (
    MAX_RECENT_CHECKS,
    MAX_TRANSITIONS,
    PERIODS_PER_CHUNK,
    Check,
    StoredHistory,
    Transition,
    build_history,
    detect_transitions,
    drop_repeats,
    encode_history,
    end_with_status,
)
from codewalk.history.period import DAY, HOUR, MINUTE, RETENTION, Period
from codewalk.history.window import parse_since, resolve_start, resolve_window
from codewalk.reason import Reason, State
from codewalk.servers.health_check import DEFAULT_SETTINGS, STALE_AFTER
from tests.fakes import EPOCH

SECOND = timedelta(seconds=1)
WELL = HealthStatus(
    state=State.HEALTHY, reason=Reason.OK, version="1.18.33", checked_at=EPOCH, since=EPOCH
)
DOWN = CheckResult(reason=Reason.REFUSED, detail="Nothing listens.")


def change(seconds: float, before: State, after: State) -> Transition:
    at = EPOCH + timedelta(seconds=seconds)
    return Transition(at=at, before=before, after=after, reason=Reason.OK)


UP = change(0, State.UNKNOWN, State.HEALTHY)
FALL = change(10, State.HEALTHY, State.UNHEALTHY)
RISE = change(70, State.UNHEALTHY, State.HEALTHY)


def test_a_transition_has_the_reason_detail_and_version_of_the_new_state() -> None:
    suspect = advance(WELL, DOWN, EPOCH + SECOND, DEFAULT_SETTINGS)
    after = advance(suspect, DOWN, EPOCH + 2 * SECOND, DEFAULT_SETTINGS)
    assert detect_transitions(suspect, suspect, after, EPOCH + 2 * SECOND) == [
        Transition(
            at=EPOCH + 2 * SECOND,
            before=State.HEALTHY,
            after=State.UNHEALTHY,
            reason=Reason.REFUSED,
            detail="Nothing listens.",
            version="1.18.33",
        )
    ]


def test_a_state_that_lasts_is_no_transition() -> None:
    suspect = advance(WELL, DOWN, EPOCH + SECOND, DEFAULT_SETTINGS)
    assert detect_transitions(WELL, WELL, suspect, EPOCH + SECOND) == []


def test_a_server_that_was_not_checked_for_long_was_unknown_meanwhile() -> None:
    now = EPOCH + timedelta(hours=8)
    after = replace(WELL, checked_at=now, since=now)
    gone, back = detect_transitions(WELL, WELL.as_of(now), after, now)
    assert (gone.at, gone.before, gone.after) == (
        EPOCH + STALE_AFTER,
        State.HEALTHY,
        State.UNKNOWN,
    )
    assert gone.reason is Reason.UNCHECKED
    assert (back.at, back.before, back.after) == (now, State.UNKNOWN, State.HEALTHY)


def test_a_log_that_two_processes_wrote_has_each_transition_once() -> None:
    twice = [UP, replace(UP, at=UP.at + SECOND), FALL, replace(FALL, at=FALL.at + SECOND), RISE]
    assert drop_repeats(twice) == [UP, FALL, RISE]


@given(st.lists(st.sampled_from(State)))
def test_a_log_without_repeats_has_no_state_twice_in_a_row(states: list[State]) -> None:
    log = [change(number, State.UNKNOWN, state) for number, state in enumerate(states)]
    after = [transition.after for transition in drop_repeats(log)]
    assert all(one is not other for one, other in pairwise(after))
    assert drop_repeats(drop_repeats(log)) == drop_repeats(log)


def test_a_log_ends_with_the_current_status() -> None:
    stale = WELL.as_of(EPOCH + timedelta(hours=1))
    assert end_with_status([UP], WELL) == [UP]
    *same, last = end_with_status([UP], stale)
    assert same == [UP]
    assert (last.at, last.before, last.after) == (
        EPOCH + STALE_AFTER,
        State.HEALTHY,
        State.UNKNOWN,
    )
    # Lines that a crash cost, and a server that was checked before there was a log.
    assert [t.after for t in end_with_status([UP, FALL], WELL)] == [
        State.HEALTHY,
        State.UNHEALTHY,
        State.HEALTHY,
    ]
    assert [t.after for t in end_with_status([], WELL)] == [State.HEALTHY]
    assert end_with_status([], HealthStatus()) == []


def test_a_history_has_the_newest_transition_first_and_everything_else_last() -> None:
    now = EPOCH + timedelta(minutes=5)
    checks = [Check(at=EPOCH + n * SECOND, reason=Reason.OK) for n in range(MAX_RECENT_CHECKS + 3)]
    periods = [Period(begins=EPOCH + n * MINUTE, checks=n) for n in range(3)]
    stored = StoredHistory(
        periods=[*periods[::-1], Period(begins=EPOCH, checks=9)],
        transitions=[RISE, UP, FALL],
        checks=[*checks[::-1], checks[5]],
    )
    history = build_history("a", stored, WELL, since=EPOCH - DAY, now=now)
    assert history.transitions == [RISE, FALL, UP]
    assert history.durations() == [None, 60 * SECOND, 10 * SECOND]
    assert history.checks == checks[-MAX_RECENT_CHECKS:]
    assert [period.checks for period in history.periods] == [9, 1, 2]
    assert not history.more_transitions


def test_a_history_begins_at_its_start() -> None:
    now = EPOCH + timedelta(minutes=5)
    periods = [Period(begins=EPOCH + n * MINUTE, up_ms=60_000) for n in range(4)]
    checks = [Check(at=EPOCH, reason=Reason.OK)]
    stored = StoredHistory(periods=periods, transitions=[UP, FALL, RISE], checks=checks)
    history = build_history("a", stored, WELL, since=EPOCH + 1.5 * MINUTE, now=now)
    # A minute that overlaps the start is included.
    assert history.periods == periods[1:]
    assert history.transitions == []
    assert history.checks == checks
    assert [uptime.up for uptime in history.uptimes] == [4 * MINUTE] * 3


def test_minutes_replace_the_hour_that_they_are_complete_for() -> None:
    hour = EPOCH.replace(minute=0, second=0, microsecond=0)
    now = hour + DAY
    hours = [Period(begins=hour + n * HOUR, span=HOUR, checks=2, up_ms=n) for n in range(3)]
    last = Period(begins=now - MINUTE, checks=1, up_ms=10)
    minutes = [Period(begins=hour + HOUR + n * MINUTE, checks=1) for n in (30, 0)]
    late = Period(begins=hour + HOUR, checks=2)
    stored = StoredHistory(periods=[*hours, last, late], old_minutes={hour + HOUR: lambda: minutes})
    history = build_history("a", stored, WELL, since=hour, now=now)
    assert history.periods == [hours[0], replace(late, checks=3), minutes[0], hours[2], last]
    # The monitored time comes from the hours only.
    assert history.uptimes[0].up == timedelta(milliseconds=0 + 1 + 2 + 10)
    since = hour + HOUR + 30 * MINUTE
    assert build_history("a", stored, WELL, since=since, now=now).periods[0] == minutes[0]


def test_an_hour_stays_if_not_all_of_its_minutes_are_stored() -> None:
    hour = EPOCH.replace(minute=0, second=0, microsecond=0)
    whole = Period(begins=hour, span=HOUR, checks=360, failures=100)
    late = Period(begins=hour + 5 * MINUTE, checks=1)
    stored = StoredHistory(periods=[whole], old_minutes={hour: lambda: [late]})
    assert build_history("a", stored, WELL, since=hour, now=hour + DAY).periods == [whole]


def test_two_adjacent_windows_have_nothing_in_common() -> None:
    periods = [Period(begins=EPOCH + n * MINUTE, checks=1) for n in range(4)]
    stored = StoredHistory(periods=periods, transitions=[UP, replace(FALL, at=EPOCH + 2 * MINUTE)])
    now = EPOCH + 4 * MINUTE
    edges = (EPOCH, EPOCH + 2 * MINUTE, now)
    parts = [
        build_history("a", stored, WELL, since=since, until=until, now=now)
        for since, until in pairwise(edges)
    ]
    assert [len(part.periods) for part in parts] == [2, 2]
    # The transition to the current state, healthy, is in the last one.
    assert [len(part.transitions) for part in parts] == [1, 2]


def test_what_was_stored_for_the_future_is_left_out() -> None:
    ahead = EPOCH + DAY
    stored = StoredHistory(
        periods=[Period(begins=ahead, down_ms=60_000)],
        transitions=[UP, replace(FALL, at=ahead)],
        checks=[Check(at=ahead, reason=Reason.REFUSED)],
    )
    history = build_history("a", stored, WELL, since=EPOCH - DAY, now=EPOCH + MINUTE)
    assert (history.periods, history.transitions, history.checks) == ([], [UP], [])
    assert {uptime.percent for uptime in history.uptimes} == {None}


def test_of_many_transitions_the_newest_are_returned() -> None:
    states = [State.HEALTHY, State.UNHEALTHY] * MAX_TRANSITIONS
    log = [change(number, State.UNKNOWN, state) for number, state in enumerate(states)]
    now = EPOCH + timedelta(hours=1)
    status = replace(WELL, state=State.UNHEALTHY, reason=Reason.REFUSED)
    history = build_history("a", StoredHistory(transitions=log), status, since=EPOCH, now=now)
    assert history.transitions == log[::-1][:MAX_TRANSITIONS]
    assert history.more_transitions


def test_a_check_that_decides_nothing_shows_as_unknown() -> None:
    states = {reason: Check(at=EPOCH, reason=reason).state for reason in Reason}
    assert states.pop(Reason.OK) is State.HEALTHY
    for reason in (Reason.OFFLINE, Reason.BUSY, Reason.UNCHECKED):
        assert states.pop(reason) is State.UNKNOWN
    assert set(states.values()) == {State.UNHEALTHY}


def test_a_history_as_json() -> None:
    stored = StoredHistory(
        periods=[
            Period(
                begins=EPOCH.replace(second=0, microsecond=0),
                checks=6,
                failures=1,
                answers=5,
                up_ms=50_000,
                down_ms=10_000,
                latency_min_us=1_250,
                latency_sum_us=10_000,
                latency_p95_sum_us=25_000,
            )
        ],
        transitions=[UP, FALL],
        checks=[Check(at=EPOCH, reason=Reason.OK, latency_ms=3.14159)],
    )
    status = HealthStatus(state=State.UNHEALTHY, checked_at=EPOCH, since=FALL.at)
    now = EPOCH + MINUTE
    assert build_history("a", stored, status, since=EPOCH - DAY, now=now).to_json() == {
        "server_id": "a",
        "since": "2026-02-08T20:51:50.489Z",
        "until": "2026-02-09T20:52:50.489Z",
        "uptime": {
            "last_24h": {"percent": 83.333, "monitored_s": 60},
            "last_7d": {"percent": 83.333, "monitored_s": 60},
            "last_30d": {"percent": 83.333, "monitored_s": 60},
        },
        "transitions": [
            {
                "at": "2026-02-09T20:52:00.489Z",
                "from": "healthy",
                "to": "unhealthy",
                "reason": "ok",
                "detail": None,
                "version": None,
                "lasted_ms": None,
            },
            {
                "at": "2026-02-09T20:51:50.489Z",
                "from": "unknown",
                "to": "healthy",
                "reason": "ok",
                "detail": None,
                "version": None,
                "lasted_ms": 10_000,
            },
        ],
        "more_transitions": False,
        "periods": [
            {
                "at": "2026-02-09T20:51:00.000Z",
                "span_s": 60,
                "checks": 6,
                "failures": 1,
                "latency_min_ms": 1.2,
                "latency_mean_ms": 2.0,
                "latency_p95_ms": 5.0,
            }
        ],
        "checks": [
            {"at": "2026-02-09T20:51:50.489Z", "ok": True, "reason": "ok", "latency_ms": 3.1}
        ],
    }


@pytest.mark.parametrize("periods", [0, 1, 2 * PERIODS_PER_CHUNK, 2 * PERIODS_PER_CHUNK + 1])
def test_the_encoded_history_is_its_json(periods: int) -> None:
    now = EPOCH + DAY
    stored = StoredHistory(
        periods=[Period(begins=EPOCH + n * MINUTE, checks=n) for n in range(periods)],
        transitions=[UP, FALL],
        checks=[Check(at=EPOCH, reason=Reason.OK, latency_ms=3.1)],
    )
    since = EPOCH - HOUR
    pieces = list(encode_history("a", stored, WELL, since=since, now=now))
    history = build_history("a", stored, WELL, since=since, now=now)
    decoded = orjson.loads(b"".join(pieces))
    assert decoded == history.to_json()
    assert list(decoded) == list(history.to_json())


@pytest.mark.parametrize(
    ("text", "before"),
    [
        ("30m", timedelta(minutes=30)),
        ("24h", DAY),
        (" 24H\n", DAY),
        ("7d", 7 * DAY),
        ("0d", timedelta(0)),
        ("2026-02-09T20:51:20.489Z", 30 * SECOND),
        ("2026-02-09t20:51:20.489z", 30 * SECOND),
        ("2026-02-09 21:51:20.489000+01:00", 30 * SECOND),
        # Older than anything that is stored.
        ("99999d", RETENTION),
        ("0001-01-01T00:00:00+14:00", RETENTION),
    ],
)
def test_a_start_is_a_duration_or_a_moment(text: str, before: timedelta) -> None:
    since = parse_since(text, EPOCH)
    assert since == EPOCH - before
    assert since.tzinfo is UTC


@pytest.mark.parametrize(
    "text",
    [
        *("", "yesterday", "7", "d", "-1d", "1.5h", "7 d", "7w", "٧d", "1000000d", "24h 7d"),
        *("2026-02-09", "2026-02-09T20:51:50", "2026-13-09T20:51:50Z", "2026-02-09T25:51:50Z"),
        *("2026-02-09T20:51:50+99:99", "0000-01-01T00:00:00Z", "x" * 5000),
    ],
)
def test_another_text_is_refused_with_examples(text: str) -> None:
    with pytest.raises(InvalidValue, match=r"24h.*7d.*2026-") as refused:
        parse_since(text, EPOCH)
    assert refused.value.value == text
    assert repr(text[:40])[1:-1] in refused.value.message
    assert len(refused.value.message) < 250


@pytest.mark.parametrize("text", ["2026-02-09T20:51:51Z", "9999-12-31T23:59:59-14:00"])
def test_a_history_cannot_begin_in_the_future(text: str) -> None:
    with pytest.raises(InvalidValue, match="is in the future"):
        parse_since(text, EPOCH)


@given(st.text(max_size=30))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        since = parse_since(text, EPOCH)
    except InvalidValue:
        return
    assert EPOCH - RETENTION <= since <= EPOCH


def test_a_moment_needs_its_time_zone() -> None:
    with pytest.raises(InvalidValue, match="time zone"):
        resolve_start(datetime(2026, 2, 9), EPOCH)  # noqa: DTZ001 - that is what is wrong with it
    there = EPOCH.astimezone(timezone(timedelta(hours=5)))
    assert resolve_start(there, EPOCH).tzinfo is UTC


def test_a_history_is_of_the_last_day_by_default() -> None:
    assert resolve_window(None, None, EPOCH) == (EPOCH - DAY, EPOCH)
    assert resolve_window(EPOCH - HOUR, None, EPOCH) == (EPOCH - HOUR, EPOCH)
    assert resolve_window(None, EPOCH - 2 * DAY, EPOCH) == (EPOCH - 3 * DAY, EPOCH - 2 * DAY)
    assert resolve_window(None, EPOCH + DAY, EPOCH) == (EPOCH - DAY, EPOCH)
    assert resolve_window(EPOCH, None, EPOCH) == (EPOCH, EPOCH)
    assert resolve_window(None, datetime.max.replace(tzinfo=UTC), EPOCH) == (EPOCH - DAY, EPOCH)
    # Nothing older is stored.
    assert resolve_window(EPOCH - 2 * RETENTION, EPOCH - DAY, EPOCH) == (
        EPOCH - RETENTION,
        EPOCH - DAY,
    )


@pytest.mark.parametrize(
    ("since", "until"),
    [
        (EPOCH - DAY, EPOCH - DAY),
        (EPOCH - DAY, EPOCH - 2 * DAY),
        (None, EPOCH - RETENTION),
        (EPOCH - 2 * RETENTION, EPOCH - 1.5 * RETENTION),
        (None, EPOCH.replace(tzinfo=None)),
        (None, datetime.min.replace(tzinfo=timezone(timedelta(hours=14)))),
    ],
)
def test_a_history_cannot_end_before_it_begins(since: datetime | None, until: datetime) -> None:
    with pytest.raises(InvalidValue) as refused:
        resolve_window(since, until, EPOCH)
    assert refused.value.value == str(until)


def test_an_earlier_window_knows_when_its_last_state_ended() -> None:
    now = EPOCH + HOUR
    periods = [Period(begins=EPOCH + n * MINUTE, up_ms=60_000) for n in range(9)]
    stored = StoredHistory(transitions=[UP, FALL, RISE], periods=periods)
    history = build_history(
        "a", stored, WELL, since=EPOCH - DAY, until=EPOCH + 30 * SECOND, now=now
    )
    assert (history.until, history.transitions) == (EPOCH + 30 * SECOND, [FALL, UP])
    assert history.durations() == [60 * SECOND, 10 * SECOND]
    assert history.periods == periods[:1]
    assert history.uptimes[0].up == 9 * MINUTE
