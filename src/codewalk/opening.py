"""The composition root: opens everything in order, closes it in reverse."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Final

from codewalk.app import App, Parts
from codewalk.connecting import Connector
from codewalk.errors import StorageError
from codewalk.events import Announcer, Event, Kind
from codewalk.generation import Generation
from codewalk.health.checker import Checker
from codewalk.health.links import Links
from codewalk.health.monitor import Monitor
from codewalk.health.status import HealthStatus, State
from codewalk.refreshing import Refresher
from codewalk.servers import roster as rules
from codewalk.servers.registry import Registry
from codewalk.servers.roster import Roster
from codewalk.settings import Settings
from codewalk.storage.database import open_database
from codewalk.storage.health import HealthStore
from codewalk.storage.legacy import LegacyImport, read_legacy
from codewalk.storage.roster import RosterStore
from codewalk.storage.secrets import Vault
from codewalk.storage.state import StateStore

FOLLOW_EVERY: Final = 0.4
"""Seconds between two looks for what other processes changed; a second is promised."""

STOPPED: Final = "The local OpenCode server runs while `codewalk up` does."

log = logging.getLogger(__name__)


@asynccontextmanager
async def open_app(settings: Settings | None = None, *, watch: bool = False) -> AsyncIterator[App]:
    """An open CodeWalk: its store migrated, its servers loaded.

    With `watch` it lives as the running app does: the default server becomes active, all servers
    are checked all the time, and what other processes change is followed. Without, it does only
    what it is asked, as a command does.

    Raises `StorageError`.
    """
    settings = settings or Settings.from_environment()
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(open_database(settings))
        vault = Vault(settings)
        connector = await stack.enter_async_context(Connector(vault))
        checker = await stack.enter_async_context(Checker(connector.connect))
        announcer = Announcer()
        monitor = Monitor(checker, HealthStore(database), changed=_announce(announcer), watch=watch)
        refresher = Refresher()
        links = Links(connector.connect, monitor, announcer, stale=refresher.stale)
        reactions = _Reactions(
            announcer=announcer,
            connector=connector,
            generation=Generation(),
            monitor=monitor,
            links=links,
        )
        registry = Registry(RosterStore(database, vault), changed=reactions.follow)
        await registry.load()
        await _import_legacy(registry, settings)
        if watch:
            await registry.change(rules.start)
        await stack.enter_async_context(monitor)
        _hold_managed(monitor, registry.roster, watch=watch)
        if watch:
            await stack.enter_async_context(links)
        reactions.follow(Roster(), registry.roster)
        app = App(
            Parts(
                settings=settings,
                registry=registry,
                monitor=monitor,
                links=links,
                connector=connector,
                state=StateStore(database),
                announcer=announcer,
                generation=reactions.generation,
            )
        )
        if watch:
            await stack.enter_async_context(
                _background(follow_store=_follow(registry), refresh_sessions=refresher.run(app))
            )
        yield app


class _Reactions:
    """What follows from a changed roster, wherever it was changed."""

    def __init__(
        self,
        *,
        announcer: Announcer,
        connector: Connector,
        generation: Generation,
        monitor: Monitor,
        links: Links,
    ) -> None:
        self.generation = generation
        self._announcer = announcer
        self._connector = connector
        self._monitor = monitor
        self._links = links

    def follow(self, old: Roster, new: Roster) -> None:
        """Ends the older generation's work first, so that nothing of it can still be shown."""
        self.generation.advance(new.generation)
        current = {profile.id: profile for profile in new.profiles}
        for profile in old.profiles:
            if current.get(profile.id) is not profile:
                self._connector.forget(profile.id)
        self._monitor.reconcile(new.profiles, new.active_id)
        self._links.reconcile(new.profiles, new.active_id)
        if (old.profiles, old.default_id) != (new.profiles, new.default_id):
            self._announcer.announce(Event(kind=Kind.SERVERS))
        if (old.active_id, old.generation) != (new.active_id, new.generation):
            self._announcer.announce(
                Event(kind=Kind.ACTIVE, server_id=new.active_id, generation=new.generation)
            )


def _hold_managed(monitor: Monitor, roster: Roster, *, watch: bool) -> None:
    """Asks nothing of the managed server's address while that isn't its own.

    It has another port and password at each start; on the old port somebody else may answer. The
    app holds it until it has started it; a command, unless a running app keeps its health fresh.
    """
    if not roster.managed:
        return
    if watch:
        monitor.hold(roster.managed.id, HealthStatus(detail=STOPPED))
    elif monitor.state(roster.managed.id) is State.UNKNOWN:
        monitor.hold(roster.managed.id)


def _announce(announcer: Announcer) -> Callable[[str], None]:
    return lambda server_id: announcer.announce(Event(kind=Kind.HEALTH, server_id=server_id))


async def _import_legacy(registry: Registry, settings: Settings) -> None:
    """Takes over the Flutter app's servers into a store that never held anything, once.

    What was taken over, or why nothing was, is one line of the log.
    """
    if registry.roster.revision:
        return
    found = await asyncio.to_thread(read_legacy, settings, datetime.now(UTC))
    if found is None:
        return
    roster = await registry.change(lambda roster: _with_legacy(roster, found))
    taken = [profile for profile in found.profiles if roster.get(profile.id)]
    if found.profiles and not taken:
        return  # another process was first
    why = " ".join(found.warnings) or ("" if taken else "It names no server.")
    log.log(
        logging.WARNING if found.warnings else logging.INFO,
        "Migration from %s: servers taken over: %d. %s",
        found.source,
        len(taken),
        why,
    )


def _with_legacy(roster: Roster, found: LegacyImport) -> Roster:
    if roster.revision or not found.profiles:
        return roster
    for profile in found.profiles:
        roster = rules.add(roster, profile)
    if found.active_id:
        roster = rules.switch(roster, found.active_id)
    return rules.imported(rules.set_default(roster, found.default_id))


@asynccontextmanager
async def _background(**jobs: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Runs jobs until the block ends; one that breaks ends the block, and so is seen."""
    group = asyncio.TaskGroup()
    await group.__aenter__()
    tasks = [group.create_task(job, name=name) for name, job in jobs.items()]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        # Not told of the block's own error, which it would wrap in a group.
        await group.__aexit__(None, None, None)


async def _follow(registry: Registry) -> None:
    """Takes over, within a second, what other processes change."""
    trouble = False
    while True:
        await asyncio.sleep(FOLLOW_EVERY)
        try:
            await registry.refresh()
        except StorageError as exc:
            if not trouble:
                log.warning("The store can't be read: %s", exc.message)
            trouble = True
        else:
            trouble = False
