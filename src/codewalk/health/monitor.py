"""When each server is checked, and what is known of all of them."""

import asyncio
import logging
import random
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final, Self

from codewalk.errors import StorageError
from codewalk.health.checker import Checker
from codewalk.health.rhythm import pause
from codewalk.health.schedule import Lateness
from codewalk.health.scheduler import Scheduler
from codewalk.health.status import RECHECK_DELAY, CheckResult, HealthStatus, advance
from codewalk.health.status_writer import StatusStore, StatusWriter
from codewalk.health.suspend import GracePeriod
from codewalk.health.throttle import loop_idle_time
from codewalk.reason import Reason, State
from codewalk.servers.health_check import DEFAULT_SETTINGS, HealthCheckSettings
from codewalk.servers.profile import ServerProfile, connects_differently

MAX_CONCURRENT_CHECKS: Final = 500
"""Checks that one `check_all` has under way at most: each may hold an open file."""

MAX_ROUTE_LOOKUPS: Final = 100
"""Servers at most that are looked at to see whether this machine has its network back."""

UNCHECKED: Final = HealthStatus()

log = logging.getLogger(__name__)


RecordStatus = Callable[[str, HealthStatus, HealthStatus, HealthStatus, CheckResult | None], None]
"""Told of each kept status: whose it is, the one before as it was left and as it counted until now,
this one, and the check behind it."""


class Monitor:
    """The status of every server, kept true by checking.

    An async context manager: its scheduler and its writer run between enter and exit when `watch`
    is true; without it only what is asked for is checked. `on_change` is called, on the event loop,
    with the id of a server whose state, reason, detail or version changed. `interval` goes for
    all servers in place of their own, as for a measurement. `on_resume` is called after a time
    that was lost, as by a laptop's sleep.
    """

    def __init__(  # noqa: PLR0913 - each is a seam
        self,
        checker: Checker,
        store: StatusStore,
        *,
        on_change: Callable[[str], None],
        record: RecordStatus = lambda *_: None,
        on_resume: Callable[[], None] = lambda: None,
        watch: bool = True,
        interval: float | None = None,
        jitter: Callable[[], float] = random.random,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        idle_clock: Callable[[], float] = loop_idle_time,
    ) -> None:
        self._checker = checker
        self._store = store
        self._on_change = on_change
        self._record = record
        self._on_resume = on_resume
        self._watch = watch
        self._interval = interval
        self._jitter = jitter
        self._now = now
        self._statuses: dict[str, HealthStatus] = {}
        self._applied: dict[str, CheckResult] = {}
        self._failed_at: dict[str, float] = {}
        self._writer = StatusWriter(store, self._statuses)
        self._profiles: dict[str, ServerProfile] = {}
        self._paused: set[str] = set()
        self._grace = GracePeriod()
        self._scheduler = Scheduler(checker, self, now=now, idle_clock=idle_clock)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        self._statuses.update(await self._store.load())
        if self._watch:
            await self._stack.enter_async_context(self._scheduler)
            await self._stack.enter_async_context(self._writer)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()
        with suppress(StorageError):
            await self.save()

    @property
    def lateness(self) -> Lateness:
        """How long after its deadline each check by the clock began, in seconds."""
        return self._scheduler.lateness

    def status(self, server_id: str) -> HealthStatus:
        """What is known now; `unknown` where nobody has looked lately."""
        stale_after = self._settings(server_id).stale_after
        return self._statuses.get(server_id, UNCHECKED).as_of(self._now(), stale_after)

    def state(self, server_id: str) -> State:
        return self.status(server_id).state

    def reconcile(self, profiles: Iterable[ServerProfile], active_id: str | None) -> None:
        """Watches just these servers from now on; a changed one is unknown until it is checked."""
        before, wanted = self._profiles, {profile.id: profile for profile in profiles}
        for server_id in before.keys() - wanted.keys():
            self.forget(server_id)
        self._profiles = wanted
        self._scheduler.watch(wanted)
        for server_id, profile in wanted.items():
            self._follow(before.get(server_id), profile)
        if active_id != self._scheduler.first:
            self._scheduler.first = active_id
            if active_id:
                self._scheduler.plan(active_id)

    def _follow(self, before: ServerProfile | None, profile: ServerProfile) -> None:
        if before is None:
            self._scheduler.plan(profile.id)
        elif connects_differently(before, profile):
            self._checker.forget(profile.id)
            self._put(profile.id, UNCHECKED)
            self._scheduler.plan(profile.id)
        elif before.health_check != profile.health_check and self._scheduler.plans(profile.id):
            self._scheduler.plan(profile.id, self._delay(profile.id))

    def forget(self, server_id: str) -> None:
        """Drops everything known of a server, its check under way included."""
        self._checker.forget(server_id)
        self._scheduler.drop(server_id)
        self._grace.forget(server_id)
        self._writer.discard(server_id)
        self._statuses.pop(server_id, None)
        self._applied.pop(server_id, None)
        self._failed_at.pop(server_id, None)
        self._paused.discard(server_id)

    def set_status(self, server_id: str, status: HealthStatus) -> None:
        """Takes over a status found by a check of the same server under another id."""
        self._put(server_id, status)

    def pause(self, server_id: str, status: HealthStatus | None = None) -> None:
        """Leaves a server unchecked, as while it is starting, until `resume`; at this status."""
        self._paused.add(server_id)
        if status:
            self._put(server_id, status)

    def is_paused(self, server_id: str) -> bool:
        """Whether this server isn't to be asked anything now."""
        return server_id in self._paused

    def resume(self, server_id: str) -> None:
        """Ends `pause`, and checks the server at once."""
        self._paused.discard(server_id)
        self.check_soon(server_id)

    def check_soon(self, server_id: str) -> None:
        """Has the scheduler check this server next; nothing where it is gone meanwhile."""
        if server_id in self._profiles:
            self._scheduler.plan(server_id)

    def report_link_failure(self, server_id: str) -> None:
        """Counts a broken link as a first failure: the check that follows at once decides."""
        status = self._statuses.get(server_id)
        sound = status and status.state is State.HEALTHY and not status.failures
        # After a sleep every link from before is broken, which says nothing of a server.
        if status and sound and not self._grace.covers(server_id):
            self._statuses[server_id] = replace(status, failures=1)
            self._failed_at[server_id] = asyncio.get_running_loop().time()
        self.check_soon(server_id)

    def report_success(self, server_id: str, *, sent_at: float) -> bool:
        """Counts a good answer to a request as a good check, where it proves as much.

        That is so for a healthy server: what it was suspected of is forgiven, if the request was
        sent after it (`sent_at`, on the loop's clock). Any other has to be checked: then this is
        false. What a check alone finds, the latency say, stays as it was found.
        """
        status = self._statuses.get(server_id)
        if status is None or status.state is not State.HEALTHY:
            return False
        if status.failures and sent_at > self._failed_at.get(server_id, sent_at):
            self._statuses[server_id] = replace(status, failures=0)
        return True

    async def check(self, profile: ServerProfile, *, budget: float | None = None) -> HealthStatus:
        """Checks a server now and returns its status, settled: where the next check decides, that
        is made too. `budget` goes in place of the server's own timeout."""
        if self.is_paused(profile.id):
            return self.status(profile.id)
        down = self.is_down(profile.id)
        result = await self._checker.check(profile, budget=budget, down=down)
        status = self._apply(profile, result)
        while self._is_open(profile.id, status) and self._keeps(profile):
            await asyncio.sleep(RECHECK_DELAY)
            result = await self._checker.check(profile, budget=budget, fresh=True)
            status = self._apply(profile, result)
        return status

    async def check_all(self, server_ids: Iterable[str], *, budget: float | None = None) -> None:
        """Checks servers now, side by side; passes over one that is gone when its turn comes."""
        slots = asyncio.Semaphore(MAX_CONCURRENT_CHECKS)

        async def check(server_id: str) -> None:
            async with slots:
                if profile := self._profiles.get(server_id):
                    await self.check(profile, budget=budget)

        async with asyncio.TaskGroup() as group:
            for server_id in server_ids:
                group.create_task(check(server_id), name=f"asked check of {server_id}")

    async def save(self) -> None:
        """Writes what changed since the last batch. Raises `StorageError`."""
        await self._writer.save()

    def _apply(self, profile: ServerProfile, result: CheckResult) -> HealthStatus:
        """The status after `result`, which is kept where it still is this server's."""
        server_id = profile.id
        before = self.status(server_id)
        # Several may have waited for one check: it counts once. One that was ended, or couldn't be
        # made, tells nothing.
        if self._applied.get(server_id) is result or result.reason is Reason.UNCHECKED:
            return before
        keeps = self._keeps(profile)
        if keeps and self._grace.excuses(server_id, result):
            self._applied[server_id] = result
            return before
        settings = self._settings(server_id) if keeps else _at_once(profile.health_check)
        status = advance(before, result, self._now(), settings)
        if keeps:
            self._applied[server_id] = result
            if status.failures:
                self._failed_at[server_id] = asyncio.get_running_loop().time()
            self._put(server_id, status, result)
        return status

    def _is_open(self, server_id: str, status: HealthStatus) -> bool:
        """Whether the next check decides."""
        return status.unsettled or self._grace.excused(server_id)

    def _keeps(self, profile: ServerProfile) -> bool:
        """Whether what a check of `profile` finds is this server's status."""
        current = self._profiles.get(profile.id)
        changed = current is None or connects_differently(profile, current)
        return not changed and profile.id not in self._paused

    def _put(self, server_id: str, status: HealthStatus, result: CheckResult | None = None) -> None:
        before = self.status(server_id)
        left = self._statuses.get(server_id, UNCHECKED)
        self._record(server_id, left, before, status, result)
        self._statuses[server_id] = status
        self._writer.add(server_id)
        if _visibly(before) != _visibly(status):
            self._on_change(server_id)
        if before.state is not status.state:
            log.info("Server %s is %s: %s", server_id, status.state, status.reason)

    def _settings(self, server_id: str) -> HealthCheckSettings:
        profile = self._profiles.get(server_id)
        return profile.health_check if profile else DEFAULT_SETTINGS

    # For the scheduler

    def to_ask(self, server_id: str) -> ServerProfile | None:
        return None if self.is_paused(server_id) else self._profiles.get(server_id)

    def is_failing(self, server_id: str) -> bool:
        return self._statuses.get(server_id, UNCHECKED).failures > 0

    def is_down(self, server_id: str) -> bool:
        return self._statuses.get(server_id, UNCHECKED).state is State.UNHEALTHY

    def found(self, profile: ServerProfile, result: CheckResult) -> float | None:
        current = self._profiles.get(profile.id)
        if current is None or connects_differently(profile, current):
            return None
        self._apply(profile, result)
        return self._delay(profile.id)

    def look_around(self) -> None:
        """Has the servers checked that this machine had no way to, once it has one again."""
        lost = [p for i, p in self._profiles.items() if self._reason(i) is Reason.OFFLINE]
        if any(self._checker.has_route(profile) for profile in lost[:MAX_ROUTE_LOOKUPS]):
            for profile in lost:
                self._scheduler.plan(profile.id)

    def time_was_lost(self) -> None:
        self._grace.begin(self._profiles)
        self._on_resume()

    def _reason(self, server_id: str) -> Reason:
        return self._statuses.get(server_id, UNCHECKED).reason

    def _delay(self, server_id: str) -> float:
        if self._grace.excused(server_id):
            return RECHECK_DELAY
        own = self._settings(server_id).interval
        return pause(
            self._statuses.get(server_id, UNCHECKED),
            own if self._interval is None else self._interval,
            now=self._now(),
            active=server_id == self._scheduler.first,
            jitter=self._jitter(),
        )


def _at_once(settings: HealthCheckSettings) -> HealthCheckSettings:
    """For a server that isn't watched: one good check shows that it can be used."""
    return replace(settings, rise=1)


def _visibly(status: HealthStatus) -> tuple[object, ...]:
    return status.state, status.reason, status.detail, status.version
