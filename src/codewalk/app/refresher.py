"""Background fetches that keep the cached work of the active server up to date."""

import asyncio
import logging
from collections.abc import Callable, Container, Coroutine, Iterable
from functools import partial
from typing import Any, Final, Protocol

from codewalk.app.work import Work
from codewalk.errors import CodeWalkError
from codewalk.events import Announcer, Event, Kind
from codewalk.health.link import LinkState
from codewalk.health.request_warnings import RETRY_INTERVAL
from codewalk.opencode.events import ActivityChanged, Connected, ServerEvent, SessionChanged
from codewalk.reason import State
from codewalk.server import Server
from codewalk.tasks import keep_running
from codewalk.workspace.activity import Activities
from codewalk.workspace.directories import AllDirectories
from codewalk.workspace.session_changes import SessionChanges

SWITCH_DELAY: Final = 0.05
"""Seconds from a switch until the server is asked: pages show what is cached first."""

CHANGE_DEBOUNCE: Final = 0.3
"""Seconds from the first of several changes until the list is fetched once for all of them."""

PAUSE_FACTOR: Final = 3.0
"""Pause between two fetches after changes, as a multiple of the time that the first one took."""

MAX_PAUSE: Final = 5.0
"""The longest such pause, in seconds. Without one a list of ten thousand sessions would be fetched
all the time."""

ACTIVITY_DEBOUNCE: Final = 0.1
"""Seconds from the first of several changes of activity until they are announced together."""

POLL_INTERVAL: Final = 8.0
"""Seconds between two fetches from a server without a live link."""

MAX_CHANGED_DIRECTORIES: Final = 100
"""Directories of one server that are remembered as changed."""

LOOK_INTERVAL: Final = 10.0
"""Seconds between two looks at the newest sessions of a list that a page shows."""

STORE_INTERVAL: Final = 30.0
"""Seconds between two writes of changed sessions to the store: a long list is half a megabyte."""

MAX_ACTIVITY_FETCHES: Final = 16
"""Directories whose activity is fetched at once."""


class RefreshedApp(Protocol):
    """An `App`, as far as a refresher needs it."""

    @property
    def work(self) -> Work: ...
    @property
    def announcer(self) -> Announcer: ...
    def active(self) -> Server | None: ...


_POLLED_LINKS: Final = frozenset({LinkState.POLLING, LinkState.BUFFERED})

Fetch = Callable[..., Coroutine[Any, Any, object]]

log = logging.getLogger(__name__)


class Refresher:
    """Fetches the active server's sessions, projects, models and activity when needed.

    Everything is fetched when the server becomes active or healthy. Then its events are applied;
    what they don't carry is fetched. A switch ends the fetches under way. One that fails affects no
    other.
    """

    def __init__(self, activities: Activities, changes: SessionChanges) -> None:
        self._activities = activities
        self._changes = changes
        self._updated: set[str] = set()
        self._connected: set[str] = set()
        self._changed: dict[str, set[str | None]] = {}
        self._changes_pending = asyncio.Event()
        self._activity_changed: set[str] = set()
        self._activity_pending = asyncio.Event()

    def handle_event(self, server_id: str, event: ServerEvent) -> None:
        """Take note of a server's event; `Connected` is the first one of each event stream."""
        match event:
            case Connected():
                self._connected.add(server_id)
                self._changes.distrust_lists(server_id)
                self._changes_pending.set()
            case SessionChanged() if self._add_change(server_id, event):
                self._updated.add(server_id)
                self._changes_pending.set()
            case SessionChanged():
                directories = self._changed.setdefault(server_id, set())
                if len(directories) < MAX_CHANGED_DIRECTORIES:
                    directories.add(event.directory)
                self._changes_pending.set()
            case ActivityChanged() if self._activities.apply_event(server_id, event):
                self._activity_changed.add(server_id)
                self._activity_pending.set()

    def _add_change(self, server_id: str, event: SessionChanged) -> bool:
        session_id, directory = event.session_id, event.directory
        if event.session:
            directory = event.session.directory
        if session_id is None or directory is None or not (event.session or event.deleted):
            return False
        return self._changes.add(
            server_id,
            session_id,
            None if event.deleted else event.session,
            directory=directory,
            project_id=event.project_id,
        )

    async def run(self, app: RefreshedApp) -> None:
        """Refresh until cancelled. A part that fails is logged and started again."""
        async with asyncio.TaskGroup() as group:
            for name, job in (
                ("refresh after a switch", self._follow_active_server),
                ("refresh after server events", self._follow_events),
                ("announce session activity", self._announce_activity),
                ("store changed sessions", self._store_changes),
                ("refresh without a live link", self._poll),
                ("look for changes without an event", self._look),
                ("fetch failed lists again", self._retry),
            ):
                _ = group.create_task(keep_running(partial(job, app), name=name), name=name)

    async def _follow_active_server(self, app: RefreshedApp) -> None:
        with app.announcer.listen() as events:
            while True:
                server = app.active()
                epoch = self._epoch(server)
                if server and await self._fetch_all(app.work, server):
                    # Whatever was announced meanwhile, recovery included, is covered by that.
                    while not events.empty():
                        events.get_nowait()
                if self._epoch(server) != epoch:
                    continue  # another server is at the address, so what was fetched first is gone
                if _is_same(server, app.active()):
                    await _wait_for_reason(app, events)
                    await asyncio.sleep(SWITCH_DELAY)

    def _epoch(self, server: Server | None) -> int:
        return self._changes.cache.epoch(server.id) if server else 0

    async def _fetch_all(self, work: Work, server: Server) -> bool:
        others: list[Fetch] = [work.projects, work.models]
        lists = self._lists(work, server)
        if None not in work.viewed_directories(server.id):
            lists.append(work.sessions)  # for commands, whose lists are the own directory's
        fetches = [*lists, *self._activity(work, server), *others]
        return await _run_fetches(server, fetches)

    async def _follow_events(self, app: RefreshedApp) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._changes_pending.wait()
            await asyncio.sleep(CHANGE_DEBOUNCE)
            self._changes_pending.clear()
            began = loop.time()
            await self._fetch_changes(app)
            await asyncio.sleep(min(PAUSE_FACTOR * (loop.time() - began), MAX_PAUSE))

    async def _fetch_changes(self, app: RefreshedApp) -> None:
        connected, self._connected = self._connected, set()
        changed, self._changed = self._changed, {}
        updated, self._updated = self._updated, set()
        active = app.active()
        for server_id in connected:
            if active is None or server_id != active.id:
                self._activities.clear(server_id)  # from before its link broke
        fetches: list[Fetch] = []
        if active is None:
            return
        if active.id in connected:
            # The server may have been restarted, in another project even.
            fetches += [*self._lists(app.work, active), *self._activity(app.work, active)]
            fetches += [app.work.projects, app.work.retry]
        elif active.id in changed:
            fetches += self._lists(app.work, active, changed[active.id])
        if active.id in updated:
            # Also with the fetches: lists are read with the changes, so they find nothing new.
            fetches.append(app.work.apply_session_changes)
        await _run_fetches(active, fetches)

    async def _store_changes(self, app: RefreshedApp) -> None:
        try:
            while True:
                await asyncio.sleep(STORE_INTERVAL)
                await app.work.store_session_changes()
        finally:
            # Of an app that ends: what it knew is there for commands.
            await app.work.store_session_changes()

    async def _announce_activity(self, app: RefreshedApp) -> None:
        while True:
            await self._activity_pending.wait()
            await asyncio.sleep(ACTIVITY_DEBOUNCE)
            self._activity_pending.clear()
            changed, self._activity_changed = self._activity_changed, set()
            active = app.active()
            if active and active.id in changed:
                app.announcer.announce(Event(kind=Kind.SESSIONS, server_id=active.id))

    async def _poll(self, app: RefreshedApp) -> None:
        while True:
            await asyncio.sleep(POLL_INTERVAL)
            active = app.active()
            if active is None or active.link not in _POLLED_LINKS:
                continue
            if active.health.state is State.HEALTHY:
                directories = app.work.viewed_directories(active.id)
                looks: list[Fetch] = [partial(app.work.look, d) for d in directories]
                await _run_fetches(active, [*looks, *self._activity(app.work, active)])

    async def _look(self, app: RefreshedApp) -> None:
        """Look at the newest sessions while somebody looks at a page.

        No event reports a session that another process made on the same database.
        """
        while True:
            await app.work.viewers.wait(LOOK_INTERVAL)
            active = app.active()
            if active and active.health.state is State.HEALTHY:
                directories = app.work.looked_at_directories(active.id)
                await _run_fetches(active, [partial(app.work.look, d) for d in directories])

    async def _retry(self, app: RefreshedApp) -> None:
        while True:
            await asyncio.sleep(RETRY_INTERVAL)
            active = app.active()
            if active and active.health.state is State.HEALTHY and active.health.warning:
                await _run_fetches(active, [app.work.retry])

    def _lists(
        self, work: Work, server: Server, changed: Container[str | None] | None = None
    ) -> list[Fetch]:
        """Return the fetches of the lists that are viewed, or of those of them that changed.

        A change anywhere may concern the server's own project, which has many directories, and the
        list of all directories.
        """
        directories = work.viewed_directories(server.id)
        if changed is not None:
            directories = tuple(d for d in directories if not isinstance(d, str) or d in changed)
        return [partial(work.sessions, directory) for directory in directories]

    def _activity(self, work: Work, server: Server) -> list[Fetch]:
        """Return the fetches of activity for viewed directories, and for those with busy sessions.

        The latter may be idle by now.
        """
        busy = self._activities.directories(server.id)
        viewed = [
            d for d in work.viewed_directories(server.id) if not isinstance(d, AllDirectories)
        ]
        # The own one always: a server has no list of the busy sessions of all directories.
        directories = [*dict.fromkeys((None, *viewed, *busy))]
        return [partial(work.activity, d) for d in directories[:MAX_ACTIVITY_FETCHES]]


def _is_same(one: Server | None, other: Server | None) -> bool:
    return (one and one.profile) is (other and other.profile)


async def _wait_for_reason(app: RefreshedApp, events: "asyncio.Queue[Event]") -> None:
    """Wait until a server becomes active, or the active one healthy."""
    while True:
        event = await events.get()
        if event.kind in (Kind.ACTIVE, Kind.OVERFLOW):
            return
        active = app.active()
        concerns_active = event.kind is Kind.HEALTH and active and event.server_id == active.id
        if concerns_active and active and active.health.state is State.HEALTHY:
            return


async def _run_fetches(server: Server, fetches: Iterable[Fetch]) -> bool:
    """Run fetches from one server side by side; return whether all succeeded."""
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(_run_fetch(fetch, server.id), name=f"fetch from {server.id}")
            for fetch in fetches
        ]
    return all(task.result() for task in tasks)


async def _run_fetch(fetch: Fetch, server_id: str) -> bool:
    try:
        await fetch(server_id=server_id)
    except CodeWalkError as exc:
        log.debug("A fetch failed: %s", exc.message)
        return False
    except Exception:
        # A fault of CodeWalk's own. It must not end the other fetches, let alone the app.
        log.exception("The fetch of %s from the server %s failed.", _name(fetch), server_id)
        return False
    return True


def _name(fetch: Fetch) -> str:
    method = fetch.func if isinstance(fetch, partial) else fetch
    return getattr(method, "__name__", "unknown")
