"""Starts each check when it is due, for all servers in one task."""

import asyncio
import logging
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Final, Protocol, Self

from codewalk.health.checker import Checker
from codewalk.health.schedule import Lateness, Schedule
from codewalk.health.status import CheckResult
from codewalk.health.suspend import CLOCK_CHECK_INTERVAL, RECHECK_SPREAD, SuspendDetector
from codewalk.health.throttle import Throttle
from codewalk.servers.profile import ServerProfile
from codewalk.tasks import BackgroundTasks

SOON: Final = 0.0
"""The delay of a check that is due at once."""

MIN_WAKE_INTERVAL: Final = 0.02
"""Seconds between two looks for what is due by the clock: of ten thousand servers, twenty then are,
and the event loop wakes once for all of them."""

log = logging.getLogger(__name__)


class Watched(Protocol):
    """Whose checks these are: who knows the servers, and what a result means."""

    def to_ask(self, server_id: str) -> ServerProfile | None:
        """The server to check; None where it isn't to be asked anything now."""

    def is_failing(self, server_id: str) -> bool:
        """Whether its last check failed, so that the next one may take long."""

    def is_down(self, server_id: str) -> bool:
        """Whether it is known to be down."""

    def found(self, profile: ServerProfile, result: CheckResult) -> float | None:
        """Takes a result; the seconds until the next check, None where there is to be none."""

    def look_around(self) -> None:
        """Is called every `CLOCK_CHECK_INTERVAL` seconds."""

    def time_was_lost(self) -> None:
        """Is called when this process or its machine stood still, or the clock was set."""


class Scheduler:
    """Runs the checks of `watched`; nothing runs outside of the context manager.

    `now` is the wall clock, `idle_clock` counts the seconds in which this process had nothing to
    do. After a time that was lost, the checks under way are void, and all servers are checked once
    within `RECHECK_SPREAD` seconds.
    """

    def __init__(
        self,
        checker: Checker,
        watched: Watched,
        *,
        now: Callable[[], datetime],
        idle_clock: Callable[[], float],
    ) -> None:
        self.first: str | None = None
        """The server that goes before all others."""
        self._checker = checker
        self._watched = watched
        self._now = now
        self._schedule = Schedule(clock=idle_clock)
        self._detector = SuspendDetector()
        self._times_lost = 0
        self._servers: tuple[str, ...] = ()
        self._wake = asyncio.Event()
        self._tasks = BackgroundTasks()

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        self._tasks.start(self._run(), name="health scheduler")
        self._tasks.start(self._look_around(), name="health lookout")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._tasks.__aexit__(*_)

    @property
    def lateness(self) -> Lateness:
        """How long after its deadline each check began, in seconds."""
        return self._schedule.lateness

    def watch(self, server_ids: Iterable[str]) -> None:
        """Names all servers, in the order in which they are checked after a time that was lost."""
        self._servers = tuple(server_ids)

    def plan(self, server_id: str, delay: float = SOON) -> None:
        """Has a server checked in `delay` seconds, and not when it was due before."""
        due = asyncio.get_running_loop().time() + delay
        if self._schedule.plan(server_id, due, failing=self._watched.is_failing(server_id)):
            self._wake.set()

    def plans(self, server_id: str) -> bool:
        """Whether a server has a deadline; it has none while its check is under way."""
        return server_id in self._schedule

    def drop(self, server_id: str) -> None:
        """Has a server checked no more."""
        self._schedule.remove(server_id)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._wake.clear()
            self._look()
            while turn := self._schedule.pop_due(loop.time(), priority=self.first):
                if profile := self._watched.to_ask(turn.server_id):
                    self._start(profile, turn.throttle)
            wait = self._schedule.delay(loop.time())
            timer = (
                None
                if wait is None
                else loop.call_later(max(wait, MIN_WAKE_INTERVAL), self._wake.set)
            )
            await self._wake.wait()
            if timer:
                timer.cancel()

    def _start(self, profile: ServerProfile, throttle: Throttle) -> None:
        task = self._checker.start(profile, down=self._watched.is_down(profile.id))
        throttle.started(task)
        begun = self._times_lost
        task.add_done_callback(lambda done: self._finished(profile, throttle, begun, done))

    def _finished(
        self,
        profile: ServerProfile,
        throttle: Throttle,
        begun: int,
        task: asyncio.Task[CheckResult],
    ) -> None:
        throttle.ended(task)
        if self._schedule.has_waiting(asyncio.get_running_loop().time()):
            self._wake.set()
        self._look()
        # One that ran out of its time because time was lost tells nothing.
        if task.cancelled() or begun != self._times_lost:
            return
        delay = self._watched.found(profile, task.result())
        if delay is not None and not self.plans(profile.id):
            self.plan(profile.id, delay)

    def _look(self) -> None:
        if not self._detector.detect(asyncio.get_running_loop().time(), self._now()):
            return
        log.info("Time was lost, as by sleep: checking %d servers anew", len(self._servers))
        self._times_lost += 1
        self._checker.cancel_all()
        self._watched.time_was_lost()
        step = RECHECK_SPREAD / max(len(self._servers), 1)
        for number, server_id in enumerate(self._servers):
            self.plan(server_id, SOON if server_id == self.first else number * step)

    async def _look_around(self) -> None:
        while True:
            await asyncio.sleep(CLOCK_CHECK_INTERVAL)
            self._look()
            self._watched.look_around()
