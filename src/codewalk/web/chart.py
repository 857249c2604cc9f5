"""What a page draws of a history, as numbers: the bar of the last checks, the lines of latency.

Pure, and no markup: SVG takes the lines as the `d` of a path.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Final

from codewalk.history.history import MAX_RECENT_CHECKS, Check
from codewalk.history.period import Period
from codewalk.reason import Reason, State
from codewalk.servers.health_check import STALE_AFTER

_STEPS: Final = (1.0, 2.0, 5.0, 10.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """One check in the bar; without `at`, there was none yet."""

    state: State = State.UNKNOWN
    reason: Reason = Reason.UNCHECKED
    at: datetime | None = None
    latency_ms: float | None = None


def bar(checks: Sequence[Check]) -> list[Cell]:
    """`MAX_RECENT_CHECKS` cells, the newest check last, empty ones first."""
    last = checks[-MAX_RECENT_CHECKS:]
    cells = [
        Cell(state=check.state, reason=check.reason, at=check.at, latency_ms=check.latency_ms)
        for check in last
    ]
    return [Cell()] * (MAX_RECENT_CHECKS - len(last)) + cells


def bar_lines(states: Sequence[State], *, step: int) -> dict[State, str]:
    """The same bar in a line for each state, as SVG path data: what is dashed by one unit less than
    `step`, and one of gap, shows a cell for each check. So it takes few elements."""
    last = states[-MAX_RECENT_CHECKS:]
    lines: dict[State, str] = {}
    at = (MAX_RECENT_CHECKS - len(last)) * step
    for state, run in groupby(last):
        width = sum(step for _ in run)
        lines[state] = f"{lines.get(state, '')}M{at} 0h{width - 1}"
        at += width
    return lines


@dataclass(frozen=True, kw_only=True, slots=True)
class LatencyChart:
    """The mean and the 95th percentile over time; `top_ms` is the latency at the upper edge.

    `down` is a bar from top to bottom for each period in which the server was known to be down.
    """

    mean: str
    p95: str
    down: str
    top_ms: float


def latency_chart(
    periods: Sequence[Period],
    *,
    since: datetime,
    until: datetime,
    width: float,
    height: float,
    stale_after: timedelta = STALE_AFTER,
) -> LatencyChart:
    """Both lines in one scale, in a box of `width` by `height`; empty ones where none is known.

    `stale_after` is the server's own: how long a check is good for.
    """
    known = [period.latency_p95_ms for period in periods if period.latency_p95_ms is not None]
    top = round_top(max(known, default=0.0))
    box = Box(
        since=since,
        until=until,
        top_ms=top,
        width=width,
        height=height,
        longest_gap=stale_after,
    )
    return LatencyChart(
        mean=latency_path(periods, box, value=lambda period: period.latency_mean_ms),
        p95=latency_path(periods, box, value=lambda period: period.latency_p95_ms),
        down="".join(box.bar(period) for period in periods if period.down_ms),
        top_ms=top,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Box:
    """Where a line is drawn: time from left to right, latency from the bottom up to `top_ms`; over
    no gap longer than `longest_gap`."""

    since: datetime
    until: datetime
    top_ms: float
    width: float
    height: float
    longest_gap: timedelta

    def place(self, at: datetime, latency_ms: float) -> str:
        """A point's two numbers; what lies outside is put on the edge."""
        y = self.height * (1 - min(latency_ms / self.top_ms, 1.0))
        return f"{self._across(at):.1f} {y:.1f}"

    def bar(self, period: Period) -> str:
        """The whole height for as long as the period lasts, as SVG path data."""
        left, right = self._across(period.begins), self._across(period.ends)
        return f"M{left:.1f} 0H{right:.1f}V{self.height:g}H{left:.1f}Z"

    def _across(self, at: datetime) -> float:
        part = (at - self.since) / (self.until - self.since) if self.until > self.since else 1.0
        return self.width * min(max(part, 0.0), 1.0)


def latency_path(
    periods: Iterable[Period], box: Box, *, value: Callable[[Period], float | None]
) -> str:
    """A line through the middles of the periods, oldest first, as SVG path data.

    It is interrupted where nothing was known for longer than `box.longest_gap`. A period that
    stands alone is a line of no length, which a round cap shows.
    """
    pieces: list[list[str]] = []
    known_until: datetime | None = None
    for period in periods:
        latency = value(period)
        if latency is None:
            continue
        if known_until is None or period.begins > known_until:
            pieces.append([])
        pieces[-1].append(box.place(period.begins + period.span / 2, latency))
        known_until = period.ends + box.longest_gap
    return "".join(f"M{'L'.join(piece if len(piece) > 1 else piece * 2)}" for piece in pieces)


def round_top(latency_ms: float) -> float:
    """The least of 1, 2, 5, 10, 20 … that is no less; what a person reads at the edge."""
    scale = 1.0
    while scale * _STEPS[-1] < latency_ms:
        scale *= 10
    return scale * next(step for step in _STEPS if scale * step >= latency_ms)
