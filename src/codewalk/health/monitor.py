"""When each server is checked, and what is known of all of them."""

import asyncio
import heapq
import logging
import random
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final, Protocol, Self

from codewalk.errors import StorageError
from codewalk.health.checker import Checker
from codewalk.health.pace import Pace
from codewalk.health.probe import BUDGET
from codewalk.health.status import (
    RECHECK_AFTER,
    CheckResult,
    HealthStatus,
    Reason,
    State,
    advance,
)
from codewalk.servers.profile import ServerProfile, reached_otherwise

INTERVAL: Final = 10.0
"""Seconds between two checks of a server."""

JITTER: Final = 0.1
"""How much of the interval chance may take or give, so that checks don't bunch."""

LONG_DOWN: Final = ((600.0, 60.0), (120.0, 30.0))
"""Seconds that a server has been down, and the interval from then on."""

SAVE_EVERY: Final = 1.0
"""Seconds between two batches of statuses to the store."""

UNCHECKED: Final = HealthStatus()

log = logging.getLogger(__name__)


class StatusStore(Protocol):
    """Where statuses outlive the process."""

    async def load(self) -> dict[str, HealthStatus]: ...
    async def save(self, statuses: Mapping[str, HealthStatus]) -> None: ...


class Monitor:
    """The status of every server, kept true by checking.

    An async context manager: its scheduler and its writer run between enter and exit when `watch`
    is true; without it only what is asked for is checked. `changed` is called, on the event loop,
    with the id of a server whose state, reason, detail or version changed.
    """

    def __init__(
        self,
        checker: Checker,
        store: StatusStore,
        *,
        changed: Callable[[str], None],
        watch: bool = True,
        interval: float = INTERVAL,
        chance: Callable[[], float] = random.random,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._checker = checker
        self._store = store
        self._changed = changed
        self._watch = watch
        self._interval = interval
        self._chance = chance
        self._now = now
        self._statuses: dict[str, HealthStatus] = {}
        self._applied: dict[str, CheckResult] = {}
        self._dirty: set[str] = set()
        self._profiles: dict[str, ServerProfile] = {}
        self._active_id: str | None = None
        self._held: set[str] = set()
        self._due: dict[str, float] = {}
        self._heap: list[tuple[float, str]] = []
        self._pace = Pace()
        self._crowded = False
        self._wake = asyncio.Event()
        self._group = asyncio.TaskGroup()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._statuses = await self._store.load()
        await self._group.__aenter__()
        if self._watch:
            self._tasks = [
                self._group.create_task(self._schedule(), name="health scheduler"),
                self._group.create_task(self._save_often(), name="health writer"),
            ]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        # Not told of the block's own error, which it would wrap in a group.
        await self._group.__aexit__(None, None, None)
        with suppress(StorageError):
            await self.save()

    def status(self, server_id: str) -> HealthStatus:
        """What is known now; `unknown` where nobody has looked lately."""
        return self._statuses.get(server_id, UNCHECKED).as_of(self._now())

    def state(self, server_id: str) -> State:
        return self.status(server_id).state

    def reconcile(self, profiles: Iterable[ServerProfile], active_id: str | None) -> None:
        """Watches just these servers from now on; a changed one is unknown until it is checked."""
        wanted = {profile.id: profile for profile in profiles}
        for server_id in self._profiles.keys() - wanted.keys():
            self.forget(server_id)
        for server_id, profile in wanted.items():
            known = self._profiles.get(server_id)
            if known is not None and reached_otherwise(known, profile):
                self._checker.forget(server_id)
                self._put(server_id, UNCHECKED)
            if known is None or reached_otherwise(known, profile):
                self._plan(server_id, 0.0)
        self._profiles = wanted
        if active_id != self._active_id:
            self._active_id = active_id
            if active_id:
                self._plan(active_id, 0.0)

    def forget(self, server_id: str) -> None:
        """Drops everything known of a server, its check under way included."""
        self._checker.forget(server_id)
        for kept in (self._statuses, self._applied, self._due):
            kept.pop(server_id, None)
        self._dirty.discard(server_id)
        self._held.discard(server_id)

    def adopt(self, server_id: str, status: HealthStatus) -> None:
        """Takes over a status found by a check of the same server under another id."""
        self._put(server_id, status)

    def hold(self, server_id: str, status: HealthStatus | None = None) -> None:
        """Leaves a server unchecked, as while it is starting, until `release`; at this status."""
        self._held.add(server_id)
        if status:
            self._put(server_id, status)

    def holds(self, server_id: str) -> bool:
        """Whether this server isn't to be asked anything now."""
        return server_id in self._held

    def release(self, server_id: str) -> None:
        """Ends `hold`, and checks the server at once."""
        self._held.discard(server_id)
        self.check_soon(server_id)

    def check_soon(self, server_id: str) -> None:
        """Has the scheduler check this server next; nothing where it is gone meanwhile."""
        if server_id in self._profiles:
            self._plan(server_id, 0.0)

    def doubt(self, server_id: str) -> None:
        """Counts a broken link as a first failure: the check that follows at once decides."""
        status = self._statuses.get(server_id)
        if status and status.state is State.HEALTHY and not status.failures:
            self._statuses[server_id] = replace(status, failures=1)
        self.check_soon(server_id)

    async def check(self, profile: ServerProfile, *, budget: float = BUDGET) -> HealthStatus:
        """Checks a server now and returns its status, settled: a suspect one is checked again."""
        if self.holds(profile.id):
            return self.status(profile.id)
        status = self._apply(profile, await self._checker.check(profile, budget=budget))
        while status.suspect and self._keeps(profile):
            await asyncio.sleep(RECHECK_AFTER)
            result = await self._checker.check(profile, budget=budget, fresh=True)
            status = self._apply(profile, result)
        return status

    async def save(self) -> None:
        """Writes what changed since the last batch. Raises `StorageError`."""
        dirty, self._dirty = self._dirty, set()
        batch = {i: self._statuses[i] for i in dirty if i in self._statuses}
        if not batch:
            return
        try:
            await self._store.save(batch)
        except (StorageError, asyncio.CancelledError):
            self._dirty |= batch.keys()
            raise

    def _apply(self, profile: ServerProfile, result: CheckResult) -> HealthStatus:
        """The status after `result`, which is kept where it still is this server's."""
        server_id = profile.id
        before = self.status(server_id)
        # Several may have waited for one check: it counts once. One that was ended tells nothing.
        if self._applied.get(server_id) is result or result.reason is Reason.UNCHECKED:
            return before
        status = advance(before, result, self._now())
        if self._keeps(profile):
            self._applied[server_id] = result
            self._put(server_id, status)
        return status

    def _keeps(self, profile: ServerProfile) -> bool:
        """Whether what a check of `profile` finds is this server's status."""
        current = self._profiles.get(profile.id)
        changed = current is None or reached_otherwise(profile, current)
        return not changed and profile.id not in self._held

    def _put(self, server_id: str, status: HealthStatus) -> None:
        before = self.status(server_id)
        self._statuses[server_id] = status
        self._dirty.add(server_id)
        if _visibly(before) != _visibly(status):
            self._changed(server_id)
        if before.state is not status.state:
            log.info("Server %s is %s: %s", server_id, status.state, status.reason)

    def _plan(self, server_id: str, delay: float) -> None:
        due = asyncio.get_running_loop().time() + delay
        self._due[server_id] = due
        heapq.heappush(self._heap, (due, server_id))
        if self._heap[0][0] == due:
            self._wake.set()

    def _delay(self, server_id: str) -> float:
        status = self._statuses.get(server_id, UNCHECKED)
        if status.suspect:
            return RECHECK_AFTER
        interval = self._interval
        if status.state is State.UNHEALTHY and server_id != self._active_id and status.since:
            down = (self._now() - status.since).total_seconds()
            interval = next((long for since, long in LONG_DOWN if down >= since), interval)
        return interval * (1 + JITTER * (2 * self._chance() - 1))

    async def _schedule(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._wake.clear()
            wait = self._start_due(loop.time())
            timer = None if wait is None else loop.call_later(wait, self._wake.set)
            await self._wake.wait()
            if timer:
                timer.cancel()

    def _start_due(self, now: float) -> float | None:
        """Starts what is due; returns the seconds until the next may start, None without any."""
        self._crowded = False
        while self._heap:
            due, server_id = self._heap[0]
            if due > now:
                return due - now
            wait = self._pace.wait()
            if wait != 0:
                self._crowded = True
                return wait
            heapq.heappop(self._heap)
            if self._due.get(server_id) != due or server_id in self._held:
                continue  # planned anew meanwhile, gone, or on hold
            del self._due[server_id]
            self._start(self._profiles[server_id])
        return None

    def _start(self, profile: ServerProfile) -> None:
        task = self._checker.begin(profile)
        self._pace.started(task)
        task.add_done_callback(lambda done: self._finished(profile, done))

    def _finished(self, profile: ServerProfile, task: asyncio.Task[CheckResult]) -> None:
        self._pace.ended(task)
        if self._crowded:
            self._wake.set()
        current = self._profiles.get(profile.id)
        if current is None or reached_otherwise(profile, current):
            return
        if not task.cancelled():
            self._apply(profile, task.result())
        if profile.id not in self._due:
            self._plan(profile.id, self._delay(profile.id))

    async def _save_often(self) -> None:
        trouble = False
        while True:
            await asyncio.sleep(SAVE_EVERY)
            try:
                await self.save()
            except StorageError as exc:
                if not trouble:
                    log.warning("Health can't be saved: %s", exc.message)
                trouble = True
            else:
                trouble = False


def _visibly(status: HealthStatus) -> tuple[object, ...]:
    return status.state, status.reason, status.detail, status.version
