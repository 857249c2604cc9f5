"""A histogram with fixed bounds."""

from codewalk.health.histogram import Histogram


def test_measurements_are_counted_up_to_each_bound() -> None:
    histogram = Histogram((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 7.0):
        histogram.add(value)
    assert histogram.counts == [2, 1, 1]
    assert histogram.cumulative() == [2, 3, 4]
    assert (histogram.count, histogram.total) == (4, 10.0)
