"""The health of one server as a value, and how one check result changes it.

Pure: a status and a result go in, a new status comes out, so every rule here is tested without a
network or a clock.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from codewalk.reason import (
    NO_ANSWER,
    REASON_SENTENCES,
    TRANSPORT_FAILURES,
    UNDECIDED,
    Reason,
    State,
)
from codewalk.servers.health_check import STALE_AFTER, HealthCheckSettings
from codewalk.times import rfc3339

RECHECK_DELAY: Final = 0.5
"""Seconds until the next check of a server whose status is unsettled."""


MAX_CHECK_DELAY: Final = timedelta(minutes=10)
"""The longest time without a check that a server can cause: it is busy, or refused credentials."""

CONNECTION_REFUSED_TOO: Final = "It now refuses the connection too."
"""Added to the detail of refused credentials: the server may have banned this address."""

REFUSED_CREDENTIALS: Final = frozenset({Reason.AUTH_REQUIRED, Reason.AUTH_REJECTED})
"""Reasons of a server that wants other credentials."""

RARELY_CHECKED: Final = REFUSED_CREDENTIALS | {Reason.BUSY}
"""Reasons of a server that is asked rarely: its status is valid for `MAX_CHECK_DELAY` more."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckResult:
    """The result of one check.

    Attributes:
        reason: `Reason.OK`, or why the check failed.
        detail: One sentence for a person, without the server's name.
        version: The release, where the server named it.
        latency_ms: The time of the request that was answered, without retries.
        path_only: Whether `/path` answered and `/global/health` doesn't exist in this release.
        refused: Whether the server itself answered that it wants other credentials.
        retry_after: The seconds after which a busy server may be asked again.
    """

    reason: Reason
    detail: str | None = None
    version: str | None = None
    latency_ms: float | None = None
    path_only: bool = False
    refused: bool = False
    retry_after: float | None = None

    @property
    def ok(self) -> bool:
        return self.reason is Reason.OK


@dataclass(frozen=True, kw_only=True, slots=True)
class HealthStatus:
    """The health of one server.

    Attributes:
        state: Whether the server can be used.
        reason: Why it is in that state.
        detail: One sentence for a person, or None.
        version: The last release that was seen.
        latency_ms: The latency of the last check, None where it failed.
        checked_at: The end of the last check.
        since: The beginning of the state; it changes with the state alone.
        failures: Failed checks in a row.
        successes: Good checks in a row of a server that isn't healthy yet.
        refusals: Checks in this process since the server first refused the credentials, that
            one included; 0 after a good check. Not stored, as below.
        retry_at: The time before which a busy server isn't to be asked.
        warning: What a healthy server fails at, though it answers its checks; one sentence.
        confirmed: Whether a check in this process succeeded, and none was refused since; an edit
            of the URL or the credentials begins anew.
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
    refusals: int = 0
    retry_at: datetime | None = None
    confirmed: bool = False
    warning: str | None = None

    @property
    def suspect(self) -> bool:
        """Whether the server is still healthy, though the last check failed."""
        return self.state is State.HEALTHY and self.failures > 0

    @property
    def unsettled(self) -> bool:
        """Whether the next checks decide on the state: too few in a row agree so far."""
        return self.successes > 0 or (self.failures > 0 and self.state is not State.UNHEALTHY)

    def as_of(self, now: datetime, stale_after: timedelta = STALE_AFTER) -> "HealthStatus":
        """Return this status, or `unknown` where its last check is older than `stale_after`.

        With a reason in `RARELY_CHECKED` it is valid for longer.
        """
        if self.reason in RARELY_CHECKED:
            stale_after += MAX_CHECK_DELAY
        if self.checked_at is None or now - self.checked_at <= stale_after:
            return self
        stale = replace(self, reason=Reason.UNCHECKED, latency_ms=None, failures=0, successes=0)
        if self.state is State.UNKNOWN:
            return stale
        return replace(
            stale,
            state=State.UNKNOWN,
            detail=f"Not checked lately; was {self.state} when last seen.",
            since=self.checked_at + stale_after,
        )

    def to_json(self) -> dict[str, Any]:
        """Return the `health` object of the server JSON."""
        return {
            "state": self.state.value,
            "reason": self.reason.value,
            "detail": self.detail,
            "version": self.version,
            "latency_ms": None if self.latency_ms is None else round(self.latency_ms, 1),
            "checked_at": rfc3339(self.checked_at),
            "since": rfc3339(self.since),
            "warning": self.warning if self.state is State.HEALTHY else None,
        }


def advance(
    status: HealthStatus, result: CheckResult, now: datetime, settings: HealthCheckSettings
) -> HealthStatus:
    """Return the status after a check.

    `settings.rise` good checks in a row make a server healthy. A transport failure makes a healthy
    server suspect, the `settings.fall`-th in a row makes it unhealthy. The same goes for a server
    that is coming back, from `offline` for example: the network may not be complete yet. Any other
    server that fails is unhealthy at once, and so is every server after a failure above the
    transport. Without a network, and while the server is busy, the state is unknown.

    A server that refused the credentials and then doesn't answer any more has still refused them:
    many ban an address after some refusals. The reason stays, and the detail adds it.

    Args:
        status: The status before, already `unknown` where it was stale.
        result: The result of the check.
        now: The end of the check.
        settings: The server's settings.
    """
    failures = status.failures + 1 if _is_failure(result) else 0
    successes = status.successes + 1 if result.ok and status.state is not State.HEALTHY else 0
    state, reason, detail = _decide(
        status,
        result,
        below_fall=failures < settings.fall,
        below_rise=successes < settings.rise,
    )
    return HealthStatus(
        state=state,
        reason=reason,
        detail=detail,
        refusals=_count_refusals(status, result),
        confirmed=result.ok or (status.confirmed and not result.refused),
        retry_at=None
        if result.retry_after is None
        else now + timedelta(seconds=result.retry_after),
        version=result.version or status.version,
        latency_ms=result.latency_ms,
        checked_at=now,
        since=status.since if status.since and state is status.state else now,
        failures=failures,
        successes=0 if state is State.HEALTHY else successes,
        # Whatever a server failed at before it was down is requested again after that.
        warning=status.warning if state is status.state is State.HEALTHY else None,
    )


def _is_failure(result: CheckResult) -> bool:
    return not result.ok and result.reason not in UNDECIDED


def _count_refusals(status: HealthStatus, result: CheckResult) -> int:
    if result.ok:
        return 0
    # Without a refusal first, a failure says nothing about the credentials.
    return status.refusals + (result.refused or status.refusals > 0)


def _decide(
    status: HealthStatus, result: CheckResult, *, below_fall: bool, below_rise: bool
) -> tuple[State, Reason, str | None]:
    """Return the new state, reason and detail.

    Args:
        status: The status before.
        result: The result of the check.
        below_fall: Whether more failures in a row are needed to make the server unhealthy.
        below_rise: Whether more good checks in a row are needed to make it healthy.
    """
    unchanged = status.state, status.reason, status.detail
    offline = status.reason is Reason.OFFLINE
    if result.ok:
        if status.state is State.HEALTHY or not below_rise:
            return State.HEALTHY, Reason.OK, result.detail
        # The server answered, so this machine has a network again.
        return (State.UNKNOWN, Reason.UNCHECKED, None) if offline else unchanged
    if not _is_failure(result):
        return State.UNKNOWN, result.reason, result.detail
    was_refused = status.reason is Reason.AUTH_REJECTED or (
        status.reason is Reason.AUTH_REQUIRED and status.refusals
    )
    if result.reason in NO_ANSWER and was_refused:
        return status.state, status.reason, _with_refused_connection(status.detail)
    tolerated = status.state is State.HEALTHY or offline or _is_coming_back(status)
    if result.reason in TRANSPORT_FAILURES and below_fall and tolerated:
        return unchanged
    return State.UNHEALTHY, result.reason, result.detail


def _with_refused_connection(detail: str | None) -> str:
    before = (detail or "").removesuffix(CONNECTION_REFUSED_TOO).rstrip()
    return f"{before} {CONNECTION_REFUSED_TOO}".lstrip()


def _is_coming_back(status: HealthStatus) -> bool:
    """Return whether the server answered lately, but not often enough to be healthy."""
    return status.state is State.UNKNOWN and status.unsettled


def explain(status: HealthStatus) -> str:
    """Return why a server is in its state: a sentence for a person."""
    return status.detail or REASON_SENTENCES[status.reason]
