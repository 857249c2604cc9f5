"""Times and durations as text, and durations from text."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codewalk.errors import InvalidValue
from codewalk.times import MAX_DURATION, format_age, format_duration, parse_duration, rfc3339


def test_time_is_written_in_utc_with_milliseconds() -> None:
    moment = datetime(2026, 2, 9, 22, 51, 50, 489_999, tzinfo=timezone(timedelta(hours=2)))
    assert rfc3339(moment) == "2026-02-09T20:51:50.489Z"
    assert rfc3339(None) is None


@pytest.mark.parametrize(
    ("seconds", "two_units", "one_unit"),
    [
        (-5, "under 1 s", "under 1 s"),
        (0, "under 1 s", "under 1 s"),
        (0.999, "under 1 s", "under 1 s"),
        (1, "1 s", "1 s"),
        (59.9, "59 s", "59 s"),
        (60, "1 min", "1 min"),
        (61, "1 min 1 s", "1 min"),
        (3599, "59 min 59 s", "59 min"),
        (3600, "1 h", "1 h"),
        (2 * 3600 + 5 * 60 + 59, "2 h 5 min", "2 h"),
        (3659, "1 h", "1 h"),
        (86_400, "1 day", "1 day"),
        (86_400 + 59 * 60, "1 day", "1 day"),
        (2 * 86_400 + 3 * 3600, "2 days 3 h", "2 days"),
        (400 * 86_400, "400 days", "400 days"),
    ],
)
def test_duration_is_written_in_its_largest_units(
    seconds: float, two_units: str, one_unit: str
) -> None:
    duration = timedelta(seconds=seconds)
    assert format_duration(duration) == two_units
    assert format_duration(duration, max_units=1) == one_unit


@pytest.mark.parametrize(
    ("age", "text"),
    [
        (timedelta(seconds=-5), "just now"),
        (timedelta(milliseconds=2999), "just now"),
        (timedelta(seconds=3), "3 s ago"),
        (timedelta(seconds=12), "12 s ago"),
        (timedelta(minutes=3, seconds=59), "3 min ago"),
        (timedelta(hours=5), "5 h ago"),
        (timedelta(days=400), "400 days ago"),
    ],
)
def test_age_is_written_in_its_largest_unit(age: timedelta, text: str) -> None:
    now = datetime(2026, 2, 9, tzinfo=UTC)
    assert format_age(now - age, now) == text


def test_age_of_no_time_is_never() -> None:
    assert format_age(None, datetime(2026, 2, 9, tzinfo=UTC)) == "never"


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("30m", timedelta(minutes=30)),
        ("30min", timedelta(minutes=30)),
        (" 24H ", timedelta(hours=24)),
        ("7d", timedelta(days=7)),
        ("0h", timedelta()),
        ("007d", timedelta(days=7)),
        ("100000d", MAX_DURATION),
        ("999999m", timedelta(minutes=999_999)),
    ],
)
def test_duration_is_read_with_its_unit(text: str, duration: timedelta) -> None:
    assert parse_duration(text) == duration


@pytest.mark.parametrize(
    "text",
    ["", "7", "d", "-7d", "1.5h", "7 d", "7w", "7dd", "2h30m", "100001d", "1000000m", "٣d"],
)
def test_text_that_is_not_a_duration_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        parse_duration(text)
    assert caught.value.value == text
    assert caught.value.message == (
        f"{text!r} is not a duration; give one as `30m`, `24h` or `7d`."
    )


def test_long_text_is_quoted_in_part() -> None:
    with pytest.raises(InvalidValue, match=r"^'x{40}…' is not a duration"):
        parse_duration("x" * 1000)


@given(st.text(max_size=8))
def test_what_is_read_is_a_duration_that_any_date_can_bear(text: str) -> None:
    try:
        duration = parse_duration(text)
    except InvalidValue:
        return
    now = datetime.now(UTC)
    assert now - duration < now + duration or not duration
