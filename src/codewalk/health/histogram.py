"""Measurements kept in few numbers."""

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate


class Histogram:
    """How many measurements were up to each of `bounds`, and their sum.

    `bounds` ascend; `counts` has one number for each, and one for what is beyond the last.
    """

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        """Counts one measurement."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def merge(self, other: "Histogram") -> None:
        """Counts in all measurements of one with the same bounds."""
        self.counts = [a + b for a, b in zip(self.counts, other.counts, strict=True)]
        self.total += other.total

    def copy(self) -> "Histogram":
        """Return a histogram with the same numbers, which later measurements don't change."""
        copied = Histogram(self.bounds)
        copied.merge(self)
        return copied

    @property
    def count(self) -> int:
        """How many measurements there were."""
        return sum(self.counts)

    def cumulative(self) -> list[int]:
        """How many were up to each bound, and last how many there were at all."""
        return list(accumulate(self.counts))
