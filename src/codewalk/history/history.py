"""A server's history as values: checks, transitions, and what is shown of them.

Pure: statuses and times go in, values come out. `codewalk.history.period` has the counts.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import islice, pairwise
from typing import Any, Final

import orjson

from codewalk.health.status import HealthStatus
from codewalk.history.period import (
    DAY,
    Period,
    Uptime,
    compute_uptime,
    merge_periods,
    replace_hours_by_minutes,
    round_latency,
)
from codewalk.reason import UNDECIDED, Reason, State
from codewalk.times import rfc3339

MAX_RECENT_CHECKS: Final = 90
"""Checks that are stored one by one for each server.

One and a half for each slot of the bar (`CheckBar`), for checks come in between the scheduled ones:
a user asks for them, and so does a request that failed.
"""

MAX_TRANSITIONS: Final = 200
"""Transitions in one history, the newest ones."""

UPTIME_WINDOWS: Final = (DAY, 7 * DAY, 30 * DAY)
"""The times up to now for which the uptime is computed."""

PERIODS_PER_CHUNK: Final = 500
"""Periods that are encoded at once: a few milliseconds in which no other thread runs."""

MinutesOfHour = Callable[[], Sequence[Period]]
"""Returns the minutes of one hour, which are stored packed: a month of them is 43,200."""


def state_of(reason: Reason) -> State:
    """Return the state that a check with this reason gives; unknown if it decided nothing."""
    if reason is Reason.OK:
        return State.HEALTHY
    return State.UNKNOWN if reason in UNDECIDED else State.UNHEALTHY


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """One check."""

    at: datetime
    reason: Reason
    latency_ms: float | None = None

    @property
    def ok(self) -> bool:
        return self.reason is Reason.OK

    @property
    def state(self) -> State:
        return state_of(self.reason)

    def to_json(self) -> dict[str, Any]:
        return {
            "at": rfc3339(self.at),
            "ok": self.ok,
            "reason": self.reason.value,
            "latency_ms": round_latency(self.latency_ms),
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Transition:
    """A change of a server's state, with the reason, detail and version of the new one."""

    at: datetime
    before: State
    after: State
    reason: Reason
    detail: str | None = None
    version: str | None = None

    def to_json(self, lasted: timedelta | None) -> dict[str, Any]:
        return {
            "at": rfc3339(self.at),
            "from": self.before.value,
            "to": self.after.value,
            "reason": self.reason.value,
            "detail": self.detail,
            "version": self.version,
            "lasted_ms": None if lasted is None else lasted // timedelta(milliseconds=1),
        }


def detect_transitions(
    stored: HealthStatus, current: HealthStatus, new: HealthStatus, now: datetime
) -> list[Transition]:
    """Return the changes of state from one status to the next, at most two.

    Args:
        stored: The last status, as it was stored.
        current: The same as of now: unknown if nothing checked the server for long.
        new: The status after it.
        now: The time.
    """
    transitions = []
    if current.state is not stored.state:
        transitions.append(_transition(stored.state, current, current.since or now))
    if new.state is not current.state:
        transitions.append(_transition(current.state, new, now))
    return transitions


def drop_repeats(log: Iterable[Transition]) -> list[Transition]:
    """Return a log, oldest first, without repeats: two processes may have seen the same change."""
    result: list[Transition] = []
    for transition in log:
        if not result or result[-1].after is not transition.after:
            result.append(transition)
    return result


def end_with_status(log: Sequence[Transition], status: HealthStatus) -> list[Transition]:
    """Return a log, oldest first, that ends with the current status.

    The two differ if nothing checked the server for so long that it is unknown, if a crash cost
    the last lines of the log, or if the clock was set back. The status wins.
    """
    last = log[-1].after if log else State.UNKNOWN
    if status.state is last or status.since is None:
        return list(log)
    at = max(status.since, log[-1].at) if log else status.since
    return [*log, _transition(last, status, at)]


def _transition(before: State, status: HealthStatus, at: datetime) -> Transition:
    return Transition(
        at=at,
        before=before,
        after=status.state,
        reason=status.reason,
        detail=status.detail,
        version=status.version,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class MinuteRecord:
    """One server's minute to be stored: its counts, and its checks as `RecentChecks` packs them."""

    server_id: str
    period: Period | None
    checks: bytes


ServerTransition = tuple[str, Transition]
"""A server's id, and a transition of it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """The records to store in one transaction, oldest first."""

    minutes: Sequence[MinuteRecord] = ()
    transitions: Sequence[ServerTransition] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredHistory:
    """The history of one server that is stored or about to be, in any order.

    Attributes:
        periods: Minutes of the last day, hours of all days before.
        old_minutes: Where they were asked for, the minutes of hours in `periods`, by the start of
            the hour.
        transitions: Its changes of state.
        checks: Its recent checks.
    """

    periods: Sequence[Period] = ()
    old_minutes: Mapping[datetime, MinutesOfHour] = field(default_factory=dict)
    transitions: Sequence[Transition] = ()
    checks: Sequence[Check] = ()

    def after(self, origin: datetime) -> "StoredHistory":
        """Return it without the counts and checks from before `origin`; transitions stay."""
        return replace(
            self,
            periods=[period for period in self.periods if period.begins >= origin],
            old_minutes={hour: m for hour, m in self.old_minutes.items() if hour >= origin},
            checks=[check for check in self.checks if check.at >= origin],
        )

    def plus(self, other: "StoredHistory") -> "StoredHistory":
        """Return both together; an hour's minutes may be in one of them only."""
        return StoredHistory(
            periods=(*self.periods, *other.periods),
            old_minutes={**self.old_minutes, **other.old_minutes},
            transitions=(*self.transitions, *other.transitions),
            checks=(*self.checks, *other.checks),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class History:
    """A server's history from `since` to `until`.

    Attributes:
        server_id: The server.
        since: The start.
        until: The end, now or earlier.
        uptimes: The uptimes of `UPTIME_WINDOWS` up to now, whatever `until` is.
        transitions: Newest first.
        more_transitions: Whether there are older ones.
        periods: Oldest first: minutes, or hours where no minutes are stored or asked for.
        checks: The last checks before now, whatever `until` is, oldest first.
        next_change: When the state at `until` ended; None while it lasts.
    """

    server_id: str
    since: datetime
    until: datetime
    uptimes: tuple[Uptime, ...]
    transitions: Sequence[Transition]
    more_transitions: bool
    periods: Sequence[Period]
    checks: Sequence[Check]
    next_change: datetime | None = None

    def durations(self) -> list[timedelta | None]:
        """Return how long the state after each transition lasted; None if it still does."""
        if not self.transitions:
            return []
        starts = [transition.at for transition in self.transitions]
        last = self.next_change - starts[0] if self.next_change else None
        # Newest first: each ends where the one before it in the list begins.
        return [last, *(later - earlier for later, earlier in pairwise(starts))]

    def to_json(self) -> dict[str, Any]:
        """Return the JSON of `server history --json` and of the API."""
        day, week, month = (uptime.to_json() for uptime in self.uptimes)
        log = zip(self.transitions, self.durations(), strict=True)
        return {
            "server_id": self.server_id,
            "since": rfc3339(self.since),
            "until": rfc3339(self.until),
            "uptime": {"last_24h": day, "last_7d": week, "last_30d": month},
            "transitions": [transition.to_json(lasted) for transition, lasted in log],
            "more_transitions": self.more_transitions,
            "periods": [period.to_json() for period in self.periods],
            "checks": [check.to_json() for check in self.checks],
        }


def build_history(
    server_id: str,
    stored: StoredHistory,
    status: HealthStatus,
    *,
    since: datetime,
    now: datetime,
    until: datetime | None = None,
) -> History:
    """Return a server's history from what is stored of it.

    What lies ahead of `now`, stored while a clock was wrong, is left out.

    Args:
        server_id: The server.
        stored: What is stored.
        status: Its status as of now.
        since: The start.
        now: The time.
        until: The end; now unless given.
    """
    history = _without_periods(
        server_id, stored, status, since=since, now=now, until=now if until is None else until
    )
    return replace(history, periods=list(_periods(stored, history, now)))


def encode_history(
    server_id: str,
    stored: StoredHistory,
    status: HealthStatus,
    *,
    since: datetime,
    now: datetime,
    until: datetime | None = None,
) -> Iterator[bytes]:
    """Yield the JSON of `build_history` in pieces, each made when it is asked for.

    A month of minutes is 6 MB. In one piece its values would stop the event loop for a fifth of a
    second even from another thread, mostly in Python's garbage collector.
    """
    history = _without_periods(
        server_id, stored, status, since=since, now=now, until=now if until is None else until
    )
    fields = history.to_json()
    checks = fields.pop("checks")
    del fields["periods"]
    yield orjson.dumps(fields)[:-1] + b',"periods":['
    periods = _periods(stored, history, now)
    separator = b""
    while chunk := [period.to_json() for period in islice(periods, PERIODS_PER_CHUNK)]:
        yield separator + orjson.dumps(chunk)[1:-1]
        separator = b","
    yield b'],"checks":' + orjson.dumps(checks) + b"}"


def _without_periods(
    server_id: str,
    stored: StoredHistory,
    status: HealthStatus,
    *,
    since: datetime,
    now: datetime,
    until: datetime,
) -> History:
    log = sorted((t for t in stored.transitions if t.at <= now), key=lambda t: t.at)
    log = end_with_status(drop_repeats(log), status)
    # Without the end itself, where the next window begins.
    inside = [t for t in log if since <= t.at and (t.at < until or until == now)]
    distinct = dict.fromkeys(check for check in stored.checks if check.at <= now)
    periods = [period for period in stored.periods if period.begins <= now]
    return History(
        server_id=server_id,
        since=since,
        until=until,
        uptimes=tuple(compute_uptime(periods, window, now) for window in UPTIME_WINDOWS),
        transitions=inside[::-1][:MAX_TRANSITIONS],
        more_transitions=len(inside) > MAX_TRANSITIONS,
        periods=(),
        checks=sorted(distinct, key=lambda check: check.at)[-MAX_RECENT_CHECKS:],
        next_change=next((t.at for t in log if t.at >= until < now), None),
    )


def _periods(stored: StoredHistory, history: History, now: datetime) -> Iterator[Period]:
    """Yield the periods of a history, oldest first, an hour at a time."""
    by_hour: defaultdict[datetime, list[Period]] = defaultdict(list)
    for period in stored.periods:
        if period.begins <= now:
            by_hour[period.begins.replace(minute=0, second=0, microsecond=0)].append(period)
    for hour in sorted(by_hour.keys() | stored.old_minutes.keys()):
        unpack = stored.old_minutes.get(hour)
        periods = merge_periods(by_hour[hour])
        if unpack:
            periods = replace_hours_by_minutes(periods, unpack())
        for period in periods:
            if period.ends > history.since and period.begins < history.until:
                yield period
