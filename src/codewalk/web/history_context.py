"""How a server has been, as its page shows it: uptime, latency as lines, and the log, as values."""

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
from codewalk.web.chart import LatencyChart, latency_chart
from codewalk.web.history_query import HistoryPageQuery, Range
from codewalk.web.text import duration, milliseconds, moment

LOG_LINES_PER_PAGE: Final = 25
"""Changes of state on one page of the log."""

CHART_WIDTH: Final = 600
CHART_HEIGHT: Final = 160
"""The box that the lines are drawn in; the page stretches it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LogLine:
    """A line of the log: the change, and how long its state `lasted` or has lasted until now."""

    change: Transition
    lasted: timedelta
    ongoing: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class HistoryContext:
    """What a server's page shows beside its state.

    The chart goes from `begins` to `ends`; `earlier` and `later` ask for the time before and after.
    `ticks` are the words at the quarters of the chart's time; `told` says in a sentence or two what
    the chart shows, None where it shows nothing. Of `lines`, the whole log, `shown` is one page;
    `more` tells that there are older ones than can be told.
    """

    server: Server
    look: HistoryPageQuery
    now: datetime
    uptimes: tuple[Uptime, ...]
    chart: LatencyChart
    ticks: Sequence[str]
    told: str | None
    lines: Sequence[LogLine]
    more: bool

    @property
    def mark(self) -> str:
        """Tells pages of different looks from each other; no character of it needs care."""
        until = f"{self.look.until.timestamp():.0f}" if self.look.until else "now"
        return f"{self.look.range}-{until}-{self.page}"

    @property
    def begins(self) -> datetime:
        return self.look.window(self.now)[0]

    @property
    def ends(self) -> datetime:
        return self.look.window(self.now)[1]

    @property
    def last_tick(self) -> str:
        """The word at the right edge of the chart."""
        return f"{self.ends.astimezone():{self.look.range.clock}}" if self.look.until else "now"

    @property
    def earlier(self) -> HistoryPageQuery | None:
        return self.look.earlier(self.now)

    @property
    def later(self) -> HistoryPageQuery | None:
        return self.look.later(self.now)

    def over(self, range_: Range) -> HistoryPageQuery:
        """What shows more or less of the same time in the chart."""
        return self.look.over(range_, self.now)

    def around(self, change: Transition) -> HistoryPageQuery:
        """What shows this change in the chart."""
        return self.look.around(change.at, self.now)

    @property
    def first(self) -> int:
        """How many lines come before this page."""
        return min(
            (self.look.page - 1) * LOG_LINES_PER_PAGE,
            max(0, len(self.lines) - 1) // LOG_LINES_PER_PAGE * LOG_LINES_PER_PAGE,
        )

    @property
    def page(self) -> int:
        """The number of this page: the last one where one beyond it was asked for."""
        return self.first // LOG_LINES_PER_PAGE + 1

    @property
    def shown(self) -> Sequence[LogLine]:
        return self.lines[self.first : self.first + LOG_LINES_PER_PAGE]


async def load_history_context(app: App, server_id: str, look: HistoryPageQuery) -> HistoryContext:
    """How this server has been. Raises `ServerNotFound`, `StorageError`."""
    now = datetime.now(UTC)
    look = look.within(now)
    history = await app.history(server_id, since=now - RETENTION, by_minute=False)
    periods = history.periods
    since, until = look.window(now)
    # Of the last day it has the minutes.
    if look.range.step < HOUR and since < now - MINUTE_RETENTION:
        periods = (await app.history(server_id, since=since, until=until)).periods
    return await asyncio.to_thread(
        build_history_context, app.server(server_id), history, look, periods
    )


def build_history_context(
    server: Server, history: History, look: HistoryPageQuery, periods: Sequence[Period]
) -> HistoryContext:
    """What a page shows of a history, and of the periods that are asked for. Pure, and slow for an
    event loop: some hundredths of a second for a month."""
    now = history.until
    since, until = look.window(now)
    found = [p for p in periods if p.ends > since and p.begins < until]
    # Of some hours no minutes are kept, as of those before minutes were packed: they stay whole.
    step = look.range.step
    whole = (p for p in found if p.span > step)
    steps = [*aggregate_periods((p for p in found if p.span <= step), step), *whole]
    steps.sort(key=lambda period: period.begins)
    chart = latency_chart(
        steps,
        since=since,
        until=until,
        width=CHART_WIDTH,
        height=CHART_HEIGHT,
        stale_after=server.profile.health_check.stale_after,
    )
    quarters = (since + look.range.span * part / 4 for part in range(4))
    return HistoryContext(
        server=server,
        look=look,
        now=now,
        uptimes=history.uptimes,
        chart=chart,
        ticks=[f"{at.astimezone():{look.range.clock}}" for at in quarters],
        told=_told(steps, now),
        lines=_lines(history),
        more=history.more_transitions,
    )


def _lines(history: History) -> list[LogLine]:
    log = zip(history.transitions, history.durations(), strict=True)
    return [
        LogLine(
            change=change,
            lasted=history.until - change.at if lasted is None else lasted,
            ongoing=lasted is None,
        )
        for change, lasted in log
    ]


def _told(periods: Sequence[Period], now: datetime) -> str | None:
    """The chart in words; None where it is empty."""
    if not periods:
        return None
    total = reduce(Period.plus, periods)
    told = []
    if total.latency_mean_ms is not None:
        slowest = max(periods, key=lambda period: period.latency_p95_ms or 0.0)
        when = moment(slowest.begins, now)[:-3]  # nobody asks for its seconds
        told.append(
            f"Mean {milliseconds(total.latency_mean_ms)}; 95 % of the answers within "
            f"{milliseconds(total.latency_p95_ms or 0.0)}. "
            f"Slowest around {when}: {milliseconds(slowest.latency_p95_ms or 0.0)}."
        )
    if total.down_ms:
        told.append(f"Down for {duration(timedelta(milliseconds=total.down_ms))}.")
    return " ".join(told) or None
