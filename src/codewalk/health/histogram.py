"""A histogram with fixed bounds."""

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate


class Histogram:
    """Counts of measurements by size, and their sum.

    Attributes:
        bounds: The upper bound of each bucket but the last, ascending.
        counts: The measurements in each bucket; the last one has those above all bounds.
        total: The sum of the measurements.
    """

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        """Add one measurement."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def merge(self, other: "Histogram") -> None:
        """Add all measurements of a histogram with the same bounds."""
        self.counts = [a + b for a, b in zip(self.counts, other.counts, strict=True)]
        self.total += other.total

    def copy(self) -> "Histogram":
        """Return a histogram with the same numbers, which later measurements don't change."""
        copied = Histogram(self.bounds)
        copied.merge(self)
        return copied

    @property
    def count(self) -> int:
        """The number of measurements."""
        return sum(self.counts)

    def cumulative(self) -> list[int]:
        """Return the number of measurements up to each bound, and last the number of all."""
        return list(accumulate(self.counts))
