"""Watches the health of all servers: checks each when it is due, and holds its status."""

import asyncio
import random
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, nullcontext, suppress
from dataclasses import replace
from datetime import UTC, datetime
from math import inf
from typing import Final, Self

from codewalk.errors import RequestFailed, StorageError
from codewalk.health.checker import Checker
from codewalk.health.schedule import Lateness
from codewalk.health.scheduler import Scheduler
from codewalk.health.status import RECHECK_DELAY, REFUSED_CREDENTIALS, HealthStatus, explain
from codewalk.health.status_writer import StatusStore
from codewalk.health.statuses import UNCHECKED, RecordStatus, Statuses
from codewalk.health.throttle import loop_idle_time
from codewalk.reason import Reason, State
from codewalk.servers.profile import ServerProfile, connects_differently

MAX_CONCURRENT_CHECKS: Final = 500
"""Checks in flight of one `check_all`: each may hold an open file."""

_NOT_BUSY: Final[tuple[float, RequestFailed | None]] = (-inf, None)

CHECK_AGAIN: Final = "Nothing was sent; check the server again once that is corrected."

MAX_SETTLE_SECONDS: Final = 30.0
"""Seconds after the first result in which further checks begin to settle a status."""


class Monitor:
    """The health of every server, kept up to date by checks.

    An async context manager: the scheduler and the writer of statuses run between enter and exit.

    Args:
        checker: Makes the checks.
        store: Where the statuses are stored.
        on_change: Called, on the event loop, with the id of a server whose state, reason, detail
            or version changed.
        on_warning: Called, on the event loop, with the id of a server whose warning changed.
        record: Called for each new status.
        on_resume: Called after this process or its machine was suspended.
        watch: Without it nothing is scheduled, and only what is asked for is checked.
        interval: Seconds, in place of each server's own interval; for measurements.
        jitter: Returns a random number from 0 to 1.
        now: The wall clock.
        idle_clock: Counts the seconds in which this process was idle.
    """

    def __init__(  # noqa: PLR0913 - each is a seam
        self,
        checker: Checker,
        store: StatusStore,
        *,
        on_change: Callable[[str], None],
        on_warning: Callable[[str], None] = lambda _: None,
        record: RecordStatus = lambda *_: None,
        on_resume: Callable[[], None] = lambda: None,
        watch: bool = True,
        interval: float | None = None,
        jitter: Callable[[], float] = random.random,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        idle_clock: Callable[[], float] = loop_idle_time,
    ) -> None:
        self._checker = checker
        self._watch = watch
        self._statuses = Statuses(
            store, on_change=on_change, on_warning=on_warning, record=record, now=now
        )
        self._scheduler = Scheduler(
            checker,
            self._statuses,
            interval=interval,
            jitter=jitter,
            now=now,
            idle_clock=idle_clock,
            on_resume=on_resume,
        )
        self._busy: dict[str, tuple[float, RequestFailed]] = {}
        """Until when, on the event loop's clock, requests of a server that is healthy wait."""
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        # Of warnings from before this process nothing tells when they end.
        await self._statuses.load(warnings=not self._watch)
        if self._watch:
            await self._stack.enter_async_context(self._scheduler)
            await self._stack.enter_async_context(self._statuses.writer)
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            await self._stack.aclose()
        finally:
            with suppress(StorageError):
                await self.save()

    @property
    def lateness(self) -> Lateness:
        """The seconds from each scheduled check's deadline to its start."""
        return self._scheduler.lateness

    def status(self, server_id: str) -> HealthStatus:
        """Return a server's status as of now: `unknown` where its last check is too old."""
        return self._statuses.get(server_id)

    def state(self, server_id: str) -> State:
        """Return the state of a server's status."""
        return self.status(server_id).state

    def set_status(self, server_id: str, status: HealthStatus) -> None:
        """Replace a server's status, for example by that of the same server under another id."""
        self._statuses.set(server_id, status)

    def warning(self, server_id: str) -> str | None:
        """Return what a server fails at, though it answers its checks; None without a warning."""
        return self._statuses.latest(server_id).warning

    def set_warning(self, server_id: str, warning: str | None) -> None:
        """Replace the warning about a server; only a healthy one shows it."""
        self._statuses.set_warning(server_id, warning)

    def reconcile(self, profiles: Iterable[ServerProfile], active_id: str | None) -> None:
        """Watch just these servers from now on.

        A new server is checked at once, and so is one that is reached differently, which is
        unknown until then, and one that became active.
        """
        before, wanted = self._statuses.profiles, {profile.id: profile for profile in profiles}
        for server_id in before.keys() - wanted.keys():
            self.forget(server_id)
        self._statuses.profiles = wanted
        for server_id, profile in wanted.items():
            self._reconcile_one(before.get(server_id), profile)
        if active_id != self._scheduler.priority:
            self._scheduler.priority = active_id
            if active_id:
                self.check_soon(active_id)

    def _reconcile_one(self, before: ServerProfile | None, profile: ServerProfile) -> None:
        if before is None:
            self._scheduler.plan(profile.id)
        elif connects_differently(before, profile):
            moved = before.url != profile.url and not profile.managed
            detail = f"Its URL was {before.url} before." if moved else None
            self.begin_anew(profile.id, detail)
        elif before.health_check != profile.health_check and self._scheduler.is_planned(profile.id):
            self._scheduler.plan_next(profile.id)

    def begin_anew(self, server_id: str, detail: str | None = None) -> None:
        """Check a server at once, which is unknown until then: older checks don't count.

        Args:
            server_id: The server.
            detail: Why, for its history.
        """
        self._checker.forget(server_id)
        self._busy.pop(server_id, None)
        self._statuses.set(server_id, replace(UNCHECKED, detail=detail))
        self._scheduler.plan(server_id)

    def forget(self, server_id: str) -> None:
        """Drop everything about a server, and cancel its checks in flight."""
        self._checker.forget(server_id)
        self._busy.pop(server_id, None)
        self._scheduler.remove(server_id)
        self._statuses.forget(server_id)

    def pause(self, server_id: str, status: HealthStatus | None = None) -> None:
        """Don't check a server until `resume`, for example while it is starting.

        Args:
            server_id: The server.
            status: Its status until then; None leaves it as it is.
        """
        self._statuses.pause(server_id)
        if status:
            self._statuses.set(server_id, status)

    def is_paused(self, server_id: str) -> bool:
        """Return whether nothing may be requested of a server now."""
        return self._statuses.is_paused(server_id)

    def resume(self, server_id: str) -> None:
        """End `pause`, and check the server at once."""
        self._statuses.resume(server_id)
        self.check_soon(server_id)

    def check_soon(self, server_id: str) -> None:
        """Let the scheduler check a server next, unless it is gone meanwhile or held back."""
        if server_id in self._statuses.profiles and not self._scheduler.is_held_back(server_id):
            self._scheduler.plan(server_id)

    def is_confirmed(self, server_id: str) -> bool:
        """Return whether a check in this process succeeded, and none was refused since."""
        return self._statuses.latest(server_id).confirmed

    async def require_usable(self, profile: ServerProfile) -> None:
        """Make sure that a request may be sent to a server; while watching, check it first.

        All that a page needs is requested at once: with wrong credentials that would be as many
        failed logins, and a server may ban this address for them. So the first check decides.

        Raises:
            RequestFailed: The server isn't running, or refused the credentials, or is busy, or
                failed its first check in this process.
        """
        server_id = profile.id
        if self.is_paused(server_id):
            detail = self.status(server_id).detail
            raise RequestFailed(Reason.REFUSED, detail or "It isn't running.")
        status = self.status(server_id)
        if status.reason in REFUSED_CREDENTIALS:
            raise RequestFailed(status.reason, f"{explain(status)} {CHECK_AGAIN}")
        if self._scheduler.is_held_back(server_id):
            raise RequestFailed(status.reason, explain(status))
        busy_until, failure = self._busy.get(server_id, _NOT_BUSY)
        if failure and asyncio.get_running_loop().time() < busy_until:
            raise RequestFailed(failure.reason, failure.detail, status=failure.status)
        if not self._watch or self.is_confirmed(server_id):
            return
        status = await self.check(profile)
        if not status.confirmed:
            raise RequestFailed(status.reason, explain(status))

    def report_link_failure(self, server_id: str) -> None:
        """Count a broken link as a server's first failure, and check it at once, which decides."""
        self._statuses.suspect(server_id)
        self.check_soon(server_id)

    def report_busy(self, server_id: str, failure: RequestFailed) -> None:
        """Let requests wait that `require_usable` is asked about, as a response says.

        Its checks may be answered all the same: a proxy may limit some paths.
        """
        now = asyncio.get_running_loop().time()
        self._busy[server_id] = now + (failure.retry_after or 0.0), failure

    def report_success(self, server_id: str, *, sent_at: float) -> bool:
        """Count a good response to a request as a good check, as far as it proves as much.

        It ends the suspicion of a healthy server, if the request was sent after the failure. It
        leaves alone what only a check finds, the latency for example.

        Args:
            server_id: The server that answered.
            sent_at: The time when the request was sent, on the event loop's clock.

        Returns:
            Whether the server counts as healthy; otherwise it has to be checked.
        """
        if self._statuses.latest(server_id).state is not State.HEALTHY:
            return False
        self._statuses.clear_suspicion(server_id, sent_at=sent_at)
        return True

    async def check(self, profile: ServerProfile, *, budget: float | None = None) -> HealthStatus:
        """Check a server now and return its status, settled where that is possible.

        Where the next check decides on the state, it is made too. A server that answers now and
        then may never settle, so the follow-up checks are bounded: by the greater one of the
        server's `rise` and `fall`, and by `MAX_SETTLE_SECONDS`. Each result is stored and announced
        as it arrives.

        Args:
            profile: The server; one that isn't watched is checked as well, and nothing is stored.
            budget: Seconds for each check, in place of the server's own timeout.
        """
        status = await self._check_once(profile, budget)
        return await self._settle(profile, budget, status, nullcontext())

    async def check_all(self, server_ids: Iterable[str], *, budget: float | None = None) -> None:
        """Check servers now, side by side, each as `check` does.

        No server delays another: while one is waiting for its next check, it takes up none of the
        `MAX_CONCURRENT_CHECKS`. A server that is gone when its turn comes is left out.
        """
        slots = asyncio.Semaphore(MAX_CONCURRENT_CHECKS)

        async def check(server_id: str) -> None:
            async with slots:
                profile = self._statuses.profiles.get(server_id)
                if profile is None:
                    return
                status = await self._check_once(profile, budget)
            await self._settle(profile, budget, status, slots)

        async with asyncio.TaskGroup() as group:
            for server_id in server_ids:
                group.create_task(check(server_id), name=f"asked check of {server_id}")

    async def _check_once(self, profile: ServerProfile, budget: float | None) -> HealthStatus:
        if self.is_paused(profile.id):
            return self.status(profile.id)
        held_back = self._scheduler.is_held_back(profile.id)
        status = self._statuses.latest(profile.id)
        result = await self._checker.check(profile, budget=budget, status=status)
        status = self._statuses.apply(profile, result)
        held_back |= self._scheduler.is_held_back(profile.id)
        if held_back and self._watch and self._statuses.is_current(profile):
            self._scheduler.plan_next(profile.id)
        return status

    async def _settle(
        self,
        profile: ServerProfile,
        budget: float | None,
        status: HealthStatus,
        slots: AbstractAsyncContextManager[None],
    ) -> HealthStatus:
        """Check a server with this status again, within bounds, and return the status after it.

        Each check is made within `slots`.
        """
        clock = asyncio.get_running_loop().time
        deadline = clock() + MAX_SETTLE_SECONDS
        for number in range(max(profile.health_check.rise, profile.health_check.fall)):
            unsettled = self._statuses.is_unsettled(profile.id, status)
            # The first of these checks is always made: with a long timeout it may take all the
            # time, and the first failure of a healthy server alone says nothing.
            expired = number > 0 and clock() >= deadline
            if expired or not unsettled or not self._statuses.is_watched(profile):
                break
            await asyncio.sleep(RECHECK_DELAY)
            async with slots:
                result = await self._checker.check(
                    profile,
                    budget=budget,
                    fresh=True,
                    status=self._statuses.latest(profile.id),
                )
                status = self._statuses.apply(profile, result)
        return status

    def handle_suspend(self) -> None:
        """Check all servers once, as after a suspend of this process or its machine."""
        self._scheduler.handle_suspend()

    async def save(self) -> None:
        """Write the statuses that changed since the last batch. Raises `StorageError`."""
        await self._statuses.writer.save()
