"""The report of a benchmark, as a table for people and as JSON."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """A documented figure, and what was measured."""

    what: str
    measured: float
    limit: float
    unit: str
    at_least: bool = False

    @property
    def met(self) -> bool:
        return self.measured >= self.limit if self.at_least else self.measured < self.limit

    def __str__(self) -> str:
        sign = "at least" if self.at_least else "under"
        mark = "PASS" if self.met else "OVER" if not self.at_least else "BELOW"
        return (
            f"{mark:5} {self.what}: {self.measured:,.4g} {self.unit}"
            f" (target {sign} {self.limit:,g} {self.unit})"
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "what": self.what,
            "measured": self.measured,
            "limit": self.limit,
            "at_least": self.at_least,
            "unit": self.unit,
            "met": self.met,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """The result of one benchmark.

    Attributes:
        title: The heading of the table.
        columns: The column headings.
        rows: The name of each row, then its numbers as text.
        targets: The documented figures.
        notes: Lines below the table.
        raw: Every single measurement, for the JSON file.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    targets: Sequence[Target]
    notes: Sequence[str] = ()
    raw: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        lines = [f"== {self.title}", *self._table()]
        lines += [f"   {note}" for note in self.notes]
        lines += [f"   {target}" for target in self.targets]
        return "\n".join(lines) + "\n"

    def _table(self) -> list[str]:
        table = [self.columns, *self.rows]
        widths = [max(len(row[i]) for row in table) for i in range(len(self.columns))]
        return [
            "   "
            + "  ".join(
                text.rjust(width) if i else text.ljust(width)
                for i, (text, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in table
        ]

    def to_json(self) -> dict[str, Any]:
        return {
            "title": self.title,
            "targets": [target.to_json() for target in self.targets],
            "raw": self.raw,
        }


def spread(values: Sequence[float], form: str = ",.0f") -> str:
    """Return the median with its range: `2,310 (2,250-2,340)`."""
    low, high = format(min(values), form), format(max(values), form)
    return f"{median(values):{form}} ({low}-{high})"
