"""Which part of a server's past is asked for, and what lies beside it."""

from datetime import timedelta, timezone

import pytest

from codewalk.history.period import DAY, HOUR, MINUTE, RETENTION
from codewalk.web.history_query import HistoryPageQuery, Range
from tests.unit.web.samples import NOW


def test_an_address_says_only_what_is_unusual() -> None:
    assert HistoryPageQuery().query_string() == ""
    look = HistoryPageQuery(range=Range.WEEK, until=NOW.astimezone(timezone(timedelta(hours=5))))
    assert look.query_string(page=3) == f"?range=7d&until={NOW:%Y-%m-%dT%H%%3A%M%%3A%SZ}&page=3"
    assert look.query_string(range="24h", until=None) == ""


def test_nothing_lies_ahead_and_nothing_is_kept_for_longer() -> None:
    def within(range_: Range, ago: timedelta) -> timedelta | None:
        until = HistoryPageQuery(range=range_, until=NOW - ago).clamped(NOW).until
        return None if until is None else NOW - until

    assert within(Range.DAY, -DAY) is None
    assert within(Range.DAY, timedelta(0)) is None
    assert within(Range.DAY, HOUR) == HOUR
    assert within(Range.DAY, 99 * RETENTION) == RETENTION - DAY
    assert within(Range.MONTH, HOUR) is None
    assert HistoryPageQuery().clamped(NOW) == HistoryPageQuery()


@pytest.mark.parametrize("range_", [Range.HOUR, Range.DAY, Range.WEEK])
def test_step_by_step_one_gets_to_the_beginning_and_back(range_: Range) -> None:
    look, steps = HistoryPageQuery(range=range_), 0
    while before := look.earlier(NOW):
        assert before.window(NOW)[1] >= look.window(NOW)[0]
        look, steps = before, steps + 1
    assert look.window(NOW)[0] == NOW - RETENTION
    assert steps == -(-RETENTION // range_.span) - 1
    while after := look.later(NOW):
        look, steps = after, steps - 1
    assert look == HistoryPageQuery(range=range_)
    assert steps >= 0


def test_who_went_back_a_while_ago_comes_back_to_now() -> None:
    earlier = HistoryPageQuery(range=Range.HOUR).earlier(NOW)
    assert earlier
    assert earlier.later(NOW + 20 * MINUTE) == HistoryPageQuery(range=Range.HOUR)
    assert earlier.later(NOW + 40 * MINUTE) == HistoryPageQuery(range=Range.HOUR, until=NOW)


def test_more_or_less_is_seen_around_the_same_moment() -> None:
    look = HistoryPageQuery(range=Range.HOUR, until=NOW - 9 * DAY)
    day = look.with_range(Range.DAY, NOW)
    assert day == HistoryPageQuery(range=Range.DAY, until=NOW - 9 * DAY + 11.5 * HOUR)
    assert day.with_range(Range.HOUR, NOW) == look
    assert look.with_range(Range.MONTH, NOW) == HistoryPageQuery(range=Range.MONTH)
    assert HistoryPageQuery().with_range(Range.WEEK, NOW) == HistoryPageQuery(range=Range.WEEK)


def test_a_month_has_nothing_beside_it() -> None:
    look = HistoryPageQuery(range=Range.MONTH)
    assert (look.earlier(NOW), look.later(NOW)) == (None, None)


def test_what_happened_is_looked_at_by_the_minute() -> None:
    look = HistoryPageQuery(range=Range.WEEK, page=2).centered_on(NOW - 9 * DAY, NOW)
    assert look == HistoryPageQuery(range=Range.HOUR, page=2, until=NOW - 9 * DAY + 30 * MINUTE)
    assert HistoryPageQuery().centered_on(NOW - MINUTE, NOW) == HistoryPageQuery(range=Range.HOUR)
