"""Plots a few points on two logarithmic scales, as an SVG file."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10
from typing import Final

WIDTH: Final = 640
HEIGHT: Final = 400

_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 30, 50, 50
_STYLE: Final = (
    "text{font:13px system-ui,sans-serif;fill:#333}.grid{stroke:#ddd}"
    ".line{fill:none;stroke:#3b55d9;stroke-width:2}.linear{stroke:#999;stroke-dasharray:5 4}"
    "circle{fill:#3b55d9}.head{font-size:16px;font-weight:600}"
    "@media(prefers-color-scheme:dark){text{fill:#ddd}.grid{stroke:#444}.linear{stroke:#888}"
    ".line{stroke:#8fa2ff}circle{fill:#8fa2ff}}"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """A measurement with its label; both values are positive."""

    x: float
    y: float
    label: str


class _Scale:
    """Maps values to pixels on an axis from one power of ten to another."""

    def __init__(self, values: Sequence[float], start: float, end: float) -> None:
        self.low, self.high = floor(log10(min(values))), ceil(log10(max(values)))
        self.high = max(self.high, self.low + 1)
        self._start, self._end = start, end

    @property
    def ticks(self) -> list[float]:
        return [10.0**power for power in range(self.low, self.high + 1)]

    def __call__(self, value: float) -> float:
        part = (log10(value) - self.low) / (self.high - self.low)
        return self._start + part * (self._end - self._start)


def plot(points: Sequence[Point], *, title: str, x: str, y: str) -> str:
    """Return an SVG of the points, with a line through them and one for linear growth."""
    horizontal = _Scale([point.x for point in points], _LEFT, WIDTH - _RIGHT)
    last = points[-1]
    linear = [Point(x=point.x, y=last.y * point.x / last.x, label="") for point in points]
    vertical = _Scale([point.y for point in (*points, *linear)], HEIGHT - _BOTTOM, _TOP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
        f"<title>{escape(title)}</title><style>{_STYLE}</style>",
        f'<text class="head" x="{_LEFT}" y="26">{escape(title)}</text>',
        *(_vertical_line(horizontal(tick), f"{tick:,.0f}") for tick in horizontal.ticks),
        *(_horizontal_line(vertical(tick), f"{tick:g}") for tick in vertical.ticks),
        f'<text x="{WIDTH - _RIGHT}" y="{HEIGHT - 10}" text-anchor="end">{escape(x)}</text>',
        f'<text x="{_LEFT}" y="44">{escape(y)}</text>',
        _line(linear, horizontal, vertical, "line linear"),
        _line(points, horizontal, vertical, "line"),
    ]
    for point in points:
        position = horizontal(point.x), vertical(point.y)
        parts.append(f'<circle cx="{position[0]:.1f}" cy="{position[1]:.1f}" r="4"/>')
        place = f'x="{position[0] - 8:.1f}" y="{position[1] - 8:.1f}" text-anchor="end"'
        parts.append(f"<text {place}>{escape(point.label)}</text>")
    return "\n".join([*parts, "</svg>", ""])


def _line(points: Sequence[Point], horizontal: _Scale, vertical: _Scale, kind: str) -> str:
    coordinates = " ".join(f"{horizontal(point.x):.1f},{vertical(point.y):.1f}" for point in points)
    return f'<polyline class="{kind}" points="{coordinates}"/>'


def _vertical_line(at: float, text: str) -> str:
    ends = f'x1="{at:.1f}" y1="{_TOP}" x2="{at:.1f}" y2="{HEIGHT - _BOTTOM}"'
    label = f'<text x="{at:.1f}" y="{HEIGHT - 30}" text-anchor="middle">{text}</text>'
    return f'<line class="grid" {ends}/>{label}'


def _horizontal_line(at: float, text: str) -> str:
    ends = f'x1="{_LEFT}" y1="{at:.1f}" x2="{WIDTH - _RIGHT}" y2="{at:.1f}"'
    label = f'<text x="{_LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">{text}</text>'
    return f'<line class="grid" {ends}/>{label}'
