"""The use cases on the active server: its sessions, projects and models."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from copy import copy
from datetime import UTC, datetime
from functools import partial
from typing import Final, Self

from codewalk.app.generation import Generation
from codewalk.app.identification import Identification
from codewalk.app.recent_creations import FormContent, RecentCreations
from codewalk.app.server_requests import ServerRequests
from codewalk.app.viewers import Viewers
from codewalk.app.work_target import WorkTarget
from codewalk.errors import ServerUnreachable
from codewalk.events import Announcer, Event, Kind
from codewalk.health.request_warnings import Listing, ListRequest
from codewalk.opencode.activity import Activity
from codewalk.opencode.session import Session
from codewalk.servers.profile import ServerProfile
from codewalk.servers.registry import Registry
from codewalk.workspace.activity import Activities, fetch_activity
from codewalk.workspace.all_sessions import fetch_all_sessions
from codewalk.workspace.directories import (
    AllDirectories,
    DirectoryChoice,
    ViewedDirectories,
    clean_choice,
    clean_directory,
    require_absolute_directory,
)
from codewalk.workspace.models import (
    ModelList,
    cached_models,
    clear_selection,
    fetch_models,
    find_model,
    select_model,
)
from codewalk.workspace.overview import Overview, cached_overview
from codewalk.workspace.projects import (
    ProjectList,
    cache_projects,
    cached_projects,
    fetch_projects,
)
from codewalk.workspace.scope import Scope, StateStorage
from codewalk.workspace.session_changes import SessionChanges
from codewalk.workspace.session_creation import CreatedSession, clean_title, create_session
from codewalk.workspace.session_list import SessionList
from codewalk.workspace.session_look import look_at_newest
from codewalk.workspace.sessions import (
    cached_sessions,
    fetch_sessions,
    list_undecided,
    store_changes,
)

MODELS_FRESH_SECONDS: Final = 60.0
"""Age up to which a cached list of models decides whether a model can be selected."""

UNCHANGED_ANNOUNCE_SECONDS: Final = 5.0
"""Age of a cached list, and seconds since the last announcement, from which a fetch is announced
even where nothing changed: pages show when a list was fetched."""

LOOKED_AT_SECONDS: Final = 30.0
"""Seconds since a page asked for a list for which it is looked at: a page asks every 10 s."""

_MAX_LOOKS: Final = 100
"""Directories whose looks are kept apart."""


class Work:
    """The use cases on the active server.

    A call belongs to the server that is active when it begins, and ends with a switch. With
    `server_id` the caller says which server it takes for the active one: what is meant for one
    server is never sent to another. With `cached` no server is asked. A directory is a path on the
    server; None is the project in which it was started, and `ALL` are all directories.

    Every method raises `NoActiveServer`, `ServerUnreachable`, `StorageError`, `InvalidValue` for a
    bad directory or title, and `Superseded` where another server is active or became so meanwhile.

    Attributes:
        viewers: The pages that show the lists now.
    """

    def __init__(
        self,
        *,
        registry: Registry,
        requests: ServerRequests,
        identification: Identification,
        state: StateStorage,
        activities: Activities,
        changes: SessionChanges,
        announcer: Announcer,
        generation: Generation,
    ) -> None:
        self._target = WorkTarget(registry=registry, requests=requests, generation=generation)
        self._requests = requests
        self._identification = identification
        self._state = state
        self._activities = activities
        self._announcer = announcer
        self._changes = changes
        self._creations = RecentCreations()
        self._announced_at: dict[str, float] = {}
        self._look_locks: dict[tuple[str, DirectoryChoice], asyncio.Lock] = {}
        self._viewed = ViewedDirectories()
        self.viewers = Viewers()

    def on(self, server_id: str) -> Self:
        """Return the same use cases on one server, whether it is active or not.

        No switch ends them.
        """
        work = copy(self)
        work._target = self._target.choose(server_id)  # noqa: SLF001 - its own copy
        return work

    async def sessions(
        self,
        directory: DirectoryChoice = None,
        *,
        archived: bool = False,
        cached: bool = False,
        ask_each: bool = False,
        server_id: str | None = None,
    ) -> SessionList:
        """Return the sessions of a directory, newest first.

        Args:
            directory: The directory.
            archived: Whether to return archived ones too.
            cached: Whether to return the list as last fetched.
            ask_each: As in `fetch_all_sessions`, for all directories.
            server_id: The server that the caller takes for the active one.
        """
        directory = clean_choice(directory)
        async with self._target.use(server_id) as profile:
            scope = self._scope(profile)
            if cached:
                self._add_viewed(profile, directory)
                sessions = await cached_sessions(scope, directory, changes=self._changes)
            else:
                sessions = await self._fetch_sessions(profile, scope, directory, ask_each=ask_each)
            return sessions if archived else sessions.without_archived()

    async def look(
        self, directory: DirectoryChoice = None, *, server_id: str | None = None
    ) -> None:
        """Bring the cached list of a directory up to date with its newest sessions.

        Cheap, for a page that is looked at: the server is asked for a page of sessions, and for all
        of them only where that isn't enough. Several looks within a second are one.
        """
        directory = clean_choice(directory)
        async with self._target.use(server_id) as profile:
            scope = self._scope(profile)
            # Several pages look at once: the later ones find a list that was just compared.
            async with self._look_lock(profile.id, directory):
                connection = await self._target.connect(profile)
                # A look that needed no request ends no warning; the next fetch of the list does.
                with self._requests.warn(profile, _list_request(directory)):
                    changed = await look_at_newest(scope, connection, directory, self._changes)
                if changed is None:
                    await self._fetch_sessions(profile, scope, directory)
                elif changed or self._is_announcement_due(profile):
                    self._announce_sessions(profile)

    async def apply_session_changes(self, *, server_id: str) -> None:
        """Announce changed sessions, and fetch the lists whose directory isn't certain.

        The changes are those that were added to the `SessionChanges` of this app.
        """
        async with self._target.use(server_id) as profile:
            scope = self._scope(profile)
            # First: a fetch may fail.
            self._announce_sessions(profile)
            viewed = self._viewed.get(server_id)
            for directory in await list_undecided(scope, self._changes, viewed):
                await self._fetch_sessions(profile, scope, directory)

    async def store_session_changes(self) -> None:
        """Write changed sessions to the store: those of the active server; others are dropped.

        When another server becomes active, its lists are fetched.
        """
        active = self._target.active()
        for server_id in self._changes.servers():
            if active is None or server_id != active.id:
                self._changes.clear(server_id)
                continue
            await store_changes(self._scope(active), self._changes, self._viewed.get(server_id))

    async def _fetch_sessions(
        self,
        profile: ServerProfile,
        scope: Scope,
        directory: DirectoryChoice,
        *,
        ask_each: bool = False,
    ) -> SessionList:
        before = await cached_sessions(scope, directory, changes=self._changes)
        async with self._target.request_list(profile, _list_request(directory)) as server:
            if isinstance(directory, AllDirectories):
                fresh = await fetch_all_sessions(scope, server, self._changes, ask_each=ask_each)
            else:
                fresh = await fetch_sessions(scope, server, directory, changes=self._changes)
        is_changed = _shown(fresh) != _shown(before) or _is_old(before.fetched_at)
        if is_changed or self._is_announcement_due(profile):
            self._announce_sessions(profile)
        return fresh

    def _look_lock(self, server_id: str, directory: DirectoryChoice) -> asyncio.Lock:
        if len(self._look_locks) >= _MAX_LOOKS:
            self._look_locks.clear()
        return self._look_locks.setdefault((server_id, directory), asyncio.Lock())

    def _announce_sessions(self, profile: ServerProfile) -> None:
        # Changed in place: `on` shares it.
        self._announced_at[profile.id] = asyncio.get_running_loop().time()
        self._announce(Kind.SESSIONS, profile)

    def _is_announcement_due(self, profile: ServerProfile) -> bool:
        last = self._announced_at.get(profile.id, float("-inf"))
        return asyncio.get_running_loop().time() - last >= UNCHANGED_ANNOUNCE_SECONDS

    async def overview(
        self, directory: DirectoryChoice = None, *, server_id: str | None = None
    ) -> Overview:
        """Return everything cached that the server's home page shows. Asks no server."""
        directory = clean_choice(directory)
        async with self._target.use(server_id) as profile:
            scope = self._scope(profile)
            overview = await cached_overview(scope, directory, changes=self._changes)
            self._add_viewed(profile, directory)
            return overview

    async def new_session(
        self, directory: str | None = None, *, title: str | None = None, server_id: str
    ) -> Session:
        """Create a session in a directory, and make it the current one there."""
        return (await self.create_session(directory, title=title, server_id=server_id)).session

    async def create_session(
        self,
        directory: str | None = None,
        *,
        title: str | None = None,
        nonce: str | None = None,
        server_id: str,
    ) -> CreatedSession:
        """Create a session as `new_session` does, and say how it was created.

        Args:
            directory: An absolute path, None for where the server was started.
            title: None for the server's own choice.
            nonce: Identifies the form: sent twice within a minute, it creates one session.
            server_id: The server that the caller takes for the active one.
        """
        directory, title = require_absolute_directory(directory), clean_title(title)

        async def create() -> CreatedSession:
            async with self._target.use(server_id) as profile:
                connection = await self._target.connect(profile)
                scope = self._scope(profile)
                try:
                    return await create_session(
                        scope, connection, directory, title, changes=self._changes
                    )
                finally:
                    # After a failure too: what may be the session is in the list.
                    self._announce(Kind.SESSIONS, profile)

        if not nonce:
            return await create()
        form = FormContent(server_id=server_id, nonce=nonce, directory=directory, title=title)
        return await self._creations.run(form, create)

    async def projects(self, *, cached: bool = False, server_id: str | None = None) -> ProjectList:
        """Return the projects, the one last worked in first."""
        async with self._target.use(server_id) as profile:
            scope = self._scope(profile)
            before = await cached_projects(scope)
            if cached:
                return before
            start = scope.begin_fetch()
            request = ListRequest(Listing.PROJECTS)
            async with self._target.request_list(profile, request) as connection:
                fetched = await fetch_projects(connection)
            await self._identification.identify(profile, fetched.identity)
            fresh = await cache_projects(self._scope(profile), fetched, start)
            if fresh.projects != before.projects or _is_old(before.fetched_at):
                self._announce(Kind.WORK, profile)
            return fresh

    async def models(self, *, cached: bool = False, server_id: str | None = None) -> ModelList:
        """Return the models of the connected providers."""
        async with self._target.use(server_id) as profile:
            scope = self._scope(profile)
            before = await cached_models(scope)
            if cached:
                return before
            fresh = await self._fetch_models(profile, scope)
            if fresh.models != before.models or _is_old(before.fetched_at):
                self._announce(Kind.WORK, profile)
            return fresh

    async def use_model(self, ref: str | None, *, server_id: str | None = None) -> ModelList:
        """Select a model for the server.

        Args:
            ref: `PROVIDER/MODEL`; None for the server's own default.
            server_id: The server that the caller takes for the active one.

        Raises:
            InvalidValue: The server doesn't have this model.
        """
        async with self._target.use(server_id) as profile:
            scope = self._scope(profile)
            models = await cached_models(scope)
            if ref is None:
                models = await clear_selection(scope, models)
                self._announce(Kind.WORK, profile)
                return models
            if find_model(models, ref) is None or _age(models.fetched_at) > MODELS_FRESH_SECONDS:
                models = await self._fetch_models(profile, scope)
            models = await select_model(scope, models, ref)
            self._announce(Kind.WORK, profile)
            return models

    async def _fetch_models(self, profile: ServerProfile, scope: Scope) -> ModelList:
        request = ListRequest(Listing.MODELS)
        async with self._target.request_list(profile, request) as connection:
            return await fetch_models(scope, connection)

    def failing(self, server_id: str) -> frozenset[Listing]:
        """Return the kinds of lists that a server fails to send. Asks no server."""
        return self._requests.failing(server_id)

    async def retry(self, *, server_id: str) -> None:
        """Fetch the lists again that the server failed to send, if it did.

        A failure isn't raised: it is the server's warning.
        """
        for request in self._requests.failing_requests(server_id):
            fetches: dict[Listing, Callable[..., Awaitable[object]]] = {
                Listing.SESSIONS: partial(self.sessions, request.directory),
                Listing.PROJECTS: self.projects,
                Listing.MODELS: self.models,
            }
            with suppress(ServerUnreachable):
                await fetches[request.listing](server_id=server_id)

    async def activity(
        self, directory: str | None = None, *, server_id: str | None = None
    ) -> Mapping[str, Activity]:
        """Fetch what the busy sessions of a directory are doing, by their ids."""
        directory = clean_directory(directory)
        async with self._target.use(server_id) as profile:
            connection = await self._target.connect(profile)
            with self._activities.fetching(profile.id, directory) as fetch:
                activities = await fetch_activity(connection, directory)
            if self._activities.apply_fetched(fetch, activities):
                self._announce(Kind.SESSIONS, profile)
            return activities

    def busy_sessions(self, server_id: str) -> Mapping[str, Activity]:
        """Return what the busy sessions of any server are doing, as far as is known, by their ids.

        Asks no server.
        """
        return self._activities.get(server_id)

    def looked_at_directories(self, server_id: str) -> tuple[DirectoryChoice, ...]:
        """Return the directories whose lists somebody looked at within the last half minute."""
        return self._viewed.since(server_id, LOOKED_AT_SECONDS)

    def viewed_directories(self, server_id: str) -> tuple[DirectoryChoice, ...]:
        """Return the directories whose lists are refreshed; None is the server's own."""
        return self._viewed.get(server_id)

    def _add_viewed(self, profile: ServerProfile, directory: DirectoryChoice) -> None:
        if not self._target.is_chosen:  # only the active server's lists are refreshed
            self._viewed.add(profile.id, directory)

    def _scope(self, profile: ServerProfile) -> Scope:
        # CodeWalk itself gives its managed server a URL at each start.
        url = None if profile.managed else profile.url
        return Scope(self._state, profile.id, self._changes.cache, url=url)

    def _announce(self, kind: Kind, profile: ServerProfile) -> None:
        self._announcer.announce(Event(kind=kind, server_id=profile.id))


def _list_request(directory: DirectoryChoice) -> ListRequest:
    # A list of all directories fails where the own directory's does, and says the same.
    return ListRequest(Listing.SESSIONS, directory if isinstance(directory, str) else None)


def _shown(session_list: SessionList) -> tuple[object, ...]:
    """Return what a page shows of a list, apart from its age."""
    return session_list.sessions, session_list.is_partial, session_list.is_substitute


def _is_old(fetched_at: datetime | None) -> bool:
    return _age(fetched_at) > UNCHANGED_ANNOUNCE_SECONDS


def _age(fetched_at: datetime | None) -> float:
    """Return seconds; infinity for None, and for a future time after the clock was set back."""
    if fetched_at is None:
        return float("inf")
    age = (datetime.now(UTC) - fetched_at).total_seconds()
    return age if age >= 0 else float("inf")
