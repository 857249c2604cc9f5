"""What belongs to the active server, fetched when there is a reason to."""

import asyncio
import logging
from collections.abc import Callable, Container, Coroutine, Iterable
from functools import partial
from typing import Any, Final, Protocol

from codewalk.app.work import Work
from codewalk.errors import CodeWalkError
from codewalk.events import Announcer, Event, Kind
from codewalk.health.link import LinkState
from codewalk.opencode.events import ActivityChanged, Connected, ServerEvent, SessionChanged
from codewalk.reason import State
from codewalk.server import Server
from codewalk.workspace.activity import Activities

SWITCH_DELAY: Final = 0.05
"""Seconds after a switch until the server is asked: what is kept of it is shown first."""

CHANGE_DEBOUNCE: Final = 0.3
"""Seconds after the first of several changes until a list is fetched once for all of them."""

PAUSE_FACTOR: Final = 3.0
MAX_PAUSE: Final = 5.0
"""How many times as long as a fetch took is waited until the next changes are looked at, and how
many seconds at most: a list of ten thousand sessions isn't fetched without a pause."""

ACTIVITY_DEBOUNCE: Final = 0.1
"""Seconds after the first of several busy marks until they are announced together."""

POLL_INTERVAL: Final = 15.0
"""Seconds between two looks at a server that tells nothing by itself."""

MAX_CHANGED_DIRECTORIES: Final = 100
"""Directories of one server that are remembered as changed."""

MAX_ACTIVITY_FETCHES: Final = 16
"""Directories that are asked for busy marks at a time."""


class RefreshedApp(Protocol):
    """What is kept fresh: an `App`, as far as that needs it."""

    @property
    def work(self) -> Work: ...
    @property
    def announcer(self) -> Announcer: ...
    def active(self) -> Server | None: ...


Job = Callable[..., Coroutine[Any, Any, object]]

log = logging.getLogger(__name__)


class Refresher:
    """Keeps what is known of the active server fresh: its sessions, projects, models and busy
    marks when it becomes active or healthy, and what its live link tells of.

    A switch ends what is under way; one that fails leaves the others alone.
    """

    def __init__(self, activities: Activities) -> None:
        self._activities = activities
        self._linked: set[str] = set()
        self._changed: dict[str, set[str | None]] = {}
        self._marked: set[str] = set()
        self._news = asyncio.Event()
        self._marks = asyncio.Event()

    def handle_event(self, server_id: str, event: ServerEvent) -> None:
        """Takes what a server tells; `Connected` each time that it begins to."""
        match event:
            case Connected():
                self._linked.add(server_id)
                self._news.set()
            case SessionChanged():
                directories = self._changed.setdefault(server_id, set())
                if len(directories) < MAX_CHANGED_DIRECTORIES:
                    directories.add(event.directory)
                self._news.set()
            case ActivityChanged() if self._activities.apply_event(server_id, event):
                self._marked.add(server_id)
                self._marks.set()

    async def run(self, app: RefreshedApp) -> None:
        """Refreshes until it is cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow_app(app), name="the active server's work")
            group.create_task(self._follow_links(app), name="sessions that changed")
            group.create_task(self._announce_marks(app), name="busy marks")
            group.create_task(self._poll(app), name="a server that tells nothing")

    async def _follow_app(self, app: RefreshedApp) -> None:
        with app.announcer.listen() as events:
            while True:
                begun = app.active()
                if begun and await self._begin(app.work, begun):
                    # What was told meanwhile, that it became healthy say, is answered by that.
                    while not events.empty():
                        events.get_nowait()
                if _same(begun, app.active()):
                    await _next_start(app, events)
                    await asyncio.sleep(SWITCH_DELAY)

    async def _begin(self, work: Work, active: Server) -> bool:
        others: list[Job] = [work.projects, work.models]
        jobs = [*self._lists(work, active), *self._asking(work, active), *others]
        return await _side_by_side(active, jobs)

    async def _follow_links(self, app: RefreshedApp) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._news.wait()
            await asyncio.sleep(CHANGE_DEBOUNCE)
            self._news.clear()
            began = loop.time()
            await self._catch_up(app)
            await asyncio.sleep(min(PAUSE_FACTOR * (loop.time() - began), MAX_PAUSE))

    async def _catch_up(self, app: RefreshedApp) -> None:
        linked, self._linked = self._linked, set()
        changed, self._changed = self._changed, {}
        active = app.active()
        for server_id in linked:
            if active is None or server_id != active.id:
                self._activities.clear(server_id)  # what it told before its link broke
        if active and active.id in linked:
            jobs = [*self._lists(app.work, active), *self._asking(app.work, active)]
            await _side_by_side(active, jobs)
        elif active and active.id in changed:
            await _side_by_side(active, self._lists(app.work, active, changed[active.id]))

    async def _announce_marks(self, app: RefreshedApp) -> None:
        while True:
            await self._marks.wait()
            await asyncio.sleep(ACTIVITY_DEBOUNCE)
            self._marks.clear()
            marked, self._marked = self._marked, set()
            active = app.active()
            if active and active.id in marked:
                app.announcer.announce(Event(kind=Kind.SESSIONS, server_id=active.id))

    async def _poll(self, app: RefreshedApp) -> None:
        while True:
            await asyncio.sleep(POLL_INTERVAL)
            active = app.active()
            tells = active and active.link is not LinkState.POLLING
            if active and not tells and active.health.state is State.HEALTHY:
                jobs = [*self._lists(app.work, active), *self._asking(app.work, active)]
                await _side_by_side(active, jobs)

    def _lists(
        self, work: Work, active: Server, changed: Container[str | None] | None = None
    ) -> list[Job]:
        """The session lists that are looked at, or those of them that changed. A change anywhere
        may be one of the server's own project, which has many directories."""
        places = work.viewed_directories(active.id)
        if changed is not None:
            places = tuple(place for place in places if place is None or place in changed)
        return [partial(work.sessions, place) for place in places]

    def _asking(self, work: Work, active: Server) -> list[Job]:
        """The busy marks where somebody looks, and where some are known, which may be old ones."""
        known = self._activities.directories(active.id)
        places = [*dict.fromkeys((*work.viewed_directories(active.id), *known))]
        return [partial(work.activity, place) for place in places[:MAX_ACTIVITY_FETCHES]]


def _same(one: Server | None, other: Server | None) -> bool:
    return (one and one.profile) is (other and other.profile)


async def _next_start(app: RefreshedApp, events: "asyncio.Queue[Event]") -> None:
    """Waits until a server becomes active, or the active one healthy."""
    while True:
        event = await events.get()
        active = app.active()
        news = event.kind is Kind.HEALTH and active and event.server_id == active.id
        if event.kind in (Kind.ACTIVE, Kind.OVERFLOW):
            return
        if news and active and active.health.state is State.HEALTHY:
            return


async def _side_by_side(active: Server, jobs: Iterable[Job]) -> bool:
    """Whether all went well."""
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(_quietly(job(server_id=active.id)), name=f"fetch of {active.id}")
            for job in jobs
        ]
    return all(task.result() for task in tasks)


async def _quietly(fetch: Coroutine[Any, Any, object]) -> bool:
    try:
        await fetch
    except CodeWalkError as exc:
        log.debug("Not fetched: %s", exc.message)
        return False
    return True
