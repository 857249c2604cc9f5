"""How a server has been, as its page shows it: uptime, latency as lines, and the log, as values."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import reduce
from types import MappingProxyType
from typing import Final
from urllib.parse import urlencode

from codewalk.app import App
from codewalk.health.chart import LatencyChart, latency_chart
from codewalk.health.history import History, Transition
from codewalk.health.period import DAY, HOUR, KEPT, MINUTE, Period, Uptime, in_steps
from codewalk.view import Server
from codewalk.web.words import duration, milliseconds, moment

LINES: Final = 25
"""Changes of state on one page of the log."""

WIDTH: Final = 600
HEIGHT: Final = 160
"""The box that the lines are drawn in; the page stretches it."""


class Range(StrEnum):
    """How far back the chart goes."""

    HOUR = "1h"
    DAY = "24h"
    WEEK = "7d"
    MONTH = "30d"

    @property
    def span(self) -> timedelta:
        return _RANGES[self][0]

    @property
    def step(self) -> timedelta:
        """The time that one point of a line stands for: some 150 of them are as fine as it gets."""
        return _RANGES[self][1]

    @property
    def words(self) -> str:
        return _RANGES[self][2]

    @property
    def clock(self) -> str:
        """How its axis tells a time, for `strftime`."""
        return _RANGES[self][3]


_RANGES: Final[Mapping[Range, tuple[timedelta, timedelta, str, str]]] = MappingProxyType(
    {
        Range.HOUR: (HOUR, MINUTE, "hour", "%H:%M"),
        Range.DAY: (DAY, 10 * MINUTE, "24 hours", "%H:%M"),
        Range.WEEK: (7 * DAY, HOUR, "7 days", "%a %H:%M"),
        Range.MONTH: (30 * DAY, 4 * HOUR, "30 days", "%d %b"),
    }
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """What is asked for: how far back, and which page of the log, from 1."""

    range: Range = Range.DAY
    page: int = 1

    def query(self, **changes: str | int) -> str:
        """The query of an address that asks for this, with some of it changed."""
        fields = {"range": self.range.value, "page": self.page} | changes
        usual = {"range": Range.DAY.value, "page": 1}
        given = {key: value for key, value in fields.items() if value != usual[key]}
        return f"?{urlencode(given)}" if given else ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """A line of the log: the change, and how long its state `lasted` or has lasted until now."""

    change: Transition
    lasted: timedelta
    ongoing: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Past:
    """What a server's page shows beside its state.

    `ticks` are the words at the quarters of the chart's time; `told` says in a sentence or two what
    the chart shows, None where it shows nothing. Of `lines`, the whole log, `shown` is one page;
    `more` tells that there are older ones than can be told.
    """

    server: Server
    look: Look
    until: datetime
    uptimes: tuple[Uptime, ...]
    chart: LatencyChart
    ticks: Sequence[str]
    told: str | None
    lines: Sequence[Line]
    more: bool

    @property
    def first(self) -> int:
        """How many lines come before this page."""
        return min((self.look.page - 1) * LINES, max(0, len(self.lines) - 1) // LINES * LINES)

    @property
    def page(self) -> int:
        """The number of this page: the last one where one beyond it was asked for."""
        return self.first // LINES + 1

    @property
    def shown(self) -> Sequence[Line]:
        return self.lines[self.first : self.first + LINES]


async def take_past(app: App, server_id: str, look: Look) -> Past:
    """How this server has been. Raises `ServerNotFound`, `StorageError`."""
    history = await app.history(server_id, since=datetime.now(UTC) - KEPT)
    return await asyncio.to_thread(draw, app.server(server_id), history, look)


def draw(server: Server, history: History, look: Look) -> Past:
    """What a page shows of a history. Pure, and slow for an event loop: some hundredths of a second
    for a month."""
    until, since = history.until, history.until - look.range.span
    periods = in_steps((p for p in history.periods if p.ends > since), look.range.step)
    chart = latency_chart(
        periods,
        since=since,
        until=until,
        width=WIDTH,
        height=HEIGHT,
        stale_after=server.profile.health_check.stale_after,
    )
    quarters = (since + look.range.span * part / 4 for part in range(4))
    return Past(
        server=server,
        look=look,
        until=until,
        uptimes=history.uptimes,
        chart=chart,
        ticks=[f"{at.astimezone():{look.range.clock}}" for at in quarters],
        told=_told(periods, until),
        lines=_lines(history),
        more=history.more,
    )


def _lines(history: History) -> list[Line]:
    log = zip(history.transitions, history.lasted(), strict=True)
    return [
        Line(
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
