"""The history on a server's page: uptime, a chart of its latency, and the log."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import reduce
from typing import Final

from codewalk.app.app import App
from codewalk.history.history import History, Transition
from codewalk.history.period import (
    HOUR,
    MINUTE_RETENTION,
    RETENTION,
    Period,
    Uptime,
    aggregate_periods,
)
from codewalk.server import Server
from codewalk.times import format_duration
from codewalk.web.chart import LatencyChart, latency_chart
from codewalk.web.history_query import HistoryPageQuery, Range
from codewalk.web.paging import ListPage
from codewalk.web.text import format_latency, format_time

LOG_LINES_PER_PAGE: Final = 25

CHART_WIDTH: Final = 600
CHART_HEIGHT: Final = 160
"""The size of the box that the chart is drawn in; the page stretches it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LogLine:
    """A transition, and how long its new state lasted, or has lasted until now if `ongoing`."""

    transition: Transition
    duration: timedelta
    ongoing: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class HistoryContext:
    """The template values of a server's history.

    Attributes:
        server: The server.
        query: The part of the history that is shown.
        now: The time of the values.
        uptimes: The uptime of 24 hours, 7 and 30 days.
        chart: The latency.
        ticks: The times at the first four quarters of the chart's axis.
        summary: The chart in words; None where it is empty.
        log: All transitions, newest first.
        has_more: Whether there are older transitions, which aren't in `log`.
    """

    server: Server
    query: HistoryPageQuery
    now: datetime
    uptimes: tuple[Uptime, ...]
    chart: LatencyChart
    ticks: Sequence[str]
    summary: str | None
    log: Sequence[LogLine]
    has_more: bool

    @property
    def key(self) -> str:
        """A value that differs between queries, and needs no escaping in a selector."""
        until = f"{self.query.until.timestamp():.0f}" if self.query.until else "now"
        return f"{self.query.range}-{until}-{self.log_page.number}"

    @property
    def begin(self) -> datetime:
        return self.query.window(self.now)[0]

    @property
    def end(self) -> datetime:
        return self.query.window(self.now)[1]

    @property
    def last_tick(self) -> str:
        """The time at the right edge of the chart."""
        ends_before_now = self.query.until is not None
        return (
            f"{self.end.astimezone():{self.query.range.time_format}}" if ends_before_now else "now"
        )

    @property
    def earlier(self) -> HistoryPageQuery | None:
        return self.query.earlier(self.now)

    @property
    def later(self) -> HistoryPageQuery | None:
        return self.query.later(self.now)

    @property
    def log_page(self) -> ListPage[LogLine]:
        return ListPage(all_items=self.log, requested=self.query.page, size=LOG_LINES_PER_PAGE)

    def with_range(self, range_: Range) -> HistoryPageQuery:
        """Return the query that shows more or less time around the same middle."""
        return self.query.with_range(range_, self.now)

    def centered_on(self, transition: Transition) -> HistoryPageQuery:
        """Return the query that shows a transition in the chart."""
        return self.query.centered_on(transition.at, self.now)


async def load_history_context(app: App, server_id: str, query: HistoryPageQuery) -> HistoryContext:
    """Return the history of a server.

    Raises:
        ServerNotFound: No server has this id.
        StorageError: The store can't be read.
    """
    now = datetime.now(UTC)
    query = query.clamped(now)
    history = await app.history(server_id, since=now - RETENTION, by_minute=False)
    periods = history.periods
    since, until = query.window(now)
    # The history above has the minutes of the last day.
    if query.range.step < HOUR and since < now - MINUTE_RETENTION:
        periods = (await app.history(server_id, since=since, until=until)).periods
    # Some hundredths of a second for a month, which the event loop can't spare.
    return await asyncio.to_thread(
        build_history_context, app.server(server_id), history, query, periods
    )


def build_history_context(
    server: Server, history: History, query: HistoryPageQuery, periods: Sequence[Period]
) -> HistoryContext:
    """Return the values of a history; `periods` are those for the chart. Pure."""
    now = history.until
    since, until = query.window(now)
    steps = _chart_steps(periods, since, until, query.range.step)
    chart = latency_chart(
        steps,
        since=since,
        until=until,
        width=CHART_WIDTH,
        height=CHART_HEIGHT,
        stale_after=server.profile.health_check.stale_after,
    )
    quarters = (since + query.range.span * part / 4 for part in range(4))
    return HistoryContext(
        server=server,
        query=query,
        now=now,
        uptimes=history.uptimes,
        chart=chart,
        ticks=[f"{at.astimezone():{query.range.time_format}}" for at in quarters],
        summary=_summary(steps, now),
        log=_log(history),
        has_more=history.more_transitions,
    )


def _chart_steps(
    periods: Sequence[Period], since: datetime, until: datetime, step: timedelta
) -> list[Period]:
    """Return a period for each step of the chart.

    Hours whose minutes aren't stored, such as those from before minutes were packed, stay whole.
    """
    periods = [p for p in periods if p.ends > since and p.begins < until]
    short = (p for p in periods if p.span <= step)
    whole = (p for p in periods if p.span > step)
    return sorted([*aggregate_periods(short, step), *whole], key=lambda period: period.begins)


def _log(history: History) -> list[LogLine]:
    pairs = zip(history.transitions, history.durations(), strict=True)
    return [
        LogLine(
            transition=transition,
            duration=history.until - transition.at if duration is None else duration,
            ongoing=duration is None,
        )
        for transition, duration in pairs
    ]


def _summary(periods: Sequence[Period], now: datetime) -> str | None:
    """Return the chart in words; None where it is empty."""
    if not periods:
        return None
    total = reduce(Period.plus, periods)
    sentences = []
    if total.latency_mean_ms is not None:
        slowest = max(periods, key=lambda period: period.latency_p95_ms or 0.0)
        time = format_time(slowest.begins, now)[:-3]  # without seconds
        sentences.append(
            f"Mean {format_latency(total.latency_mean_ms)}; 95 % of the answers within "
            f"{format_latency(total.latency_p95_ms or 0.0)}. "
            f"Slowest around {time}: {format_latency(slowest.latency_p95_ms or 0.0)}."
        )
    if total.down_ms:
        sentences.append(f"Down for {format_duration(timedelta(milliseconds=total.down_ms))}.")
    return " ".join(sentences) or None
