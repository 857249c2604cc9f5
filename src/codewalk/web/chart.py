"""The geometry of a server's charts: the bar of its recent checks, and its latency over time.

Pure, and no markup: lines are the `d` attribute of an SVG path.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Final

from codewalk.history.period import Period
from codewalk.reason import State
from codewalk.servers.health_check import STALE_AFTER

_AXIS_STEPS: Final = (1.0, 2.0, 5.0, 10.0)


def bar_lines(states: Iterable[State | None], *, step: int) -> dict[State, str]:
    """Return the slots of a bar as one line for each state, so that it needs few elements.

    Drawn with dashes of `step` - 1 and gaps of 1, a line has one cell for each slot.
    """
    lines: dict[State, str] = {}
    x = 0
    for state, run in groupby(states):
        width = sum(step for _ in run)
        if state is not None:
            lines[state] = f"{lines.get(state, '')}M{x} 0h{width - 1}"
        x += width
    return lines


@dataclass(frozen=True, kw_only=True, slots=True)
class LatencyChart:
    """The mean and the 95th percentile of the latency over time.

    `down` has a bar of the whole height for each period with downtime. `top_ms` is the latency at
    the upper edge.
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
    """Draw both lines in one scale, in a box of `width` by `height`.

    A line isn't drawn over a gap longer than `stale_after`, the time for which a check is valid.
    """
    latencies = [period.latency_p95_ms for period in periods if period.latency_p95_ms is not None]
    top_ms = round_up(max(latencies, default=0.0))
    area = PlotArea(
        since=since,
        until=until,
        top_ms=top_ms,
        width=width,
        height=height,
        max_gap=stale_after,
    )
    return LatencyChart(
        mean=latency_path(periods, area, value=lambda period: period.latency_mean_ms),
        p95=latency_path(periods, area, value=lambda period: period.latency_p95_ms),
        down="".join(area.bar(period) for period in periods if period.down_ms),
        top_ms=top_ms,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class PlotArea:
    """The box of a chart: time from left to right, latency from the bottom up to `top_ms`."""

    since: datetime
    until: datetime
    top_ms: float
    width: float
    height: float
    max_gap: timedelta

    def point(self, at: datetime, latency_ms: float) -> str:
        """Return the two coordinates of a point; what lies outside is put on the edge."""
        y = self.height * (1 - min(latency_ms / self.top_ms, 1.0))
        return f"{self._x(at):.1f} {y:.1f}"

    def bar(self, period: Period) -> str:
        """Return a bar of the whole height, as wide as the period lasts."""
        left, right = self._x(period.begins), self._x(period.ends)
        return f"M{left:.1f} 0H{right:.1f}V{self.height:g}H{left:.1f}Z"

    def _x(self, at: datetime) -> float:
        share = (at - self.since) / (self.until - self.since) if self.until > self.since else 1.0
        return self.width * min(max(share, 0.0), 1.0)


def latency_path(
    periods: Iterable[Period], area: PlotArea, *, value: Callable[[Period], float | None]
) -> str:
    """Return a line through the middles of the periods, oldest first.

    It is interrupted by gaps longer than `area.max_gap`. A single period is a line of no length,
    which a round cap makes visible.
    """
    segments: list[list[str]] = []
    connects_until: datetime | None = None
    for period in periods:
        latency = value(period)
        if latency is None:
            continue
        if connects_until is None or period.begins > connects_until:
            segments.append([])
        segments[-1].append(area.point(period.begins + period.span / 2, latency))
        connects_until = period.ends + area.max_gap
    return "".join(f"M{'L'.join(points if len(points) > 1 else points * 2)}" for points in segments)


def round_up(latency_ms: float) -> float:
    """Return the least of 1, 2, 5, 10, 20 … that is no less than a latency: the top of an axis."""
    scale = 1.0
    while scale * _AXIS_STEPS[-1] < latency_ms:
        scale *= 10
    return scale * next(step for step in _AXIS_STEPS if scale * step >= latency_ms)
