"""The composition root: opens everything in order, closes it in reverse."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Final, ParamSpec

from codewalk.app.app import App
from codewalk.app.generation import Generation
from codewalk.app.parts import Parts
from codewalk.app.refresher import Refresher
from codewalk.app.server_connections import ServerConnections
from codewalk.events import Announcer, Event, Kind
from codewalk.health.checker import Checker
from codewalk.health.counters import CheckCounters
from codewalk.health.links import Links
from codewalk.health.monitor import Monitor
from codewalk.health.status import HealthStatus
from codewalk.history.recorder import Recorder
from codewalk.local.control import STOPPED_MESSAGE
from codewalk.notifications.delivery import Delivery
from codewalk.notifications.hook_runner import HookRunner
from codewalk.notifications.notice import Notice
from codewalk.notifications.notifier import Notifier
from codewalk.notifications.payload import notice_payload
from codewalk.reason import State
from codewalk.servers import roster as rules
from codewalk.servers.profile import connects_differently
from codewalk.servers.registry import Registry
from codewalk.servers.roster import Roster
from codewalk.settings import Settings
from codewalk.storage.database import open_database
from codewalk.storage.health import HealthStore
from codewalk.storage.history import HistoryStore
from codewalk.storage.hooks import HookStore
from codewalk.storage.legacy import LegacyImport, read_legacy
from codewalk.storage.reported_down import ReportedDownStore
from codewalk.storage.roster import RosterStore
from codewalk.storage.state import StateStore
from codewalk.storage.vault import Vault
from codewalk.tasks import BackgroundTasks, repeat
from codewalk.workspace.activity import Activities

P = ParamSpec("P")

FOLLOW_EVERY: Final = 0.4
"""Seconds between two looks for what other processes changed; a second is promised."""

WARNINGS: Final = 3
"""Warnings of a migration that are shown at once; the log has them all."""

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
        connections = await stack.enter_async_context(ServerConnections(vault))
        checker = await stack.enter_async_context(Checker(connections.connect))
        announcer = Announcer()
        recorder = await stack.enter_async_context(Recorder(HistoryStore(database), watch=watch))
        counters = CheckCounters()
        monitor = Monitor(
            checker,
            HealthStore(database),
            on_change=_announce(announcer),
            record=_both(recorder.record, counters.record),
            on_resume=lambda: reactions.wake(),  # noqa: PLW0108 - they are made below
            watch=watch,
        )
        activities = Activities()
        refresher = Refresher(activities)
        links = Links(connections.connect, monitor, announcer, on_event=refresher.handle_event)
        reactions = _Reactions(
            announcer=announcer,
            connections=connections,
            generation=Generation(),
            monitor=monitor,
            links=links,
            recorder=recorder,
            counters=counters,
            activities=activities,
        )
        registry = Registry(RosterStore(database, vault), changed=reactions.follow)
        await registry.load()
        takeover = await _import_legacy(registry, settings)
        if watch:
            await registry.change(rules.start)
        await stack.enter_async_context(monitor)
        _hold_managed(monitor, registry.roster, watch=watch)
        if watch:
            await stack.enter_async_context(links)
        reactions.follow(Roster(), registry.roster)
        state = StateStore(database)
        app = App(
            Parts(
                settings=settings,
                registry=registry,
                monitor=monitor,
                links=links,
                recorder=recorder,
                counters=counters,
                connections=connections,
                state=state,
                hooks=HookStore(database, vault),
                activities=activities,
                announcer=announcer,
                generation=reactions.generation,
                teller=Notifier(
                    announcer,
                    profiles=lambda: registry.roster.profiles,
                    status=monitor.status,
                    told=ReportedDownStore(state),
                ),
            )
        )
        app.import_message = takeover
        if watch:
            await stack.enter_async_context(background(**_jobs(app, refresher)))
        yield app


def _jobs(app: App, refresher: Refresher) -> dict[str, Coroutine[Any, Any, None]]:
    """What the running app does by itself, by name."""
    parts = app.parts
    runner = HookRunner(
        parts.teller.firsts,
        parts.hooks,
        deliver=Delivery(parts.connections.connect_url).deliver,
        describe=lambda news: _payload(app, news),
    )
    return {
        "follow store": _follow(parts.registry),
        "refresh work": refresher.run(app),
        "tell news": parts.teller.run(),
        "run hooks": runner.run(),
    }


def _payload(app: App, news: Notice) -> bytes | None:
    server = next((server for server in app.servers() if server.id == news.server_id), None)
    return notice_payload(news, server) if server else None


class _Reactions:
    """What follows from a changed roster, wherever it was changed."""

    def __init__(
        self,
        *,
        announcer: Announcer,
        connections: ServerConnections,
        generation: Generation,
        monitor: Monitor,
        links: Links,
        recorder: Recorder,
        counters: CheckCounters,
        activities: Activities,
    ) -> None:
        self.generation = generation
        self._announcer = announcer
        self._connections = connections
        self._monitor = monitor
        self._links = links
        self._recorder = recorder
        self._counters = counters
        self._activities = activities

    def follow(self, old: Roster, new: Roster) -> None:
        """Ends the older generation's work first, so that nothing of it can still be shown."""
        self.generation.advance(new.generation)
        current = {profile.id: profile for profile in new.profiles}
        for profile in old.profiles:
            now = current.get(profile.id)
            if now is not profile:
                self._connections.forget(profile.id)
            if now is None or connects_differently(profile, now):
                self._activities.clear(profile.id)
        self._monitor.reconcile(new.profiles, new.active_id)
        self._links.reconcile(new.profiles, new.active_id)
        self._recorder.retain(current)
        self._counters.retain(current)
        if (old.profiles, old.default_id) != (new.profiles, new.default_id):
            self._announcer.announce(Event(kind=Kind.SERVERS))
        if (old.active_id, old.generation) != (new.active_id, new.generation):
            self._announcer.announce(
                Event(kind=Kind.ACTIVE, server_id=new.active_id, generation=new.generation)
            )

    def wake(self) -> None:
        """After a sleep: no connection from before is trusted."""
        self._connections.drop_idle()
        self._links.reconnect()


def _hold_managed(monitor: Monitor, roster: Roster, *, watch: bool) -> None:
    """Asks nothing of the managed server's address while that isn't its own.

    It has another port and password at each start; on the old port somebody else may answer. The
    app holds it until it has started it; a command, unless a running app keeps its health fresh.
    """
    if not roster.managed:
        return
    if watch:
        monitor.pause(roster.managed.id, HealthStatus(detail=STOPPED_MESSAGE))
    elif monitor.state(roster.managed.id) is State.UNKNOWN:
        monitor.pause(roster.managed.id)


def _both(one: Callable[P, None], other: Callable[P, None]) -> Callable[P, None]:
    def call(*args: P.args, **kwargs: P.kwargs) -> None:
        one(*args, **kwargs)
        other(*args, **kwargs)

    return call


def _announce(announcer: Announcer) -> Callable[[str], None]:
    return lambda server_id: announcer.announce(Event(kind=Kind.HEALTH, server_id=server_id))


async def _import_legacy(registry: Registry, settings: Settings) -> str | None:
    """Takes over the Flutter app's servers into a store that never held anything, once.

    What was taken over, or why nothing was, is one line of the log; returns what of it a user
    should know.
    """
    if registry.roster.revision:
        return None
    found = await asyncio.to_thread(read_legacy, settings, datetime.now(UTC))
    if found is None:
        return None
    roster = await registry.change(lambda roster: _with_legacy(roster, found))
    taken = [profile for profile in found.profiles if roster.get(profile.id)]
    if found.profiles and not taken:
        return None  # another process was first
    why = " ".join(found.warnings) or ("" if taken else "It names no server.")
    log.log(
        logging.WARNING if found.warnings else logging.INFO,
        "Migration from %s: servers taken over: %d. %s",
        found.source,
        len(taken),
        why,
    )
    return _takeover(found, len(taken))


def _takeover(found: LegacyImport, count: int) -> str | None:
    """What to say of `count` servers taken over; None where there is nothing to say."""
    if not (count or found.warnings):
        return None
    servers = {0: "No server was", 1: "1 server was"}.get(count, f"{count} servers were")
    said = [f"{servers} taken over from the CodeWalk Flutter app ({found.source})."]
    said += found.warnings[:WARNINGS]
    if len(found.warnings) > WARNINGS:
        said.append(f"The log has {len(found.warnings) - WARNINGS} more such notes.")
    return " ".join(said)


def _with_legacy(roster: Roster, found: LegacyImport) -> Roster:
    if roster.revision or not found.profiles:
        return roster
    for profile in found.profiles:
        roster = rules.add(roster, profile)
    if found.active_id:
        roster = rules.switch(roster, found.active_id)
    return rules.mark_legacy_imported(rules.set_default(roster, found.default_id))


@asynccontextmanager
async def background(**jobs: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Runs jobs until the block ends; one that breaks ends the block, and so is seen."""
    async with BackgroundTasks() as tasks:
        for name, job in jobs.items():
            tasks.start(job, name=name)
        yield


async def _follow(registry: Registry) -> None:
    """Takes over, within a second, what other processes change."""
    trouble = "The store can't be read"
    await repeat(registry.refresh, interval=FOLLOW_EVERY, warning=trouble, log=log)
