"""The local OpenCode server that the app starts and stops, as one of its servers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from codewalk.errors import DuplicateServer, OpenCodeMissing, StorageError
from codewalk.events import Announcer, Event, Kind
from codewalk.health.monitor import Monitor
from codewalk.health.status import HealthStatus
from codewalk.reason import Reason, State
from codewalk.secret import Secret
from codewalk.servers import rules
from codewalk.servers.draft import new_profile
from codewalk.servers.profile import ServerProfile
from codewalk.servers.registry import Registry
from codewalk.servers.roster import Roster
from codewalk.settings import Settings
from codewalk.tasks import BackgroundTasks

if TYPE_CHECKING:
    from codewalk.local.server import LocalStatus

LABEL: Final = "Local"

STORE_RETRY_DELAY: Final = 1.0
"""Seconds until a store that couldn't be written is tried again."""

STARTING: Final = "The local OpenCode server is starting."
NOT_STARTED: Final = "The local OpenCode server isn't started."
STOPPED: Final = "The local OpenCode server runs while `codewalk up` does."


class ManagedServer:
    """Starts a local OpenCode server on request, and keeps its profile up to date.

    Only inside of `control`, as in `codewalk up`, can the server be started, and once: from then on
    it is kept running until the block ends. It shows as a server with `managed: true`. Its profile
    stays in the store when the server has stopped, so that what belongs to it is there again at the
    next start, under another URL and password.

    Attributes:
        unavailable_reason: Why it can't be started and what would help, in one or two sentences;
            None where it can be or has been.
        message: What a user should know of it, in a sentence; None while it runs.
        running: Whether it answers.
    """

    def __init__(
        self, settings: Settings, *, registry: Registry, monitor: Monitor, announcer: Announcer
    ) -> None:
        self.unavailable_reason: str | None = STOPPED
        self.message: str | None = None
        self.running = False
        self._settings = settings
        self._registry = registry
        self._monitor = monitor
        self._announcer = announcer
        self._controlled = False
        self._executable: Path | None = None
        self._requested = asyncio.Event()

    @property
    def available(self) -> bool:
        """Whether `start` would start it, or has."""
        return self.unavailable_reason is None

    @property
    def starting(self) -> bool:
        """Whether it was requested and doesn't answer yet, or not at the moment."""
        return self._controlled and self._requested.is_set() and not self.running

    async def start(self) -> None:
        """Request the server, unless it is already; doesn't wait until it is ready.

        Raises:
            OpenCodeMissing: There is no `opencode` to run. One that was installed since the app
                began is found.
        """
        if self._controlled and not self.available:
            await self._find_executable()
        if self.unavailable_reason:
            raise OpenCodeMissing(self.unavailable_reason)
        self._requested.set()

    @asynccontextmanager
    async def control(self) -> AsyncIterator[None]:
        """Let `start` start the server while the block runs; it is stopped with the block."""
        await self._find_executable()
        self._controlled = True
        self._pause(HealthStatus(detail=self.unavailable_reason or NOT_STARTED))
        try:
            async with BackgroundTasks() as tasks:
                tasks.start_job(self._run_on_request, name="managed server")
                yield
        finally:
            self._controlled, self.unavailable_reason = False, STOPPED

    @asynccontextmanager
    async def run(self, executable: Path) -> AsyncIterator[None]:
        """Run the server while the block does."""
        # Imported here: no command needs what it brings along.
        from codewalk.local.server import LocalServer

        async with LocalServer(executable, self._settings.data_dir, on_change=self._follow):
            yield

    async def _find_executable(self) -> None:
        from codewalk.local.server import find_executable, missing_message

        self._executable = await asyncio.to_thread(find_executable, self._settings)
        self.unavailable_reason = None if self._executable else missing_message(self._settings)

    async def _run_on_request(self) -> None:
        await self._requested.wait()
        if self._executable is None:
            # It was requested in an earlier block of `control`, and uninstalled since.
            self._requested.clear()
            return
        async with self.run(self._executable):
            await asyncio.get_running_loop().create_future()  # until the block of `control` ends

    async def _follow(self, local: "LocalStatus") -> None:
        from codewalk.local.server import Phase

        self.running = local.phase is Phase.RUNNING
        match local.phase:
            case Phase.RUNNING if local.url and local.password:
                await self._store(local.url, local.password)
            case Phase.FAILED:
                self.message = local.detail
                self._pause(HealthStatus(state=State.UNHEALTHY, reason=Reason.REFUSED))
            case Phase.STARTING:
                self.message = STARTING
                self._pause(HealthStatus())
            case Phase.STOPPED:
                self.message = STOPPED
                self._pause(HealthStatus())
        self._announcer.announce(Event(kind=Kind.SERVERS))

    def _pause(self, status: HealthStatus) -> None:
        """Show this status of a server that can't be asked now, and don't check its old URL."""
        if profile := self._registry.roster.managed:
            now = datetime.now(UTC)
            detail = status.detail or self.message
            self._monitor.pause(
                profile.id, replace(status, detail=detail, checked_at=now, since=now)
            )

    async def _store(self, url: str, password: Secret) -> None:
        """Store where the server is now; a store that fails for a while is tried again."""
        now = datetime.now(UTC)
        new = replace(new_profile(url, password=password, now=now), managed=True)
        put = partial(rules.upsert_managed, url=url, password=password, now=now)
        roster: Roster | None = None
        while roster is None:
            try:
                roster = await self._registry.change(lambda r: put(r, new=_labelled(r, new)))
            except DuplicateServer as exc:
                self.message = f"The local OpenCode server can't be listed: {exc.message}"
                return
            except StorageError as exc:
                # Another process may just be busy with the store: that must not end the app.
                self.message = f"The local OpenCode server can't be listed yet: {exc.message}"
                self._announcer.announce(Event(kind=Kind.SERVERS))
                await asyncio.sleep(STORE_RETRY_DELAY)
        self.message = None
        if roster.managed:
            self._monitor.resume(roster.managed.id)


def pause_managed_server(monitor: Monitor, profile: ServerProfile | None, *, watch: bool) -> None:
    """Ask nothing of the managed server's address while that isn't its own.

    It has another port and password at each start; on the old port somebody else may answer. The
    app pauses it until it has started it; a command, unless a running app keeps its health fresh.
    """
    if profile is None:
        return
    if watch:
        monitor.pause(profile.id, HealthStatus(detail=STOPPED))
    elif monitor.state(profile.id) is State.UNKNOWN:
        monitor.pause(profile.id)


def _labelled(roster: Roster, profile: ServerProfile) -> ServerProfile:
    """The profile with the label `Local`, unless the user has given that to another."""
    taken = any((p.label or "").casefold() == LABEL.casefold() for p in roster.profiles)
    return profile if taken else replace(profile, label=LABEL)
