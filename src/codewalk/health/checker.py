"""The check that the list, the Test button and the command line share."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Final, Self

from codewalk.errors import StorageError
from codewalk.health.loop_lag import LoopLag
from codewalk.health.network import has_route, is_loopback
from codewalk.health.probe import probe
from codewalk.health.status import CheckResult
from codewalk.reason import Reason
from codewalk.servers.profile import ServerProfile
from codewalk.tasks import BackgroundTasks

if TYPE_CHECKING:
    from codewalk.opencode.connection import Connection

RESULT_MAX_AGE: Final = 0.75
"""Seconds for which a result answers further requests for a check."""

PATH_ONLY_SECONDS: Final = 300.0
"""Seconds until a server known by `/path` alone is asked for `/global/health` again."""

MAX_ATTEMPTS: Final = 3
"""How often a check is made at most that ran out of time while this process was late."""

MAX_OWN_DELAY: Final = 0.25
"""The part of a check's budget by which this process may be late. Where it was later than that, a
check that ran out of time is no evidence against the server."""

_OUT_OF_TIME: Final = frozenset({Reason.TIMEOUT, Reason.DNS})
STARTUP_SECONDS: Final = 5.0
"""Seconds after a refusal in which a server that takes a request has only just begun to listen."""

STARTUP_CHECK_TIMEOUT: Final = 0.6
"""Seconds for a check then, of a server that is known to be down: current releases leave a request
of that moment unanswered for ever, and answer the next one. One that counts as well has all its
time to show that it is."""

_LOST: Final = frozenset({Reason.TIMEOUT, Reason.DNS, Reason.UNREACHABLE})
"""What may be this machine's fault; who is refused was heard."""

Connect = Callable[[ServerProfile], Awaitable["Connection"]]

log = logging.getLogger(__name__)


class _Known:
    """What is remembered of one server between checks."""

    __slots__ = (
        "at", "budget", "by_path_until", "profile", "refusals", "refused_at", "result", "running",
        "task",
    )  # fmt: skip

    def __init__(self, profile: ServerProfile, running: set[asyncio.Task[CheckResult]]) -> None:
        self.profile = profile
        self.running = running  # also checks of another budget, or begun before an edit
        self.task: asyncio.Task[CheckResult] | None = None
        self.budget = profile.health_check.timeout
        self.result: CheckResult | None = None
        self.at = 0.0
        self.by_path_until = 0.0
        self.refused_at = -inf

    def take(self, result: CheckResult, now: float) -> None:
        self.result, self.at = result, now
        if not result.by_path:
            self.by_path_until = 0.0
        elif now >= self.by_path_until:
            self.by_path_until = now + PATH_ONLY_SECONDS
        if result.reason is Reason.REFUSED:
            self.refused_at = now

    def was_refused(self, now: float) -> bool:
        """Whether nothing listened there just now."""
        return now - self.refused_at < STARTUP_SECONDS


class Checker:
    """Checks servers; concurrent checks of one server are one check.

    An async context manager that owns the running checks. `connect` gives the connection to a
    server; `route` tells whether this machine has a way to a URL; `clock` counts seconds.
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
        self._known: dict[str, _Known] = {}
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
        down: bool = False,
    ) -> CheckResult:
        """The result of a check made now, under way, or, unless `fresh`, just finished.

        `budget` goes in place of the server's own timeout, in seconds; `down` tells that the server
        is known to be.
        """
        known = self._of(profile)
        budget = profile.health_check.timeout if budget is None else budget
        recent = known.result if self._clock() - known.at < RESULT_MAX_AGE and not fresh else None
        # What failed in less time than is given now may do better.
        if recent and (recent.ok or known.budget >= budget):
            return recent
        task = self.start(profile, budget=budget, down=down)
        # Not awaited itself: others may be waiting for the same check, and a waiter that is
        # cancelled must not take it from them, nor the check's own end cancel a waiter.
        await asyncio.wait((task,))
        if task.cancelled():
            return CheckResult(reason=Reason.UNCHECKED, detail="The server was changed meanwhile.")
        return task.result()

    def start(
        self, profile: ServerProfile, *, budget: float | None = None, down: bool = False
    ) -> asyncio.Task[CheckResult]:
        """The check under way for this server, or a new one. Its task never fails."""
        known = self._of(profile)
        budget = profile.health_check.timeout if budget is None else budget
        if known.task and known.budget >= budget:
            return known.task
        hasty = down and known.was_refused(self._clock())
        run = (
            self._run(known, min(budget, STARTUP_CHECK_TIMEOUT), tries=1)
            if hasty
            else self._run(known, budget)
        )
        task = self._tasks.create_task(run, name=f"check {profile.id}")
        known.task, known.budget = task, budget
        known.running.add(task)
        task.add_done_callback(known.running.discard)
        return task

    def forget(self, server_id: str) -> None:
        """Drops what is remembered of a server, and its checks under way."""
        if known := self._known.pop(server_id, None):
            for task in known.running:
                task.cancel()

    def cancel_all(self) -> None:
        """Ends all checks under way, and reuses no result from before: time was lost meanwhile."""
        for known in self._known.values():
            for task in known.running:
                task.cancel()
            known.task = known.result = None

    def has_route(self, profile: ServerProfile) -> bool:
        """Whether this machine has a way to this server."""
        return is_loopback(profile.url) or self._route(profile.url)

    def _of(self, profile: ServerProfile) -> _Known:
        known = self._known.get(profile.id)
        if known is None or (known.profile is not profile and known.profile != profile):
            known = _Known(profile, known.running if known else set())
            self._known[profile.id] = known
        return known

    async def _run(self, known: _Known, budget: float, *, tries: int = MAX_ATTEMPTS) -> CheckResult:
        try:
            result = await self._in_time(known, budget, tries)
        finally:
            if known.task is asyncio.current_task():
                known.task = None
        known.take(result, self._clock())
        return result

    async def _in_time(self, known: _Known, budget: float, tries: int) -> CheckResult:
        """The result of a check for which this process had the time, if it has any."""
        for _ in range(tries - 1):
            with self._lag.measured() as late:
                result = await self._result(known, budget)
                if result.reason not in _OUT_OF_TIME or late() < MAX_OWN_DELAY * budget:
                    return result
        # A server that never answers must turn red on a machine that is always busy, too.
        return await self._result(known, budget)

    async def _result(self, known: _Known, budget: float) -> CheckResult:
        profile = known.profile
        try:
            connection = await self._connect(profile)
            path_first = self._clock() < known.by_path_until
            result = await probe(connection, budget=budget, path_first=path_first)
        except StorageError as exc:
            return CheckResult(reason=Reason.AUTH_REQUIRED, detail=exc.message)
        except Exception:  # whatever a server provokes, the others are still checked
            log.exception("The check of server %s broke", profile.id)
            return CheckResult(reason=Reason.NOT_OPENCODE, detail="Its answer can't be understood.")
        if result.reason in _LOST and not self.has_route(profile):
            return CheckResult(reason=Reason.OFFLINE, detail="This machine has no network.")
        return result
