"""What the checks of a minute or an hour found, and the uptime that follows from it.

Pure. The rules:

- Unknown isn't down. Time counts as known from one check to the next while the earlier status
  lasts (`HealthStatus.as_of`), as up or down by the state that the earlier check left. Hours in
  which nobody looked count for nothing.
- A check counts in the minute that the clock shows, also where it shows that minute twice: counts
  of one time add up. So a clock that is set back, a restart within a minute and two processes that
  watch one server make sums, never a contradiction.
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
"""How long anything is kept."""

MINUTE_RETENTION: Final = DAY
"""How long each minute is kept by itself; older ones are added up to hours, and packed."""

MAX_LATENCIES_PER_MINUTE: Final = 600
"""Latencies of one minute that count, the first ones: ten a second."""

_UP: Final = State.HEALTHY  # looked up once, as in the recorder
_DOWN: Final = State.UNHEALTHY

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

Window = tuple[datetime, datetime]
"""From when, until when."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Period:
    """What the checks of one minute or hour found. Those of one time add up: see `plus`.

    `answers` counts the checks with a latency, `failures` those that found the server not well. A
    check that found this machine offline says nothing of the server and isn't counted. The known
    time between two checks, `up_ms` and `down_ms`, counts where it ends.

    `latency_p95_sum_us` is a minute's 95th percentile (nearest rank) times its answers, so that the
    one of an hour is the mean of its minutes', weighted by answers. A percentile can't be had from
    percentiles; this one lies between the lowest and the highest of them, as the true one does.
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
        """Both as one, at this one's time."""
        lowest = [us for us in (self.latency_min_us, other.latency_min_us) if us is not None]
        return replace(
            self,
            checks=self.checks + other.checks,
            failures=self.failures + other.failures,
            answers=self.answers + other.answers,
            up_ms=self.up_ms + other.up_ms,
            down_ms=self.down_ms + other.down_ms,
            latency_min_us=min(lowest, default=None),
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
    """The nearest-rank 95th percentile of values in order, at least one: a value that occurs."""
    return ordered[-(-95 * len(ordered) // 100) - 1]


class Minute:
    """Counts the checks of one minute while it lasts; `number` is the minutes since 1970."""

    __slots__ = ("_checks", "_down_ms", "_failures", "_latencies", "_up_ms", "number")

    def __init__(self, number: int) -> None:
        self.number = number
        self._checks = self._failures = self._up_ms = self._down_ms = 0
        self._latencies: list[int] = []

    def add_time(self, state: State, milliseconds: int) -> None:
        """Counts time in which the server was known to be in this state."""
        if state is _UP:
            self._up_ms += milliseconds
        elif state is _DOWN:
            self._down_ms += milliseconds

    def add_check(self, *, ok: bool, latency_us: int | None) -> None:
        """Counts a check that says something of the server."""
        self._checks += 1
        if not ok:
            self._failures += 1
        if latency_us is not None and len(self._latencies) < MAX_LATENCIES_PER_MINUTE:
            self._latencies.append(latency_us)

    def period(self) -> Period | None:
        """What was counted so far; None for nothing."""
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
    """Oldest first, those of one time and span as one."""
    found: dict[tuple[datetime, timedelta], Period] = {}
    for period in periods:
        key = period.begins, period.span
        found[key] = found[key].plus(period) if key in found else period
    return [found[key] for key in sorted(found)]


def replace_hours_by_minutes(periods: Iterable[Period], minutes: Iterable[Period]) -> list[Period]:
    """Oldest first: `minutes` in place of the hours that they are all of, and all other periods.

    Of an hour that was added up before its minutes were kept, those that came late are no account.
    """
    finer: defaultdict[datetime, list[Period]] = defaultdict(list)
    for minute in minutes:
        finer[minute.begins.replace(minute=0)].append(minute)
    rest = []
    for period in periods:
        if period.span == HOUR and period.begins in finer:
            if sum(minute.checks for minute in finer[period.begins]) >= period.checks:
                continue
            del finer[period.begins]
        rest.append(period)
    return merge_periods([*chain.from_iterable(finer.values()), *rest])


def aggregate_periods(periods: Iterable[Period], step: timedelta) -> list[Period]:
    """Oldest first, those that begin within one `step` as one. No period is longer than that."""
    found: defaultdict[int, list[Period]] = defaultdict(list)
    for period in periods:
        found[(period.begins - EPOCH) // step].append(period)
    return [_sum(EPOCH + number * step, step, found[number]) for number in sorted(found)]


def _sum(begins: datetime, span: timedelta, periods: Sequence[Period]) -> Period:
    """As `plus` of all of them, in a tenth of the time."""
    lowest = (period.latency_min_us for period in periods)
    return Period(
        begins=begins,
        span=span,
        checks=sum(period.checks for period in periods),
        failures=sum(period.failures for period in periods),
        answers=sum(period.answers for period in periods),
        up_ms=sum(period.up_ms for period in periods),
        down_ms=sum(period.down_ms for period in periods),
        latency_min_us=min((us for us in lowest if us is not None), default=None),
        latency_sum_us=sum(period.latency_sum_us for period in periods),
        latency_p95_sum_us=sum(period.latency_p95_sum_us for period in periods),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Uptime:
    """How long a server was known to be up, and known to be down, within the last `window`."""

    window: timedelta
    up: timedelta
    down: timedelta

    @property
    def percent(self) -> float | None:
        """The part of the known time in which it was up; None where nothing is known.

        Rounded down to a thousandth: 100 is for those that were never down.
        """
        known = self.up + self.down
        return 100_000 * self.up // known / 1000 if known else None

    @property
    def known_time(self) -> timedelta:
        """Capped: two processes that watch one server know the same time twice."""
        return min(self.up + self.down, self.window)

    def to_json(self) -> dict[str, Any]:
        return {"percent": self.percent, "known_s": round(self.known_time.total_seconds())}


def compute_uptime(periods: Iterable[Period], window: timedelta, now: datetime) -> Uptime:
    """From the periods that begin within the last `window`."""
    up = down = 0
    for period in periods:
        if now - window <= period.begins <= now:
            up += period.up_ms
            down += period.down_ms
    return Uptime(window=window, up=timedelta(milliseconds=up), down=timedelta(milliseconds=down))


def round_latency(latency_ms: float | None) -> float | None:
    """A latency as JSON has it, to a tenth of a millisecond."""
    return None if latency_ms is None else round(latency_ms, 1)
