"""The managed local server as one of the servers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

from codewalk.app.app import App
from codewalk.app.composition import background
from codewalk.errors import DuplicateServer, StorageError
from codewalk.events import Event, Kind
from codewalk.health.status import HealthStatus
from codewalk.local.control import STOPPED_MESSAGE
from codewalk.local.server import LocalServer, LocalStatus, Phase
from codewalk.reason import Reason, State
from codewalk.secret import Secret
from codewalk.servers import roster as rules
from codewalk.servers.draft import new_profile
from codewalk.servers.profile import ServerProfile

LABEL: Final = "Local"
RETRY_AFTER: Final = 1.0
"""Seconds until a store that couldn't be written is tried again."""

STARTING: Final = "The local OpenCode server is starting."
IDLE: Final = "The local OpenCode server isn't started."


@asynccontextmanager
async def local_control(app: App) -> AsyncIterator[None]:
    """Lets `app.local.start()` start a local OpenCode server, which ends with the block."""
    await app.local.open()
    _hold(app, HealthStatus(), app.local.unavailable_reason or IDLE)
    try:
        async with background(local_server=_run_when_asked(app)):
            yield
    finally:
        app.local.close()


async def _run_when_asked(app: App) -> None:
    executable = await app.local.wait_for_start()
    async with local_server(app, executable):
        await asyncio.get_running_loop().create_future()  # until the block of `local_control` ends


@asynccontextmanager
async def local_server(app: App, executable: Path) -> AsyncIterator[None]:
    """Runs a local OpenCode server while the block does, and keeps its profile true.

    It shows as a server with `managed: true`. Its profile stays in the store when the server has
    stopped, so that its state is there again at the next start, under another URL and password.
    """
    on_change = partial(_follow, app)
    async with LocalServer(executable, app.settings.data_dir, on_change=on_change):
        yield


async def _follow(app: App, local: LocalStatus) -> None:
    app.local.running = local.phase is Phase.RUNNING
    app.local_news = _news(local)
    match local.phase:
        case Phase.RUNNING if local.url and local.password:
            await _put(app, local.url, local.password)
        case Phase.FAILED:
            failed = HealthStatus(state=State.UNHEALTHY, reason=Reason.REFUSED)
            _hold(app, failed, app.local_news)
        case Phase.STARTING | Phase.STOPPED:
            _hold(app, HealthStatus(), app.local_news)
    app.announcer.announce(Event(kind=Kind.SERVERS))


def _news(local: LocalStatus) -> str | None:
    match local.phase:
        case Phase.STARTING:
            return STARTING
        case Phase.STOPPED:
            return STOPPED_MESSAGE
        case _:
            return local.detail


def _hold(app: App, status: HealthStatus, detail: str | None) -> None:
    """Shows what is known of a server that can't be asked now, instead of checking its old URL."""
    if kept := app.parts.registry.roster.managed:
        now = datetime.now(UTC)
        app.parts.monitor.pause(kept.id, replace(status, detail=detail, checked_at=now, since=now))


async def _put(app: App, url: str, password: Secret) -> None:
    now = datetime.now(UTC)
    new = replace(new_profile(url, password=password, now=now), managed=True)
    put = partial(rules.upsert_managed, url=url, password=password, now=now)
    roster: rules.Roster | None = None
    while roster is None:
        try:
            roster = await app.parts.registry.change(lambda r: put(r, new=_named(r, new)))
        except DuplicateServer as exc:
            app.local_news = f"The local OpenCode server can't be shown: {exc.message}"
            return
        except StorageError as exc:
            # Another process may just be busy with the store: that must not end the app.
            app.local_news = f"The local OpenCode server can't be shown yet: {exc.message}"
            app.announcer.announce(Event(kind=Kind.SERVERS))
            await asyncio.sleep(RETRY_AFTER)
    app.local_news = None
    if roster.managed:
        app.parts.monitor.resume(roster.managed.id)


def _named(roster: rules.Roster, profile: ServerProfile) -> ServerProfile:
    """With the label `Local`, unless the user has given that to another."""
    taken = any((p.label or "").casefold() == LABEL.casefold() for p in roster.profiles)
    return profile if taken else replace(profile, label=LABEL)
