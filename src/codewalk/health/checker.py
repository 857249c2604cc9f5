"""The one check that the monitor, the Test button and the command line share."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Final, Self

from codewalk.errors import StorageError
from codewalk.health.loop_lag import LoopLag
from codewalk.health.network import has_route, is_loopback
from codewalk.health.probe import FALLBACK_DELAY, probe
from codewalk.health.status import CheckResult, HealthStatus
from codewalk.reason import Reason, State
from codewalk.servers.profile import ServerProfile, connects_differently
from codewalk.tasks import BackgroundTasks

if TYPE_CHECKING:
    from codewalk.opencode.connection import Connection

RESULT_MAX_AGE: Final = 0.75
"""Seconds for which a result answers further requests for a check."""

PATH_ONLY_SECONDS: Final = 300.0
"""Seconds for which a server that has no `/global/health` is asked for `/path` first."""

VERSION_2_SECONDS: Final = 600.0
"""Seconds for which the answer to whether a server is OpenCode 2 is cached."""

MAX_ATTEMPTS: Final = 3
"""Attempts of a check that times out while this process is late."""

MAX_OWN_DELAY: Final = 0.25
"""Event-loop lag, as a share of the budget, from which on a timeout doesn't count."""

STARTUP_SECONDS: Final = 5.0
"""Seconds after a refused connection in which a server that accepts one is starting."""

STARTUP_CHECK_TIMEOUT: Final = 0.6
"""Seconds for a check of an unhealthy server that is starting.

Current releases leave a request of that moment unanswered for ever, and answer the next one. A
server that is still healthy has its whole timeout to show that it is.
"""

OPEN_ACCESS: Final = "It answers without a password; the stored one isn't sent to it."
"""The detail of a healthy server for which credentials are stored."""

_VERSION_2_RESULTS: Final = frozenset({Reason.NOT_OPENCODE, Reason.INCOMPATIBLE})

_TIMEOUTS: Final = frozenset({Reason.TIMEOUT, Reason.DNS})

_MAYBE_OFFLINE: Final = frozenset({Reason.TIMEOUT, Reason.DNS, Reason.UNREACHABLE})
"""Failures that may be this machine's fault: what refused a connection was reached."""

UNKNOWN_STATUS: Final = HealthStatus()

Connect = Callable[[ServerProfile], Awaitable["Connection"]]
"""Returns the connection to a server; raises `StorageError` for an unreadable password."""

log = logging.getLogger(__name__)


def keyring_timeout(seconds: float) -> StorageError:
    """Return the error for a password that wasn't unlocked within this time."""
    return StorageError(
        "The key for stored passwords can't be read: the system keyring hasn't answered "
        f"within {seconds:g} s. Unlock it and try again, or set CODEWALK_SECRET_KEY."
    )


class _Findings:
    """Facts about a server from earlier checks, for which later ones need not ask again."""

    __slots__ = ("path_only_until", "refused_at", "version_2", "version_2_until")

    def __init__(self) -> None:
        self.path_only_until = 0.0
        self.refused_at = -inf
        self.version_2: CheckResult | None = None
        self.version_2_until = -inf

    def add(self, result: CheckResult, now: float) -> None:
        if not result.path_only:
            self.path_only_until = 0.0
        elif now >= self.path_only_until:
            self.path_only_until = now + PATH_ONLY_SECONDS
        if result.reason is Reason.REFUSED:
            self.refused_at = now
        if result.ok:
            self.version_2_until = -inf

    def was_refused(self, now: float) -> bool:
        return now - self.refused_at < STARTUP_SECONDS


class _ServerChecks:
    """The checks of one server: those in flight, and what the last ones left."""

    __slots__ = ("budget", "ended_at", "findings", "in_flight", "profile", "result", "task")

    def __init__(
        self,
        profile: ServerProfile,
        in_flight: set[asyncio.Task[CheckResult]],
        findings: _Findings,
    ) -> None:
        self.profile = profile
        # Those of another budget, and those that began before an edit, included.
        self.in_flight = in_flight
        self.task: asyncio.Task[CheckResult] | None = None
        self.budget = profile.health_check.timeout
        self.result: CheckResult | None = None
        self.ended_at = 0.0
        self.findings = findings

    def store(self, result: CheckResult, now: float) -> None:
        self.result, self.ended_at = result, now
        self.findings.add(result, now)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Plan:
    """The parameters of one check; each attempt is one probe."""

    budget: float
    attempts: int
    path_delay: float | None
    retry: bool
    requested: bool


def _plan(
    status: HealthStatus, budget: float, *, starting: bool, requested: bool, has_credentials: bool
) -> _Plan:
    """Return how to check a server with this status.

    A server that was healthy gets retries, so that one lost packet makes no failure, also while
    the network of this machine comes back. Any other gets one request, or two where only `/path`
    tells. Credentials that may be wrong aren't sent twice beside each other: each refusal brings a
    ban nearer.
    """
    path_delay: float | None = FALLBACK_DELAY
    if status.refusals or status.reason is Reason.REPORTS_UNHEALTHY:
        path_delay = None
    elif has_credentials and not status.confirmed:
        # A release that never answers `/global/health` has to be recognised all the same.
        path_delay = max(FALLBACK_DELAY, budget / 2)
    if starting:
        budget = min(budget, STARTUP_CHECK_TIMEOUT)
    return _Plan(
        budget=budget,
        attempts=1 if starting or status.refusals else MAX_ATTEMPTS,
        path_delay=path_delay,
        retry=status.state is State.HEALTHY or (status.confirmed and status.state is State.UNKNOWN),
        requested=requested,
    )


class Checker:
    """Checks servers; concurrent checks of one server are one check.

    An async context manager that owns the checks in flight.

    Args:
        connect: Returns the connection to a server.
        route: Returns whether this machine has a route to a URL.
        clock: Counts seconds.
    """

    def __init__(
        self,
        connect: Connect,
        *,
        route: Callable[[str], bool] = has_route,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._connect = connect
        self._route = route
        self._clock = clock
        self._servers: dict[str, _ServerChecks] = {}
        self._lag = LoopLag()
        self._tasks = BackgroundTasks()

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._tasks.__aexit__(*_)

    async def check(
        self,
        profile: ServerProfile,
        *,
        budget: float | None = None,
        fresh: bool = False,
        status: HealthStatus = UNKNOWN_STATUS,
    ) -> CheckResult:
        """Return the result of a check that a user requests: made now, in flight, or just ended.

        Args:
            profile: The server.
            budget: Seconds for the check, in place of the server's own timeout.
            fresh: Don't reuse the result of a check that has ended.
            status: The server's status: it decides which requests a check makes.
        """
        checks = self._checks_of(profile)
        budget = profile.health_check.timeout if budget is None else budget
        recent = self._clock() - checks.ended_at < RESULT_MAX_AGE and not fresh
        result = checks.result if recent else None
        # What failed in less time than is given now may succeed.
        if result and (result.ok or checks.budget >= budget):
            return result
        task = self.start(profile, budget=budget, status=status, requested=True)
        # Not awaited itself: others may be waiting for the same check, and a waiter that is
        # cancelled must not take it from them, nor the check's own end cancel a waiter.
        await asyncio.wait((task,))
        if task.cancelled():
            return CheckResult(reason=Reason.UNCHECKED, detail="The server was changed meanwhile.")
        return task.result()

    def start(
        self,
        profile: ServerProfile,
        *,
        budget: float | None = None,
        status: HealthStatus = UNKNOWN_STATUS,
        requested: bool = False,
    ) -> asyncio.Task[CheckResult]:
        """Return the task of the check in flight, or of a new one; it never fails.

        Args:
            profile: The server.
            budget: As for `check`.
            status: As for `check`.
            requested: Whether a user requests it: then no cached answer is used.
        """
        checks = self._checks_of(profile)
        budget = profile.health_check.timeout if budget is None else budget
        if checks.task and checks.budget >= budget:
            return checks.task
        down = status.state is State.UNHEALTHY
        plan = _plan(
            status,
            budget,
            starting=down and checks.findings.was_refused(self._clock()),
            requested=requested,
            has_credentials=profile.basic_auth_enabled,
        )
        task = self._tasks.create_task(self._run(checks, plan), name=f"check {profile.id}")
        checks.task, checks.budget = task, budget
        checks.in_flight.add(task)
        task.add_done_callback(checks.in_flight.discard)
        return task

    def forget(self, server_id: str) -> None:
        """Drop everything about a server, and cancel its checks in flight."""
        if checks := self._servers.pop(server_id, None):
            for task in checks.in_flight:
                task.cancel()

    def cancel_all(self) -> None:
        """Cancel all checks in flight, and reuse no result from before."""
        for checks in self._servers.values():
            for task in checks.in_flight:
                task.cancel()
            checks.task = checks.result = None

    def has_route(self, profile: ServerProfile) -> bool:
        """Return whether this machine has a route to a server."""
        return is_loopback(profile.url) or self._route(profile.url)

    def _checks_of(self, profile: ServerProfile) -> _ServerChecks:
        checks = self._servers.get(profile.id)
        if checks is None:
            checks = self._servers[profile.id] = _ServerChecks(profile, set(), _Findings())
        elif checks.profile is not profile and checks.profile != profile:
            changed = connects_differently(checks.profile, profile)
            findings = _Findings() if changed else checks.findings
            checks = _ServerChecks(profile, checks.in_flight, findings)
            self._servers[profile.id] = checks
        return checks

    async def _run(self, checks: _ServerChecks, plan: _Plan) -> CheckResult:
        try:
            result = await self._try(checks, plan)
        except Exception:  # whatever a server provokes, the others are still checked
            log.exception("The check of server %s broke", checks.profile.id)
            detail = "Its answer can't be understood."
            result = CheckResult(reason=Reason.NOT_OPENCODE, detail=detail)
        finally:
            if checks.task is asyncio.current_task():
                checks.task = None
        checks.store(result, self._clock())
        return result

    async def _try(self, checks: _ServerChecks, plan: _Plan) -> CheckResult:
        """Probe again while the probe times out and this process was late meanwhile."""
        for _ in range(plan.attempts - 1):
            with self._lag.measure() as lag:
                result = await self._probe(checks, plan)
                if result.reason not in _TIMEOUTS or lag() < MAX_OWN_DELAY * plan.budget:
                    return result
        # A server that never answers must turn red on a machine that is always busy, too.
        return await self._probe(checks, plan)

    async def _connect_within(self, profile: ServerProfile, budget: float) -> "Connection":
        for is_last in (False, True):
            timeout = asyncio.timeout(budget)
            with self._lag.measure() as lag:
                try:
                    async with timeout:
                        return await self._connect(profile)
                except TimeoutError as exc:
                    if not timeout.expired():
                        raise
                    # All that a connection may wait for is the key of the stored passwords. But
                    # the first one also loads modules, for longer than a short budget.
                    if is_last or lag() < MAX_OWN_DELAY * budget:
                        raise keyring_timeout(budget) from exc
        raise AssertionError("the second attempt returns or raises")

    async def _probe(self, checks: _ServerChecks, plan: _Plan) -> CheckResult:
        profile, findings, budget = checks.profile, checks.findings, plan.budget
        try:
            started = self._clock()
            connection = await self._connect_within(profile, budget)
            now = self._clock()
            ask_version_2 = plan.requested or now >= findings.version_2_until
            result = await probe(
                connection,
                # What it took to unlock the password is a part of the budget.
                budget=max(budget - (now - started), 0.001),
                timeout=budget,
                path_first=now < findings.path_only_until,
                path_delay=plan.path_delay,
                retry=plan.retry,
                recognize_version_2=ask_version_2,
            )
        except StorageError as exc:
            return CheckResult(reason=Reason.AUTH_REQUIRED, detail=exc.message)
        if result.ok and connection.answers_without_credentials:
            return replace(result, detail=OPEN_ACCESS)
        if result.reason in _VERSION_2_RESULTS:
            if not ask_version_2:
                # A copy: each check has a result of its own, which counts once.
                return replace(findings.version_2) if findings.version_2 else result
            findings.version_2 = result if result.reason is Reason.INCOMPATIBLE else None
            findings.version_2_until = now + VERSION_2_SECONDS
        if result.reason in _MAYBE_OFFLINE and not self.has_route(profile):
            return CheckResult(reason=Reason.OFFLINE, detail="This machine has no network.")
        return result
