"""What is done on the active server: its sessions, projects and models.

A method belongs to the server that was active when it was called, and ends with a switch.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from codewalk.app.generation import Generation
from codewalk.errors import NoActiveServer, RequestFailed, ServerUnreachable, Superseded
from codewalk.events import Announcer, Event, Kind
from codewalk.health.checker import Connect
from codewalk.health.monitor import Monitor
from codewalk.health.request_hints import RequestObserver
from codewalk.opencode.activity import Activity
from codewalk.reason import Reason
from codewalk.servers.profile import ServerProfile
from codewalk.servers.registry import Registry
from codewalk.workspace.activity import Activities, fetch_activity
from codewalk.workspace.models import (
    ModelList,
    cached_models,
    fetch_models,
    find_model,
    select_model,
)
from codewalk.workspace.overview import Overview, cached_overview
from codewalk.workspace.projects import ProjectList, cached_projects, fetch_projects
from codewalk.workspace.scope import Scope, StateRepository
from codewalk.workspace.sessions import (
    Session,
    SessionList,
    cached_sessions,
    clean_directory,
    clean_title,
    create_session,
    fetch_sessions,
    require_absolute_directory,
)
from codewalk.workspace.state_cache import StateCache
from codewalk.workspace.viewed_directories import ViewedDirectories

if TYPE_CHECKING:
    from codewalk.opencode.connection import Connection

MODELS_FRESH_SECONDS: Final = 60.0
"""Seconds for which a list of models tells what the server offers."""

REANNOUNCE_AFTER_SECONDS: Final = 10.0
"""Seconds after which it is news that a list is still the same."""


class Work:
    """The use cases on the active server.

    `server_id` says which one the caller takes for that: what was meant for one server is never
    asked of another. With `cached` no server is asked. Each method raises `NoActiveServer`,
    `ServerUnreachable`, `StorageError`, and `Superseded` where another server is active, or became
    so meanwhile: what is on its way is never shown under another server. A directory or title that
    can't be used raises `InvalidValue`.
    """

    def __init__(
        self,
        *,
        registry: Registry,
        monitor: Monitor,
        connect: Connect,
        state: StateRepository,
        activities: Activities,
        announcer: Announcer,
        generation: Generation,
    ) -> None:
        self._observer = RequestObserver(monitor)
        self._registry = registry
        self._monitor = monitor
        self._connect_to = connect
        self._state = state
        self._activities = activities
        self._announcer = announcer
        self._generation = generation
        self._memory = StateCache()
        self._viewed = ViewedDirectories()

    async def sessions(
        self,
        directory: str | None = None,
        *,
        cached: bool = False,
        server_id: str | None = None,
    ) -> SessionList:
        """Its sessions in a directory, or those of its own project; newest first."""
        directory = clean_directory(directory)
        async with self._active_server(server_id) as profile:
            scope = self._scope(profile)
            before = await cached_sessions(scope, directory)
            if cached:
                self._viewed.add(profile.id, directory)
                return before
            fresh = await fetch_sessions(scope, await self._connect(profile), directory)
            if (
                fresh.sessions != before.sessions
                or _age(before.fetched_at) > REANNOUNCE_AFTER_SECONDS
            ):
                self._announce(Kind.SESSIONS, profile)
            return fresh

    async def overview(
        self, directory: str | None = None, *, server_id: str | None = None
    ) -> Overview:
        """What was last fetched of all that a page of it shows; asks no server."""
        directory = clean_directory(directory)
        async with self._active_server(server_id) as profile:
            found = await cached_overview(self._scope(profile), directory)
            self._viewed.add(profile.id, directory)
            return found

    async def new_session(
        self, directory: str | None = None, *, title: str | None = None, server_id: str
    ) -> Session:
        """Makes a session in a directory, or where the server was started; it is the open one."""
        directory, title = require_absolute_directory(directory), clean_title(title)
        async with self._active_server(server_id) as profile:
            connection = await self._connect(profile)
            session = await create_session(self._scope(profile), connection, directory, title)
            self._announce(Kind.SESSIONS, profile)
            return session

    async def projects(self, *, cached: bool = False, server_id: str | None = None) -> ProjectList:
        """Its projects, the last one worked in first."""
        async with self._active_server(server_id) as profile:
            scope = self._scope(profile)
            before = await cached_projects(scope)
            if cached:
                return before
            fresh = await fetch_projects(scope, await self._connect(profile))
            if (
                fresh.projects != before.projects
                or _age(before.fetched_at) > REANNOUNCE_AFTER_SECONDS
            ):
                self._announce(Kind.WORK, profile)
            return fresh

    async def models(self, *, cached: bool = False, server_id: str | None = None) -> ModelList:
        """The models that its connected providers offer."""
        async with self._active_server(server_id) as profile:
            scope = self._scope(profile)
            before = await cached_models(scope)
            if cached:
                return before
            fresh = await fetch_models(scope, await self._connect(profile))
            if fresh.models != before.models or _age(before.fetched_at) > REANNOUNCE_AFTER_SECONDS:
                self._announce(Kind.WORK, profile)
            return fresh

    async def use_model(self, ref: str, *, server_id: str | None = None) -> ModelList:
        """Selects a `PROVIDER/MODEL`; raises `InvalidValue` for one that it doesn't offer."""
        async with self._active_server(server_id) as profile:
            scope = self._scope(profile)
            offered = await cached_models(scope)
            if find_model(offered, ref) is None or _age(offered.fetched_at) > MODELS_FRESH_SECONDS:
                offered = await fetch_models(scope, await self._connect(profile))
            chosen = await select_model(scope, offered, ref)
            self._announce(Kind.WORK, profile)
            return chosen

    async def activity(
        self, directory: str | None = None, *, server_id: str | None = None
    ) -> Mapping[str, Activity]:
        """What its sessions in a directory are doing, by their ids; idle ones aren't named."""
        directory = clean_directory(directory)
        async with self._active_server(server_id) as profile:
            connection = await self._connect(profile)
            with self._activities.fetching(profile.id, directory) as question:
                found = await fetch_activity(connection, directory)
            if self._activities.apply_fetched(question, found):
                self._announce(Kind.SESSIONS, profile)
            return found

    def busy_sessions(self, server_id: str) -> Mapping[str, Activity]:
        """What a server's sessions are doing as far as is known, in all directories, by their ids.

        Asks no server, and not only the active one has some.
        """
        return self._activities.get(server_id)

    def viewed_directories(self, server_id: str) -> tuple[str | None, ...]:
        """The directories whose kept lists are shown; None stands for the server's own project."""
        return self._viewed.get(server_id)

    # Inside

    def _scope(self, profile: ServerProfile) -> Scope:
        return Scope(self._state, profile.id, self._memory)

    def _announce(self, kind: Kind, profile: ServerProfile) -> None:
        self._announcer.announce(Event(kind=kind, server_id=profile.id))

    def _active(self, server_id: str | None) -> ServerProfile:
        roster = self._registry.roster
        active = roster.active
        if server_id is not None and (active is None or active.id != server_id):
            asked = roster.get(server_id)
            raise Superseded(
                f"{asked.name if asked else 'The server'} isn't the active server any more; "
                f"{active.name if active else 'none'} is. Nothing was sent.",
                value=server_id,
            )
        if active is None:
            raise NoActiveServer(
                "There is no active server; add one with `codewalk server add URL`."
            )
        return active

    async def _connect(self, profile: ServerProfile) -> "Connection":
        if self._monitor.is_paused(profile.id):
            detail = self._monitor.status(profile.id).detail
            raise RequestFailed(Reason.REFUSED, detail or "It isn't running.")
        connection = await self._connect_to(profile)
        # Once more: what a switch ends is cancelled a turn of the loop after it.
        self._active(profile.id)
        return connection.with_call_context(lambda: self._observer.observe(profile.id))

    @asynccontextmanager
    async def _active_server(self, server_id: str | None) -> AsyncIterator[ServerProfile]:
        """Work for the active server, ended by a switch.

        Which one is active is asked inside: nothing can come between that and the work.
        """
        async with self._generation.work():
            profile = self._active(server_id)
            try:
                yield profile
            except RequestFailed as exc:
                raise ServerUnreachable(f"{profile.name}: {exc.detail}", value=profile.url) from exc


def _age(fetched_at: datetime | None) -> float:
    """Seconds; without end where it never was, or is to come, by a clock that was set back."""
    if fetched_at is None:
        return float("inf")
    age = (datetime.now(UTC) - fetched_at).total_seconds()
    return age if age >= 0 else float("inf")
