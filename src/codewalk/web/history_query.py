"""What is asked of a server's past: how much of it, until when, and which page of its log.

Pure: the time goes in.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Final
from urllib.parse import urlencode

from codewalk.history.period import DAY, HOUR, MINUTE, RETENTION, Window


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
class HistoryPageQuery:
    """What is asked for: how far back, until when (now without it), and which page of the log, from
    1."""

    range: Range = Range.DAY
    page: int = 1
    until: datetime | None = None

    def query(self, **changes: str | int | None) -> str:
        """The query of an address that asks for this, with some of it changed."""
        fields = {"range": self.range.value, "until": _written(self.until), "page": self.page}
        usual = {"range": Range.DAY.value, "until": None, "page": 1}
        given = {key: value for key, value in (fields | changes).items() if value != usual[key]}
        return f"?{urlencode(given)}" if given else ""

    def within(self, now: datetime) -> "HistoryPageQuery":
        """The same of what there is: nothing lies ahead, and nothing is kept for longer."""
        if self.until is None:
            return self
        until = max(self.until, now - RETENTION + self.range.span)
        return replace(self, until=until if until < now else None)

    def window(self, now: datetime) -> Window:
        """From when until when the chart goes."""
        until = self.until or now
        return until - self.range.span, until

    def earlier(self, now: datetime) -> "HistoryPageQuery | None":
        """The time right before; None where nothing of it is kept."""
        begins, _ = self.window(now)
        if begins <= now - RETENTION + MINUTE:
            return None
        return replace(self, until=begins).within(now)

    def later(self, now: datetime) -> "HistoryPageQuery | None":
        """The time right after, or now where that is nearly it; None where that lies ahead."""
        if self.until is None:
            return None
        # Who went one step back some minutes ago means to come back to now.
        until = self.until + self.range.span
        return replace(self, until=until if until < now - self.range.span / 2 else None)

    def over(self, range_: Range, now: datetime) -> "HistoryPageQuery":
        """The same time with more or less of what lies around its middle."""
        if self.until is None:
            return replace(self, range=range_)
        middle = self.until - self.range.span / 2
        return replace(self, range=range_, until=middle + range_.span / 2).within(now)

    def around(self, at: datetime, now: datetime) -> "HistoryPageQuery":
        """The hour in whose middle `at` lies, by the minute."""
        return replace(self, range=Range.HOUR, until=at + HOUR / 2).within(now)


def _written(until: datetime | None) -> str | None:
    return None if until is None else f"{until.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
