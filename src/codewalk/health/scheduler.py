"""Starts each check when it is due, for all servers in one task."""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime
from typing import Final, Self

from codewalk.health.checker import Checker
from codewalk.health.schedule import Lateness, Schedule, is_held_back, next_interval
from codewalk.health.status import RECHECK_DELAY, CheckResult
from codewalk.health.statuses import Statuses
from codewalk.health.suspend import CLOCK_CHECK_INTERVAL, RECHECK_SPREAD, SuspendDetector
from codewalk.health.throttle import Throttle
from codewalk.servers.profile import ServerProfile
from codewalk.tasks import BackgroundTasks

MIN_WAKE_INTERVAL: Final = 0.02
"""Seconds between two timers for due checks.

Of ten thousand servers, twenty are due by then, and the event loop wakes once for all of them.
"""

MAX_ROUTE_LOOKUPS: Final = 100
"""Offline servers whose routes are looked up each second, to detect a network."""

log = logging.getLogger(__name__)


class Scheduler:
    """Checks every server again and again; nothing runs outside of the context manager.

    A result goes one way: from the checker into `statuses`, which record and announce it. After a
    suspend the checks in flight are cancelled, and all servers are checked once within
    `RECHECK_SPREAD` seconds.

    Args:
        checker: Makes the checks.
        statuses: Take the results.
        interval: Seconds, in place of each server's own interval; for measurements.
        jitter: Returns a random number from 0 to 1.
        now: The wall clock.
        idle_clock: Counts the seconds in which this process was idle.
        on_resume: Called after a suspend.
    """

    def __init__(
        self,
        checker: Checker,
        statuses: Statuses,
        *,
        interval: float | None,
        jitter: Callable[[], float],
        now: Callable[[], datetime],
        idle_clock: Callable[[], float],
        on_resume: Callable[[], None],
    ) -> None:
        self.priority: str | None = None
        """The active server, which comes before all others."""
        self._checker = checker
        self._statuses = statuses
        self._interval = interval
        self._jitter = jitter
        self._now = now
        self._on_resume = on_resume
        self._schedule = Schedule(clock=idle_clock)
        self._detector = SuspendDetector()
        self._suspends = 0
        self._wake = asyncio.Event()
        self._tasks = BackgroundTasks()

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        self._tasks.start_job(self._run, name="health scheduler")
        self._tasks.start_job(self._watch_machine, name="suspend and network watch")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._tasks.__aexit__(*_)

    @property
    def lateness(self) -> Lateness:
        """The seconds from each check's deadline to its start."""
        return self._schedule.lateness

    def plan(self, server_id: str, delay: float = 0.0) -> None:
        """Check a server in `delay` seconds, and not when it was due before."""
        due = asyncio.get_running_loop().time() + delay
        failing = self._statuses.latest(server_id).failures > 0
        if self._schedule.plan(server_id, due, failing=failing):
            self._wake.set()

    def plan_next(self, server_id: str) -> None:
        """Check a server when its status and its settings say so."""
        self.plan(server_id, self._delay(server_id))

    def is_held_back(self, server_id: str) -> bool:
        """Return whether a server is asked nothing before its next scheduled check."""
        return is_held_back(self._statuses.latest(server_id), self._now())

    def is_planned(self, server_id: str) -> bool:
        """Return whether a server has a deadline; it has none while its check is in flight."""
        return server_id in self._schedule

    def remove(self, server_id: str) -> None:
        """Don't check a server any more."""
        self._schedule.remove(server_id)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        # If this job is started again after a fault: a server whose turn it was then has no
        # deadline any more. One whose check is in flight joins it.
        for server_id in self._statuses.profiles:
            if not self.is_planned(server_id):
                self.plan(server_id)
        while True:
            self._wake.clear()
            self._detect_suspend()
            while due := self._schedule.pop_due(loop.time(), priority=self.priority):
                profile = self._statuses.profiles.get(due.server_id)
                if profile and not self._statuses.is_paused(profile.id):
                    self._start(profile, due.throttle)
            delay = self._schedule.delay(loop.time())
            timer = None
            if delay is not None:
                timer = loop.call_later(max(delay, MIN_WAKE_INTERVAL), self._wake.set)
            await self._wake.wait()
            if timer:
                timer.cancel()

    def _start(self, profile: ServerProfile, throttle: Throttle) -> None:
        task = self._checker.start(profile, status=self._statuses.latest(profile.id))
        throttle.started(task)
        suspends = self._suspends
        task.add_done_callback(lambda done: self._finish(profile, throttle, suspends, done))

    def _finish(
        self,
        profile: ServerProfile,
        throttle: Throttle,
        suspends: int,
        task: asyncio.Task[CheckResult],
    ) -> None:
        throttle.ended(task)
        if self._schedule.has_waiting(asyncio.get_running_loop().time()):
            self._wake.set()
        self._detect_suspend()
        # A check that was in flight during a suspend says nothing about its server.
        if task.cancelled() or suspends != self._suspends:
            return
        if not self._statuses.is_current(profile):
            return
        try:
            self._statuses.apply(profile, task.result())
        except Exception:  # whatever it is, the server is checked again
            log.exception("The result of a check of server %s can't be applied", profile.id)
        if not self.is_planned(profile.id):
            self.plan_next(profile.id)

    def _delay(self, server_id: str) -> float:
        if self._statuses.is_excused(server_id):
            return RECHECK_DELAY
        interval = self._interval
        return next_interval(
            self._statuses.latest(server_id),
            self._statuses.settings(server_id).interval if interval is None else interval,
            now=self._now(),
            active=server_id == self.priority,
            jitter=self._jitter(),
        )

    async def _watch_machine(self) -> None:
        while True:
            await asyncio.sleep(CLOCK_CHECK_INTERVAL)
            self._detect_suspend()
            self._detect_network()

    def _detect_suspend(self) -> None:
        if self._detector.detect(asyncio.get_running_loop().time(), self._now()):
            self.handle_suspend()

    def handle_suspend(self) -> None:
        """Check all servers once, and trust nothing from before the suspend."""
        server_ids = tuple(self._statuses.profiles)
        log.info("This process or its machine was suspended: checking %d servers", len(server_ids))
        self._suspends += 1
        self._checker.cancel_all()
        self._statuses.begin_grace_period()
        step = RECHECK_SPREAD / max(len(server_ids), 1)
        for number, server_id in enumerate(server_ids):
            if self.is_planned(server_id) and self.is_held_back(server_id):
                continue
            self.plan(server_id, 0.0 if server_id == self.priority else number * step)
        try:
            self._on_resume()
        except Exception:  # the servers are checked all the same
            log.exception("What follows a suspend failed")

    def _detect_network(self) -> None:
        """Check the servers that were offline, once there is a route to one of them."""
        offline = self._statuses.offline()
        if any(self._checker.has_route(profile) for profile in offline[:MAX_ROUTE_LOOKUPS]):
            for profile in offline:
                self.plan(profile.id)
