"""Which part of a server's past is asked for, and what lies beside it."""

from datetime import timedelta, timezone

import pytest

from codewalk.history.period import DAY, HOUR, MINUTE, RETENTION
from codewalk.web.history_query import HistoryPageQuery, Range
from tests.unit.web.samples import NOW


def test_an_address_leaves_out_defaults() -> None:
    assert HistoryPageQuery().query_string() == ""
    query = HistoryPageQuery(range=Range.WEEK, until=NOW.astimezone(timezone(timedelta(hours=5))))
    assert query.query_string(page=3) == f"?range=7d&until={NOW:%Y-%m-%dT%H%%3A%M%%3A%SZ}&page=3"
    assert query.query_string(range="24h", until=None) == ""


def test_a_query_is_clamped_to_the_stored_history() -> None:
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
    query, steps = HistoryPageQuery(range=range_), 0
    while before := query.earlier(NOW):
        assert before.window(NOW)[1] >= query.window(NOW)[0]
        query, steps = before, steps + 1
    assert query.window(NOW)[0] == NOW - RETENTION
    assert steps == -(-RETENTION // range_.span) - 1
    while after := query.later(NOW):
        query, steps = after, steps - 1
    assert query == HistoryPageQuery(range=range_)
    assert steps >= 0


def test_later_leads_back_to_now_after_a_while() -> None:
    earlier = HistoryPageQuery(range=Range.HOUR).earlier(NOW)
    assert earlier
    assert earlier.later(NOW + 20 * MINUTE) == HistoryPageQuery(range=Range.HOUR)
    assert earlier.later(NOW + 40 * MINUTE) == HistoryPageQuery(range=Range.HOUR, until=NOW)


def test_another_range_keeps_the_middle() -> None:
    query = HistoryPageQuery(range=Range.HOUR, until=NOW - 9 * DAY)
    day = query.with_range(Range.DAY, NOW)
    assert day == HistoryPageQuery(range=Range.DAY, until=NOW - 9 * DAY + 11.5 * HOUR)
    assert day.with_range(Range.HOUR, NOW) == query
    assert query.with_range(Range.MONTH, NOW) == HistoryPageQuery(range=Range.MONTH)
    assert HistoryPageQuery().with_range(Range.WEEK, NOW) == HistoryPageQuery(range=Range.WEEK)


def test_a_month_has_nothing_beside_it() -> None:
    query = HistoryPageQuery(range=Range.MONTH)
    assert (query.earlier(NOW), query.later(NOW)) == (None, None)


def test_what_happened_is_looked_at_by_the_minute() -> None:
    query = HistoryPageQuery(range=Range.WEEK, page=2).centered_on(NOW - 9 * DAY, NOW)
    assert query == HistoryPageQuery(range=Range.HOUR, page=2, until=NOW - 9 * DAY + 30 * MINUTE)
    assert HistoryPageQuery().centered_on(NOW - MINUTE, NOW) == HistoryPageQuery(range=Range.HOUR)
