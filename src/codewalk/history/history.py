"""A server's history as values: single checks, changes of state, and what is told of them.

Pure: statuses and times go in, values come out. `codewalk.history.period` has the counts.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, Final

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
from codewalk.reason import Reason, State
from codewalk.times import rfc3339

MAX_RECENT_CHECKS: Final = 60
"""Checks that are kept one by one."""

MAX_TRANSITIONS: Final = 200
"""Transitions in one answer; the newest ones."""

UPTIME_WINDOWS: Final = (DAY, 7 * DAY, 30 * DAY)
"""What uptime is told for."""


def state_of(reason: Reason) -> State:
    """What a check that found this says of its server: nothing, where this machine was offline."""
    if reason is Reason.OK:
        return State.HEALTHY
    return State.UNKNOWN if reason is Reason.OFFLINE else State.UNHEALTHY


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """One check, as the bar of recent ones shows it."""

    at: datetime
    reason: Reason
    latency_ms: float | None = None

    @property
    def ok(self) -> bool:
        return self.reason is Reason.OK

    @property
    def state(self) -> State:
        """What this check alone says of the server."""
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
    left: HealthStatus, before: HealthStatus, after: HealthStatus, now: datetime
) -> list[Transition]:
    """The changes from a status as it was `left`, which counted as `before` until `after` came.

    Two of them where nobody looked for so long that the server was unknown in between.
    """
    found = []
    if before.state is not left.state:
        found.append(_transition(left.state, before, before.since or now))
    if after.state is not before.state:
        found.append(_transition(before.state, after, now))
    return found


def drop_repeats(log: Iterable[Transition]) -> list[Transition]:
    """A log, oldest first, without what only repeats: two processes may have seen one change."""
    found: list[Transition] = []
    for transition in log:
        if not found or found[-1].after is not transition.after:
            found.append(transition)
    return found


def end_with_status(log: Sequence[Transition], status: HealthStatus) -> list[Transition]:
    """A log, oldest first, that ends with the status of now, which has the last word.

    They differ where nobody has looked for so long that the status is unknown, where a crash took
    the last lines of the log, or where the clock was set back.
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
    """What one server's minute leaves to be written: the counts, and its checks as `Tape` packs
    them."""

    server_id: str
    period: Period | None
    checks: bytes


ServerTransition = tuple[str, Transition]
"""A server's id, and a change of its state."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """What is written at once, oldest first."""

    minutes: Sequence[MinuteRecord] = ()
    transitions: Sequence[ServerTransition] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredHistory:
    """What is kept of one server, in the store or on its way there; in any order.

    `old_minutes` tell by the minute, where they were asked for, what `periods` have by the hour.
    """

    periods: Sequence[Period] = ()
    old_minutes: Sequence[Period] = ()
    transitions: Sequence[Transition] = ()
    checks: Sequence[Check] = ()

    def plus(self, other: "StoredHistory") -> "StoredHistory":
        return StoredHistory(
            periods=(*self.periods, *other.periods),
            old_minutes=(*self.old_minutes, *other.old_minutes),
            transitions=(*self.transitions, *other.transitions),
            checks=(*self.checks, *other.checks),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class History:
    """A server's history from `since` to `until`, which is now or earlier.

    `transitions` are newest first, and `more_transitions` tells that there are older ones.
    `periods` are oldest first: minutes, or hours where no more is known or was asked for. `checks`,
    the last ones and oldest first, and `uptimes`, of 24 hours, 7 and 30 days, are those of now
    whatever is asked for. `next_change` is when the state of `until` ended; None while it lasts.
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
        """How long each transition's new state lasted; None for one that still does."""
        if not self.transitions:
            return []
        starts = [transition.at for transition in self.transitions]
        last = self.next_change - starts[0] if self.next_change else None
        # Newest first: each ends where the one before it in the list begins.
        return [last, *(later - earlier for later, earlier in pairwise(starts))]

    def to_json(self) -> dict[str, Any]:
        """The answer of `server history --json` and of the API."""
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
    kept: StoredHistory,
    status: HealthStatus,
    *,
    since: datetime,
    now: datetime,
    until: datetime | None = None,
) -> History:
    """What is told of a server, from what is kept of it and its status as of `now`.

    What lies ahead, written while a clock was wrong, isn't told.
    """
    periods = [period for period in merge_periods(kept.periods) if period.begins <= now]
    finest = replace_hours_by_minutes(periods, kept.old_minutes) if kept.old_minutes else periods
    log = sorted((t for t in kept.transitions if t.at <= now), key=lambda t: t.at)
    log = end_with_status(drop_repeats(log), status)
    last = now if until is None else until
    # Up to its end, not with it: what lies beside it begins there.
    told = [t for t in log if since <= t.at and (t.at < last or last == now)]
    once = dict.fromkeys(c for c in kept.checks if c.at <= now)
    checks = sorted(once, key=lambda c: c.at)
    return History(
        server_id=server_id,
        since=since,
        until=last,
        uptimes=tuple(compute_uptime(periods, window, now) for window in UPTIME_WINDOWS),
        transitions=told[::-1][:MAX_TRANSITIONS],
        more_transitions=len(told) > MAX_TRANSITIONS,
        periods=[period for period in finest if period.ends > since and period.begins < last],
        checks=checks[-MAX_RECENT_CHECKS:],
        next_change=next((t.at for t in log if t.at >= last < now), None),
    )
