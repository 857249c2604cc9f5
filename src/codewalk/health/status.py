"""The health of one server as a value, and how one check changes it.

Pure: a status and a result go in, a new status comes out, so every rule here is tested without a
network or a clock.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from codewalk.reason import TRANSPORT_FAILURES, Reason, State
from codewalk.servers.health_check import STALE_AFTER, HealthCheckSettings
from codewalk.times import rfc3339

RECHECK_DELAY: Final = 0.5
"""Seconds until a server whose next check decides is checked again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckResult:
    """What one check found. `latency_ms` is the answering request's alone; `by_path` tells that
    `/global/health` isn't this release's way to say it is well, and `/path` is."""

    reason: Reason
    detail: str | None = None
    version: str | None = None
    latency_ms: float | None = None
    by_path: bool = False

    @property
    def ok(self) -> bool:
        return self.reason is Reason.OK


@dataclass(frozen=True, kw_only=True, slots=True)
class HealthStatus:
    """What is known of one server.

    `since` is when the state began and changes only with the state; `version` is the last one seen.
    `failures` counts the failed checks in a row, `successes` the good ones of a server that isn't
    healthy yet.
    """

    state: State = State.UNKNOWN
    reason: Reason = Reason.UNCHECKED
    detail: str | None = None
    version: str | None = None
    latency_ms: float | None = None
    checked_at: datetime | None = None
    since: datetime | None = None
    failures: int = 0
    successes: int = 0

    @property
    def suspect(self) -> bool:
        """Still healthy, though the last check failed."""
        return self.state is State.HEALTHY and self.failures > 0

    @property
    def unsettled(self) -> bool:
        """Whether the next checks decide: it failed, or answered again, but not often enough."""
        return self.successes > 0 or (self.failures > 0 and self.state is not State.UNHEALTHY)

    def as_of(self, now: datetime, stale_after: timedelta = STALE_AFTER) -> "HealthStatus":
        """This status, or `unknown` where nobody has looked for `stale_after`."""
        if self.checked_at is None or now - self.checked_at <= stale_after:
            return self
        old = replace(self, reason=Reason.UNCHECKED, latency_ms=None, failures=0, successes=0)
        if self.state is State.UNKNOWN:
            return old
        return replace(
            old,
            state=State.UNKNOWN,
            detail=f"Not checked lately; was {self.state} when last seen.",
            since=self.checked_at + stale_after,
        )

    def to_json(self) -> dict[str, Any]:
        """The `health` object of `INTERFACE.md`."""
        return {
            "state": self.state.value,
            "reason": self.reason.value,
            "detail": self.detail,
            "version": self.version,
            "latency_ms": None if self.latency_ms is None else round(self.latency_ms, 1),
            "checked_at": rfc3339(self.checked_at),
            "since": rfc3339(self.since),
        }


def advance(
    status: HealthStatus, result: CheckResult, now: datetime, settings: HealthCheckSettings
) -> HealthStatus:
    """The status after `result`.

    `settings.rise` good checks in a row make healthy. A transport failure makes a healthy server
    suspect, the `settings.fall`-th in a row unhealthy; so it is for one that comes back, from
    `offline` say, where the network may not be all there yet. Another one that fails is unhealthy
    at once, and so is any after a definite answer. Without a network nothing is known.
    """
    failures = status.failures + 1 if _failed(result) else 0
    successes = status.successes + 1 if result.ok and status.state is not State.HEALTHY else 0
    verdict = _judge(status, result, failures < settings.fall, successes < settings.rise)
    state, reason, detail = verdict
    return HealthStatus(
        state=state,
        reason=reason,
        detail=detail,
        version=result.version or status.version,
        latency_ms=result.latency_ms,
        checked_at=now,
        since=status.since if status.since and state is status.state else now,
        failures=failures,
        successes=0 if state is State.HEALTHY else successes,
    )


def _failed(result: CheckResult) -> bool:
    return result.reason not in (Reason.OK, Reason.OFFLINE, Reason.UNCHECKED)


def _judge(
    status: HealthStatus, result: CheckResult, spared: bool, rising: bool
) -> tuple[State, Reason, str | None]:
    """State, reason and detail; `spared` and `rising` tell that it takes more checks to change."""
    unchanged = status.state, status.reason, status.detail
    offline = status.reason is Reason.OFFLINE
    if result.ok:
        if status.state is State.HEALTHY or not rising:
            return State.HEALTHY, Reason.OK, result.detail
        # That this machine has no network isn't so any longer.
        return (State.UNKNOWN, Reason.UNCHECKED, None) if offline else unchanged
    if not _failed(result):
        return State.UNKNOWN, result.reason, result.detail
    hopeful = status.state is State.HEALTHY or offline or _comes_back(status)
    if result.reason in TRANSPORT_FAILURES and spared and hopeful:
        return unchanged
    return State.UNHEALTHY, result.reason, result.detail


def _comes_back(status: HealthStatus) -> bool:
    """Whether it answered lately, though not often enough to be healthy."""
    return status.state is State.UNKNOWN and status.unsettled


def explain(status: HealthStatus) -> str:
    """The end of a sentence that says why a server is as it is."""
    return status.detail or f"{status.reason}."
