"""The part of a server's history that its page shows: range, end, and page of the log.

Pure: the current time is an argument.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple

from codewalk.history.period import DAY, HOUR, MINUTE, RETENTION, Window
from codewalk.web.paging import encode_query


class Range(StrEnum):
    """The time span of the chart."""

    HOUR = "1h"
    DAY = "24h"
    WEEK = "7d"
    MONTH = "30d"

    @property
    def span(self) -> timedelta:
        return _RANGES[self].span

    @property
    def step(self) -> timedelta:
        """The time for one point of a line: a chart has some 150 of them."""
        return _RANGES[self].step

    @property
    def label(self) -> str:
        """The range after "the last"."""
        return _RANGES[self].label

    @property
    def time_format(self) -> str:
        """The format of times on the axis, for `strftime`."""
        return _RANGES[self].time_format


class _RangeProperties(NamedTuple):
    span: timedelta
    step: timedelta
    label: str
    time_format: str


_RANGES: Final[Mapping[Range, _RangeProperties]] = MappingProxyType(
    {
        Range.HOUR: _RangeProperties(HOUR, MINUTE, "hour", "%H:%M"),
        Range.DAY: _RangeProperties(DAY, 10 * MINUTE, "24 hours", "%H:%M"),
        Range.WEEK: _RangeProperties(7 * DAY, HOUR, "7 days", "%a %H:%M"),
        Range.MONTH: _RangeProperties(30 * DAY, 4 * HOUR, "30 days", "%d %b"),
    }
)


@dataclass(frozen=True, kw_only=True, slots=True)
class HistoryPageQuery:
    """The query of a server's page.

    Attributes:
        range: How much time the chart shows.
        page: The page of the log, from 1.
        until: The end of the chart; None for now.
    """

    range: Range = Range.DAY
    page: int = 1
    until: datetime | None = None

    def query_string(self, **changes: str | int | None) -> str:
        """Return the query of an address, with these fields changed and defaults left out."""
        fields = {"range": self.range.value, "until": _format(self.until), "page": self.page}
        defaults = {"range": Range.DAY.value, "until": None, "page": 1}
        values = fields | changes
        return encode_query({key: values[key] for key in values if values[key] != defaults[key]})

    def clamped(self, now: datetime) -> "HistoryPageQuery":
        """Return the query with its end moved to where there is a history."""
        if self.until is None:
            return self
        until = max(self.until, now - RETENTION + self.range.span)
        return replace(self, until=until if until < now else None)

    def window(self, now: datetime) -> Window:
        """Return the beginning and the end of the chart."""
        until = self.until or now
        return until - self.range.span, until

    def earlier(self, now: datetime) -> "HistoryPageQuery | None":
        """Return the query for the time right before; None where nothing of it is stored."""
        begin, _ = self.window(now)
        if begin <= now - RETENTION + MINUTE:
            return None
        return replace(self, until=begin).clamped(now)

    def later(self, now: datetime) -> "HistoryPageQuery | None":
        """Return the query for the time right after, None where that is in the future.

        Within half a range of now it is now: a user who went back a step some minutes ago wants to
        return to now.
        """
        if self.until is None:
            return None
        until = self.until + self.range.span
        return replace(self, until=until if until < now - self.range.span / 2 else None)

    def with_range(self, range_: Range, now: datetime) -> "HistoryPageQuery":
        """Return the query with another range around the same middle."""
        if self.until is None:
            return replace(self, range=range_)
        middle = self.until - self.range.span / 2
        return replace(self, range=range_, until=middle + range_.span / 2).clamped(now)

    def centered_on(self, at: datetime, now: datetime) -> "HistoryPageQuery":
        """Return the query for the hour around a time, by the minute."""
        return replace(self, range=Range.HOUR, until=at + HOUR / 2).clamped(now)


def _format(until: datetime | None) -> str | None:
    return None if until is None else f"{until.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
