"""The health of one server as a value, and how one check changes it.

Pure: a status and a result go in, a new status comes out, so every rule here is tested without a
network or a clock.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final

RECHECK_AFTER: Final = 0.5
"""Seconds until a suspect server is checked again."""

STALE_AFTER: Final = timedelta(minutes=3)
"""A stored status older than this says nothing about now: three times the longest interval."""


class State(StrEnum):
    """Green means usable, red says why, grey means not known."""

    HEALTHY = "healthy"
    UNKNOWN = "unknown"
    UNHEALTHY = "unhealthy"


class Reason(StrEnum):
    """Why a server is in its state."""

    OK = "ok"
    UNCHECKED = "unchecked"
    REFUSED = "refused"
    TIMEOUT = "timeout"
    DNS = "dns"
    TLS = "tls"
    UNREACHABLE = "unreachable"
    AUTH_REQUIRED = "auth_required"
    AUTH_REJECTED = "auth_rejected"
    NOT_OPENCODE = "not_opencode"
    SERVER_ERROR = "server_error"
    INCOMPATIBLE = "incompatible"
    OFFLINE = "offline"


TRANSPORT: Final = frozenset(
    {Reason.REFUSED, Reason.TIMEOUT, Reason.DNS, Reason.TLS, Reason.UNREACHABLE}
)
"""Failures below HTTP. One alone may be a hiccup; a definite answer never is."""


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

    `since` is when the state began and changes only with the state; `failures` counts the failed
    checks in a row; `version` is the last one seen.
    """

    state: State = State.UNKNOWN
    reason: Reason = Reason.UNCHECKED
    detail: str | None = None
    version: str | None = None
    latency_ms: float | None = None
    checked_at: datetime | None = None
    since: datetime | None = None
    failures: int = 0

    @property
    def suspect(self) -> bool:
        """Still healthy, though the last check failed: the next one decides."""
        return self.state is State.HEALTHY and self.failures > 0

    def as_of(self, now: datetime) -> "HealthStatus":
        """This status, or `unknown` where nobody has looked for `STALE_AFTER`."""
        if self.checked_at is None or now - self.checked_at <= STALE_AFTER:
            return self
        old = replace(self, reason=Reason.UNCHECKED, latency_ms=None, failures=0)
        if self.state is State.UNKNOWN:
            return old
        return replace(
            old,
            state=State.UNKNOWN,
            detail=f"Not checked lately; was {self.state} when last seen.",
            since=self.checked_at + STALE_AFTER,
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


def advance(status: HealthStatus, result: CheckResult, now: datetime) -> HealthStatus:
    """The status after `result`.

    One success makes healthy. A transport failure makes a healthy server suspect, the second in a
    row unhealthy. A definite answer counts at once. Without a network nothing is known.
    """
    state, reason, detail = _judge(status, result)
    return HealthStatus(
        state=state,
        reason=reason,
        detail=detail,
        version=result.version or status.version,
        latency_ms=result.latency_ms,
        checked_at=now,
        since=status.since if status.since and state is status.state else now,
        failures=0 if result.ok else status.failures + 1,
    )


def _judge(status: HealthStatus, result: CheckResult) -> tuple[State, Reason, str | None]:
    if result.ok:
        return State.HEALTHY, Reason.OK, result.detail
    if result.reason in (Reason.OFFLINE, Reason.UNCHECKED):
        return State.UNKNOWN, result.reason, result.detail
    first = status.state is State.HEALTHY and not status.failures
    if first and result.reason in TRANSPORT:
        return State.HEALTHY, status.reason, status.detail
    return State.UNHEALTHY, result.reason, result.detail


def rfc3339(moment: datetime | None) -> str | None:
    """UTC with milliseconds, as `2026-02-09T20:51:50.489Z`."""
    if moment is None:
        return None
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
