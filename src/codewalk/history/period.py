"""Counts of the checks of a minute or an hour, and the uptime that follows from them.

Pure. The rules:

- Unknown isn't down. The time from one check to the next is known while the earlier status is
  valid (`HealthStatus.as_of`), and counts as up or down by that status. Hours without checks count
  for nothing.
- A check counts in the minute that the clock shows, also if the clock shows that minute twice:
  the counts of one minute are added. So a clock that is set back, a restart within a minute and
  two processes that monitor one server give sums, never a contradiction.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any, Final

from codewalk.reason import State
from codewalk.times import rfc3339

MINUTE: Final = timedelta(minutes=1)
HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)

RETENTION: Final = timedelta(days=30)
"""The age up to which history is stored."""

MINUTE_RETENTION: Final = DAY
"""The age up to which each minute has a row; older ones are merged into hours, and packed."""

MIN_MONITORED_SHARE: Final = 1 / 24
"""The share of a time that must have been monitored for its uptime: an hour of a day.

Four minutes without an outage say nothing about 30 days. A day's work with CodeWalk does.
"""

MAX_LATENCIES_PER_MINUTE: Final = 600
"""Latencies of one minute that are counted, the first ones: ten a second."""

# Looked up once: see the recorder.
_UP: Final = State.HEALTHY
_DOWN: Final = State.UNHEALTHY

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

Window = tuple[datetime, datetime]
"""A time range: start and end."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Period:
    """The counts of one minute or hour. Those of the same time can be added: see `plus`.

    Attributes:
        begins: When it starts.
        span: Its length, a minute or an hour.
        checks: Its checks, without those that decide nothing about the server (`UNDECIDED`),
            because this machine was offline or the server busy.
        failures: The checks that did not find the server healthy.
        answers: The checks with a latency.
        up_ms: Known time in which the server was up. Time between two checks counts where it ends.
        down_ms: Known time in which it was down.
        latency_min_us: The lowest latency; None without answers.
        latency_sum_us: The sum of all latencies.
        latency_p95_sum_us: A minute's 95th percentile (nearest rank) times its answers, so that
            the one of an hour is the mean of its minutes', weighted by answers. The percentile of
            an hour can't be computed from those of its minutes; this one lies between the lowest
            and the highest of them, as the true one does.
    """

    begins: datetime
    span: timedelta = MINUTE
    checks: int = 0
    failures: int = 0
    answers: int = 0
    up_ms: int = 0
    down_ms: int = 0
    latency_min_us: int | None = None
    latency_sum_us: int = 0
    latency_p95_sum_us: int = 0

    @property
    def ends(self) -> datetime:
        return self.begins + self.span

    @property
    def latency_min_ms(self) -> float | None:
        return None if self.latency_min_us is None else self.latency_min_us / 1000

    @property
    def latency_mean_ms(self) -> float | None:
        return self.latency_sum_us / self.answers / 1000 if self.answers else None

    @property
    def latency_p95_ms(self) -> float | None:
        return self.latency_p95_sum_us / self.answers / 1000 if self.answers else None

    def plus(self, other: "Period") -> "Period":
        """Return the sum of both, at the time of this one."""
        latencies = [us for us in (self.latency_min_us, other.latency_min_us) if us is not None]
        return replace(
            self,
            checks=self.checks + other.checks,
            failures=self.failures + other.failures,
            answers=self.answers + other.answers,
            up_ms=self.up_ms + other.up_ms,
            down_ms=self.down_ms + other.down_ms,
            latency_min_us=min(latencies, default=None),
            latency_sum_us=self.latency_sum_us + other.latency_sum_us,
            latency_p95_sum_us=self.latency_p95_sum_us + other.latency_p95_sum_us,
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "at": rfc3339(self.begins),
            "span_s": self.span // timedelta(seconds=1),
            "checks": self.checks,
            "failures": self.failures,
            "latency_min_ms": round_latency(self.latency_min_ms),
            "latency_mean_ms": round_latency(self.latency_mean_ms),
            "latency_p95_ms": round_latency(self.latency_p95_ms),
        }


def percentile_95(ordered: Sequence[int]) -> int:
    """Return the nearest-rank 95th percentile of sorted values, at least one: one of them."""
    return ordered[-(-95 * len(ordered) // 100) - 1]


class Minute:
    """The counts of the current minute; `number` is the minutes since 1970."""

    __slots__ = ("_checks", "_down_ms", "_failures", "_latencies", "_up_ms", "number")

    def __init__(self, number: int) -> None:
        self.number = number
        self._checks = self._failures = self._up_ms = self._down_ms = 0
        self._latencies: list[int] = []

    def add_time(self, state: State, milliseconds: int) -> None:
        """Count time in which the server was known to be in `state`."""
        if state is _UP:
            self._up_ms += milliseconds
        elif state is _DOWN:
            self._down_ms += milliseconds

    def add_check(self, *, ok: bool, latency_us: int | None) -> None:
        """Count a check that says something about the server."""
        self._checks += 1
        if not ok:
            self._failures += 1
        if latency_us is not None and len(self._latencies) < MAX_LATENCIES_PER_MINUTE:
            self._latencies.append(latency_us)

    def period(self) -> Period | None:
        """Return what was counted so far, None for nothing."""
        if not (self._checks or self._up_ms or self._down_ms):
            return None
        ordered = sorted(self._latencies)
        return Period(
            begins=EPOCH + self.number * MINUTE,
            checks=self._checks,
            failures=self._failures,
            answers=len(ordered),
            up_ms=self._up_ms,
            down_ms=self._down_ms,
            latency_min_us=ordered[0] if ordered else None,
            latency_sum_us=sum(ordered),
            latency_p95_sum_us=percentile_95(ordered) * len(ordered) if ordered else 0,
        )


def merge_periods(periods: Iterable[Period]) -> list[Period]:
    """Return the periods oldest first, those of the same time and span merged."""
    merged: dict[tuple[datetime, timedelta], Period] = {}
    for period in periods:
        key = period.begins, period.span
        merged[key] = merged[key].plus(period) if key in merged else period
    return [merged[key] for key in sorted(merged)]


def replace_hours_by_minutes(periods: Iterable[Period], minutes: Iterable[Period]) -> list[Period]:
    """Return `periods` with `minutes` in place of the hours that they are complete for.

    Oldest first. An hour whose minutes were not stored, but for a few that came late, stays.
    """
    by_hour: defaultdict[datetime, list[Period]] = defaultdict(list)
    for minute in minutes:
        by_hour[minute.begins.replace(minute=0)].append(minute)
    others = []
    for period in periods:
        if period.span == HOUR and period.begins in by_hour:
            if sum(minute.checks for minute in by_hour[period.begins]) >= period.checks:
                continue
            del by_hour[period.begins]
        others.append(period)
    return merge_periods([*chain.from_iterable(by_hour.values()), *others])


def aggregate_periods(periods: Iterable[Period], step: timedelta) -> list[Period]:
    """Return one period for each `step`, oldest first; no period may be longer than that."""
    by_step: defaultdict[int, list[Period]] = defaultdict(list)
    for period in periods:
        by_step[(period.begins - EPOCH) // step].append(period)
    return [_sum(EPOCH + number * step, step, by_step[number]) for number in sorted(by_step)]


def _sum(begins: datetime, span: timedelta, periods: Sequence[Period]) -> Period:
    """Return what `plus` of all of them would, in a tenth of the time."""
    latencies = (period.latency_min_us for period in periods)
    return Period(
        begins=begins,
        span=span,
        checks=sum(period.checks for period in periods),
        failures=sum(period.failures for period in periods),
        answers=sum(period.answers for period in periods),
        up_ms=sum(period.up_ms for period in periods),
        down_ms=sum(period.down_ms for period in periods),
        latency_min_us=min((us for us in latencies if us is not None), default=None),
        latency_sum_us=sum(period.latency_sum_us for period in periods),
        latency_p95_sum_us=sum(period.latency_p95_sum_us for period in periods),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Uptime:
    """The time that a server was up and down within the last `window`."""

    window: timedelta
    up: timedelta
    down: timedelta

    @property
    def percent(self) -> float | None:
        """The share of the monitored time in which it was up; None if there is none.

        Rounded down to a thousandth, so that only a server that was never down has 100.
        """
        monitored_time = self.up + self.down
        return 100_000 * self.up // monitored_time / 1000 if monitored_time else None

    @property
    def monitored_time(self) -> timedelta:
        """Limited to `window`: two processes that monitor one server count the same time twice."""
        return min(self.up + self.down, self.window)

    @property
    def has_enough_data(self) -> bool:
        """Whether so much of `window` was monitored that the percentage says something about it."""
        return self.monitored_time >= MIN_MONITORED_SHARE * self.window

    def to_json(self) -> dict[str, Any]:
        return {"percent": self.percent, "monitored_s": round(self.monitored_time.total_seconds())}


def compute_uptime(periods: Iterable[Period], window: timedelta, now: datetime) -> Uptime:
    """Return the uptime of the periods that begin within the last `window`."""
    up = down = 0
    for period in periods:
        if now - window <= period.begins <= now:
            up += period.up_ms
            down += period.down_ms
    return Uptime(window=window, up=timedelta(milliseconds=up), down=timedelta(milliseconds=down))


def round_latency(latency_ms: float | None) -> float | None:
    """Round a latency for JSON, to a tenth of a millisecond."""
    return None if latency_ms is None else round(latency_ms, 1)
