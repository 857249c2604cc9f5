"""The composition root: opens the parts of an app in order, closes them in reverse."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final, ParamSpec

from codewalk.app.app import App
from codewalk.app.drafts import Drafts
from codewalk.app.generation import Generation
from codewalk.app.identification import Identification
from codewalk.app.legacy_import import import_legacy
from codewalk.app.managed_server import ManagedServer, pause_managed_server
from codewalk.app.refresher import Refresher
from codewalk.app.roster_follower import RosterFollower
from codewalk.app.server_connections import ServerConnections
from codewalk.app.server_requests import ServerRequests
from codewalk.app.server_views import ServerViews
from codewalk.app.switcher import Switcher
from codewalk.app.work import Work
from codewalk.events import Announcer, Event, Kind
from codewalk.health.checker import Checker
from codewalk.health.counters import CheckCounters
from codewalk.health.links import Links
from codewalk.health.monitor import Monitor
from codewalk.health.request_warnings import RETRY_INTERVAL, RequestWarnings
from codewalk.history.recorder import Recorder
from codewalk.notifications.delivery import Delivery
from codewalk.notifications.hook_runner import HookRunner
from codewalk.notifications.hooks import Hooks
from codewalk.notifications.notice import Notice
from codewalk.notifications.notifier import Notifier
from codewalk.notifications.payload import ServerJson, notice_payload
from codewalk.server import Server
from codewalk.servers import rules
from codewalk.servers.registry import Registry
from codewalk.servers.roster import Roster
from codewalk.settings import Settings
from codewalk.storage.database import open_database
from codewalk.storage.health import HealthStore
from codewalk.storage.history import HistoryStore
from codewalk.storage.hook_outbox import HookOutbox
from codewalk.storage.hooks import HookStore
from codewalk.storage.reports import ReportStore
from codewalk.storage.roster import RosterStore
from codewalk.storage.state import StateStore
from codewalk.storage.vault import Vault
from codewalk.tasks import BackgroundTasks, repeat
from codewalk.workspace.activity import Activities
from codewalk.workspace.session_changes import SessionChanges
from codewalk.workspace.state_cache import StateCache

P = ParamSpec("P")

REFRESH_INTERVAL: Final = 0.4
"""Seconds between two looks for what other processes changed; a second is promised."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Parts:
    """An open app, and those of its parts that tests and benchmarks look into."""

    app: App
    registry: Registry
    monitor: Monitor
    recorder: Recorder
    counters: CheckCounters
    connections: ServerConnections
    warnings: RequestWarnings
    state: StateStore


@asynccontextmanager
async def open_app(settings: Settings | None = None, *, watch: bool = False) -> AsyncIterator[App]:
    """Open a CodeWalk: its store migrated, its servers loaded.

    Args:
        settings: Where its data lies; from the environment unless given.
        watch: Live as the running app does: the default server becomes active, all servers are
            checked all the time, what other processes change is followed. Without it the app does
            only what it is asked, as a command does.

    Raises:
        StorageError: The store can't be opened.
    """
    async with open_parts(settings or Settings.from_environment(), watch=watch) as parts:
        yield parts.app


@asynccontextmanager
async def open_parts(settings: Settings, *, watch: bool = False) -> AsyncIterator[Parts]:
    """Open an app as `open_app` does, for tests and benchmarks that need its parts."""
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(open_database(settings))
        vault = Vault(settings)
        connections = await stack.enter_async_context(ServerConnections(vault))
        checker = await stack.enter_async_context(Checker(connections.connect))
        recorder = await stack.enter_async_context(Recorder(HistoryStore(database), watch=watch))
        announcer, generation = Announcer(), Generation()
        counters, activities = CheckCounters(), Activities()
        changes = SessionChanges(StateCache())
        refresher = Refresher(activities, changes)
        monitor = Monitor(
            checker,
            HealthStore(database),
            on_change=_announce(announcer, Kind.HEALTH),
            on_warning=_announce(announcer, Kind.WARNING),
            record=_call_both(recorder.record, counters.record),
            on_resume=lambda: _drop_stale_connections(connections, links),
            watch=watch,
        )
        links = Links(connections.connect, monitor, announcer, on_event=refresher.handle_event)
        follower = RosterFollower(
            announcer=announcer,
            connections=connections,
            generation=generation,
            monitor=monitor,
            links=links,
            recorder=recorder,
            counters=counters,
            activities=activities,
            changes=changes,
        )
        registry = Registry(RosterStore(database, vault), changed=follower.follow)
        await registry.load()
        import_message = await import_legacy(registry, settings)
        if watch:
            await registry.change(rules.start)
        await stack.enter_async_context(monitor)
        pause_managed_server(monitor, registry.roster.managed, watch=watch)
        if watch:
            await stack.enter_async_context(links)
        follower.follow(Roster(), registry.roster)
        state = StateStore(database)
        hooks, outbox = HookStore(database, vault), HookOutbox(database)
        delivery = Delivery(connections.connect_url)
        hook_runner = HookRunner(hooks, outbox, deliver=delivery.deliver)
        notifier = Notifier(
            announcer,
            profiles=lambda: registry.roster.profiles,
            status=monitor.status,
            reports=ReportStore(database, outbox),
            payload=lambda notice: hook_payload(notice, views.get),
            deliver=hook_runner.submit,
        )
        warnings = RequestWarnings(monitor, connections.connect, registry)
        views = ServerViews(registry=registry, monitor=monitor, links=links, notifier=notifier)
        app = App(
            settings=settings,
            registry=registry,
            switcher=Switcher(registry=registry, monitor=monitor),
            monitor=monitor,
            recorder=recorder,
            counters=counters,
            connections=connections,
            state=state,
            database=database,
            views=views,
            announcer=announcer,
            generation=generation,
            import_message=import_message,
            work=Work(
                registry=registry,
                requests=ServerRequests(
                    monitor=monitor, connect=connections.connect, warnings=warnings
                ),
                identification=Identification(
                    monitor=monitor,
                    recorder=recorder,
                    state=state,
                    activities=activities,
                    changes=changes,
                ),
                state=state,
                activities=activities,
                changes=changes,
                announcer=announcer,
                generation=generation,
            ),
            drafts=Drafts(registry=registry, monitor=monitor, connections=connections),
            hooks=Hooks(hooks, delivery, example_server=partial(_first_server, registry, views)),
            local=ManagedServer(settings, registry=registry, monitor=monitor, announcer=announcer),
        )
        if watch:
            tasks = await stack.enter_async_context(BackgroundTasks())
            jobs: dict[str, Callable[[], Awaitable[None]]] = {
                "follow the store": partial(_follow_store, registry),
                "refresh the active server's work": partial(refresher.run, app),
                "request failed lists again": partial(_retry_requests, warnings, registry),
                "notify": notifier.run,
                "run hooks": hook_runner.run,
            }
            for name, job in jobs.items():
                tasks.start_job(job, name=name)
            tasks.start(database.back_up(), name="back up the store")
        yield Parts(
            app=app,
            registry=registry,
            monitor=monitor,
            recorder=recorder,
            counters=counters,
            connections=connections,
            warnings=warnings,
            state=state,
        )


async def _retry_requests(warnings: RequestWarnings, registry: Registry) -> None:
    await repeat(
        lambda: warnings.retry(registry.roster.active_id),
        interval=RETRY_INTERVAL,
        warning="Requests can't be repeated",
        log=log,
    )


async def _follow_store(registry: Registry) -> None:
    """Take over, within a second, what other processes change."""
    await repeat(
        registry.refresh, interval=REFRESH_INTERVAL, warning="The store can't be read", log=log
    )


def hook_payload(notice: Notice, get_server: Callable[[str], Server | None]) -> bytes | None:
    """Return what a hook receives for a notice, None where its server is gone."""
    server = get_server(notice.server_id)
    return notice_payload(notice, server.to_json()) if server else None


def _first_server(registry: Registry, views: ServerViews) -> ServerJson | None:
    profiles = registry.roster.profiles
    return views.of(profiles[0]).to_json() if profiles else None


def _drop_stale_connections(connections: ServerConnections, links: Links) -> None:
    """Drop connections from before a sleep: they may be dead without knowing it."""
    connections.close_idle()
    links.reconnect()


def _call_both(one: Callable[P, None], other: Callable[P, None]) -> Callable[P, None]:
    def call(*args: P.args, **kwargs: P.kwargs) -> None:
        one(*args, **kwargs)
        other(*args, **kwargs)

    return call


def _announce(announcer: Announcer, kind: Kind) -> Callable[[str], None]:
    return lambda server_id: announcer.announce(Event(kind=kind, server_id=server_id))
