"""The status of every server, and what a check result changes in it."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Final, Protocol

from codewalk.health.status import CheckResult, HealthStatus, advance
from codewalk.health.status_writer import StatusStore, StatusWriter
from codewalk.health.suspend import GracePeriod
from codewalk.reason import Reason, State
from codewalk.servers.health_check import DEFAULT_SETTINGS, HealthCheckSettings
from codewalk.servers.profile import ServerProfile, connects_differently

UNCHECKED: Final = HealthStatus()
"""The status of a server before its first check."""


class RecordStatus(Protocol):
    """Called for each new status of a watched server."""

    def __call__(
        self,
        server_id: str,
        stored: HealthStatus,
        before: HealthStatus,
        after: HealthStatus,
        result: CheckResult | None,
        interval: float,
        /,
    ) -> None:
        """Record a status.

        Args:
            server_id: The server.
            stored: Its status before, as the last check left it.
            before: The same as it counted until now: `unknown` where it was stale.
            after: Its new status.
            result: The check result behind it, None where no check gave it.
            interval: Seconds between two scheduled checks of the server.
        """


log = logging.getLogger(__name__)


class Statuses:
    """Holds the status of every watched server; records, announces and saves its changes.

    Args:
        store: Where the statuses are stored.
        on_change: Called with a server's id when its state, reason, detail or version changed.
        on_warning: Called with a server's id when its warning changed.
        record: Called for each new status.
        now: The wall clock.
    """

    def __init__(
        self,
        store: StatusStore,
        *,
        on_change: Callable[[str], None],
        on_warning: Callable[[str], None],
        record: RecordStatus,
        now: Callable[[], datetime],
    ) -> None:
        self.profiles: Mapping[str, ServerProfile] = {}
        """The watched servers by their ids."""
        self._store = store
        self._on_change = on_change
        self._on_warning = on_warning
        self._record = record
        self._now = now
        self._statuses: dict[str, HealthStatus] = {}
        self._applied: dict[str, CheckResult] = {}
        self._failed_at: dict[str, float] = {}
        self._paused: set[str] = set()
        self._grace = GracePeriod()
        self.writer = StatusWriter(store, self._statuses)

    async def load(self, *, warnings: bool) -> None:
        """Read the stored statuses, with or without their warnings. Raises `StorageError`."""
        stored = await self._store.load()
        if not warnings:
            stored = {i: replace(status, warning=None) for i, status in stored.items()}
        self._statuses.update(stored)

    def get(self, server_id: str) -> HealthStatus:
        """Return a server's status as of now: `unknown` where its last check is too old."""
        stale_after = self.settings(server_id).stale_after
        return self.latest(server_id).as_of(self._now(), stale_after)

    def latest(self, server_id: str) -> HealthStatus:
        """Return the status that the last check left, however old it is."""
        return self._statuses.get(server_id, UNCHECKED)

    def settings(self, server_id: str) -> HealthCheckSettings:
        """Return the settings of a server's health check."""
        profile = self.profiles.get(server_id)
        return profile.health_check if profile else DEFAULT_SETTINGS

    def set(self, server_id: str, status: HealthStatus) -> None:
        """Replace a server's status by one that no check of this server gave."""
        self._put(server_id, self.latest(server_id), self.get(server_id), status)

    def set_warning(self, server_id: str, warning: str | None) -> None:
        """Replace the warning about a server."""
        status = self.latest(server_id)
        if warning != status.warning:
            self._statuses[server_id] = replace(status, warning=warning)
            self.writer.add(server_id)
            self._on_warning(server_id)

    def forget(self, server_id: str) -> None:
        """Drop everything about a server that is removed."""
        self.writer.discard(server_id)
        self._grace.forget(server_id)
        self._statuses.pop(server_id, None)
        self._applied.pop(server_id, None)
        self._failed_at.pop(server_id, None)
        self._paused.discard(server_id)

    def pause(self, server_id: str) -> None:
        """Apply no check results to a server until `resume`."""
        self._paused.add(server_id)

    def resume(self, server_id: str) -> None:
        """Apply check results to a server again."""
        self._paused.discard(server_id)

    def is_paused(self, server_id: str) -> bool:
        """Return whether a server must not be checked now."""
        return server_id in self._paused

    def is_current(self, profile: ServerProfile) -> bool:
        """Return whether the server is still watched, and reached as this profile says."""
        current = self.profiles.get(profile.id)
        return current is not None and not connects_differently(profile, current)

    def is_watched(self, profile: ServerProfile) -> bool:
        """Return whether the result of a check of `profile` counts for its server."""
        return self.is_current(profile) and profile.id not in self._paused

    def apply(self, profile: ServerProfile, result: CheckResult) -> HealthStatus:
        """Apply a check result, and return the status after it.

        The status of a server that isn't watched is returned and not stored. A result counts once,
        however many have waited for it; one of a check that was cancelled, or could not be made,
        doesn't count.
        """
        server_id, now = profile.id, self._now()
        settings = self.settings(server_id)
        stored = self.latest(server_id)
        before = stored.as_of(now, settings.stale_after)
        if self._applied.get(server_id) is result or result.reason is Reason.UNCHECKED:
            return before
        if not self.is_watched(profile):
            # One good check shows that a server that isn't watched can be used.
            return advance(before, result, now, replace(profile.health_check, rise=1))
        self._applied[server_id] = result
        if self._grace.excuses(server_id, result):
            return before
        status = advance(before, result, now, settings)
        if status.failures:
            self._failed_at[server_id] = asyncio.get_running_loop().time()
        self._put(server_id, stored, before, status, result)
        return status

    def is_unsettled(self, server_id: str, status: HealthStatus) -> bool:
        """Return whether the next check decides on the state of a server with this status."""
        return status.unsettled or self._grace.excused(server_id)

    def begin_grace_period(self) -> None:
        """Ignore the first transport failure of every server from now on."""
        self._grace.begin(self.profiles)

    def is_excused(self, server_id: str) -> bool:
        """Return whether the last failure of a server was ignored."""
        return self._grace.excused(server_id)

    def offline(self) -> list[ServerProfile]:
        """Return the servers that could not be checked without a network."""
        return [p for i, p in self.profiles.items() if self.latest(i).reason is Reason.OFFLINE]

    def suspect(self, server_id: str) -> None:
        """Count a failure of a healthy server other than a check, as its first one in a row."""
        status = self.latest(server_id)
        # After a suspend every link from before is broken, which says nothing about a server.
        if (
            status.state is State.HEALTHY
            and not status.failures
            and not self._grace.covers(server_id)
        ):
            self._statuses[server_id] = replace(status, failures=1)
            self._failed_at[server_id] = asyncio.get_running_loop().time()

    def clear_suspicion(self, server_id: str, *, sent_at: float) -> None:
        """End the suspicion of a healthy server that answered a request sent after its failure.

        Args:
            server_id: The server.
            sent_at: The time when the request was sent, on the event loop's clock.
        """
        status = self.latest(server_id)
        if status.suspect and sent_at > self._failed_at.get(server_id, sent_at):
            self._statuses[server_id] = replace(status, failures=0)

    def _put(
        self,
        server_id: str,
        stored: HealthStatus,
        before: HealthStatus,
        status: HealthStatus,
        result: CheckResult | None = None,
    ) -> None:
        interval = self.settings(server_id).interval
        # First of all: the status counts even if one of those that are notified of it fails.
        self._statuses[server_id] = status
        self.writer.add(server_id)
        if before.state is not status.state:
            log.info("Server %s is %s: %s", server_id, status.state, status.reason)
        try:
            self._record(server_id, stored, before, status, result, interval)
        finally:
            if _visible(before) != _visible(status):
                self._on_change(server_id)


def _visible(status: HealthStatus) -> tuple[object, ...]:
    return status.state, status.reason, status.detail, status.version, status.confirmed
