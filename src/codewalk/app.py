"""The core that the command line, the web app and programs share: the use cases.

Their rules are pure: `servers.roster`, `health.status`. `codewalk.opening` puts it together.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import uuid4

from codewalk.connecting import Connector
from codewalk.errors import NoActiveServer, RequestFailed, ServerUnhealthy, ServerUnreachable
from codewalk.events import Announcer, Event, Kind
from codewalk.generation import Generation
from codewalk.health.links import Links
from codewalk.health.monitor import Monitor
from codewalk.health.probe import BUDGET
from codewalk.health.status import HealthStatus, Reason, State
from codewalk.secret import Secret
from codewalk.servers import roster as rules
from codewalk.servers.draft import Change, fields_of, new_profile
from codewalk.servers.profile import ServerProfile
from codewalk.servers.registry import Registry
from codewalk.settings import Settings
from codewalk.storage.state import StateSize, StateStore
from codewalk.view import Removed, Server
from codewalk.workspace.models import ModelList, list_models, use_model
from codewalk.workspace.scope import Scope
from codewalk.workspace.sessions import (
    SessionList,
    cached_sessions,
    check_directory,
    fetch_sessions,
)

if TYPE_CHECKING:
    from codewalk.opencode.connection import Connection


@dataclass(frozen=True, kw_only=True, slots=True)
class Parts:
    """What an `App` works with; `codewalk.opening` makes it."""

    settings: Settings
    registry: Registry
    monitor: Monitor
    links: Links
    connector: Connector
    state: StateStore
    announcer: Announcer
    generation: Generation


class App:
    """One CodeWalk. Each method is a use case; `codewalk.open` gives an open one.

    `REF` arguments are a server's id, unique label, URL, unique id prefix, or `-` for the
    previously active one; they raise `ServerNotFound` and `AmbiguousReference`. Every method that
    reads or writes the store raises `StorageError`.
    """

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.local_news: str | None = None
        """What a user should know of the managed local server: a sentence, None while it runs."""
        self.settings = parts.settings
        self.announcer = parts.announcer
        self.generation = parts.generation
        self._registry = parts.registry
        self._monitor = parts.monitor
        self._connector = parts.connector
        self._state = parts.state

    # Which servers there are

    def servers(self) -> list[Server]:
        """All servers, in list order."""
        return [self._server(profile) for profile in self._registry.roster.profiles]

    def server(self, ref: str) -> Server:
        """The server that `ref` names."""
        return self._server(self._find(ref))

    def active(self) -> Server | None:
        """The active server, None without one."""
        profile = self._registry.roster.active
        return self._server(profile) if profile else None

    def default(self) -> Server | None:
        """The default server, None without one."""
        roster = self._registry.roster
        profile = roster.get(roster.default_id)
        return self._server(profile) if profile else None

    async def add_server(
        self,
        url: str,
        *,
        label: str | None = None,
        username: str | None = None,
        password: Secret | None = None,
        default: bool = False,
        use: bool = False,
        check: bool = True,
    ) -> Server:
        """Checks a server, then saves it; the first one becomes active.

        Raises `InvalidInput`, `DuplicateServer`, and `ServerUnreachable` where `check` is true and
        the server isn't healthy: then nothing is saved.
        """
        profile = new_profile(url, label=label, username=username, password=password, now=_now())
        # Decided here once before the network is asked, and again inside the store's transaction.
        rules.add(self._registry.roster, profile)
        status = await self._require_healthy(profile) if check else None
        await self._registry.change(
            lambda roster: rules.add(roster, profile, activate=use, default=default)
        )
        return self._saved(profile.id, status)

    async def edit_server(self, ref: str, change: Change, *, check: bool = True) -> Server:
        """Changes what `change` names, leaves the rest.

        The server is checked first where its URL or credentials change. Raises `InvalidInput`,
        `DuplicateServer`, `ServerManaged`, and `ServerUnreachable` as `add_server` does.
        """
        old = self._find(ref)
        rules.refuse_managed(old, "edited")
        fields = fields_of(change)
        now = _now()
        draft = rules.edit(self._registry.roster, old.id, now, **fields).require(old.id)
        reached_otherwise = bool(fields.keys() - {"label"}) and draft is not old
        status = await self._require_healthy(draft) if check and reached_otherwise else None
        await self._registry.change(lambda roster: rules.edit(roster, old.id, now, **fields))
        return self._saved(old.id, status)

    async def remove_server(self, ref: str) -> Removed:
        """Removes a server, its password and all state kept for it. Raises `ServerManaged`."""
        profile = self._find(ref)
        rules.refuse_managed(profile, "removed")
        roster = await self._registry.change(
            lambda roster: rules.remove(roster, profile.id, self._monitor.state)
        )
        return Removed(removed=profile.id, active=roster.active_id)

    async def set_default(self, ref: str) -> Server:
        """Makes a server the default: the one that is active after a start."""
        profile = self._find(ref)
        await self._registry.change(lambda roster: rules.set_default(roster, profile.id))
        return self._server(profile)

    async def clear_default(self) -> None:
        """Leaves no server as the default."""
        await self._registry.change(lambda roster: rules.set_default(roster, None))

    # How they are

    async def check(self, ref: str, *, budget: float = BUDGET) -> Server:
        """Checks one server now, within `budget` seconds."""
        profile = self._find(ref)
        status = await self._monitor.check(profile, budget=budget)
        return replace(self._server(profile), health=status)

    async def test_connection(
        self, url: str, *, username: str | None = None, password: Secret | None = None
    ) -> HealthStatus:
        """The same check for a server that isn't kept. Raises `InvalidInput`."""
        return await self._try_out(
            new_profile(url, username=username, password=password, now=_now())
        )

    async def test_change(self, ref: str, change: Change) -> HealthStatus:
        """The same check for a kept server as it would be after `change`; raises `InvalidInput`."""
        old = self._find(ref)
        roster = rules.edit(self._registry.roster, old.id, _now(), **fields_of(change))
        return await self._try_out(roster.require(old.id))

    # Switching

    async def switch_to(self, ref: str, *, force: bool = False) -> Server:
        """Makes a server active, under a new generation; what is under way for another ends.

        One that isn't known to be healthy is checked first. Raises `ServerUnhealthy` where it is
        unhealthy, unless `force`.
        """
        profile = self._find(ref)
        if not force and self._monitor.state(profile.id) is not State.HEALTHY:
            status = await self._monitor.check(profile)
            if status.state is State.UNHEALTHY:
                raise ServerUnhealthy(
                    f"{profile.name} is unhealthy: {_why(status)} "
                    "Switch by force (`--force`) to use it all the same.",
                    value=profile.id,
                )
        await self._registry.change(lambda roster: rules.switch(roster, profile.id))
        return self._server(self._registry.roster.require(profile.id))

    # What belongs to one

    async def sessions(self, directory: str | None = None, *, cached: bool = False) -> SessionList:
        """The active server's sessions, newest first; `cached` asks no server.

        Raises `NoActiveServer`, `ServerUnreachable`, and `Superseded` where another server became
        active meanwhile: a list on its way is never shown under another server. `InvalidValue`
        for a directory that can't be asked for.
        """
        check_directory(directory)
        async with self._active_server() as profile:
            scope = self.scope(profile.id)
            before = await cached_sessions(scope, directory)
            if cached:
                return before
            connection = await self._connect(profile)
            fresh = await fetch_sessions(scope, connection, directory)
            if fresh.sessions != before.sessions:
                self.announcer.announce(Event(kind=Kind.SESSIONS, server_id=profile.id))
            return fresh

    async def models(self) -> ModelList:
        """The models that the active server's connected providers offer. Raises as `sessions`."""
        async with self._active_server() as profile:
            connection = await self._connect(profile)
            return await list_models(self.scope(profile.id), connection)

    async def use_model(self, ref: str) -> ModelList:
        """Selects a `PROVIDER/MODEL` for the active server.

        Raises `InvalidValue` for one that it doesn't offer, and as `sessions`.
        """
        async with self._active_server() as profile:
            connection = await self._connect(profile)
            return await use_model(self.scope(profile.id), connection, ref)

    async def kept_state(self, ref: str | None = None) -> Sequence[StateSize]:
        """The keys kept for one server, or for each."""
        return await self._state.list(self._find(ref).id if ref else None)

    async def clear_state(self, ref: str) -> int:
        """Forgets all state kept for a server, not the server; how many keys it was."""
        return await self._state.clear(self._find(ref).id)

    async def unlock(self) -> None:
        """Makes stored passwords readable: their `reveal()` gives them from now on."""
        await self._connector.unlock()

    def scope(self, server_id: str) -> Scope:
        """The door to the state of one server."""
        return Scope(self._state, server_id)

    # Inside

    def _find(self, ref: str) -> ServerProfile:
        return rules.find(self._registry.roster, ref)

    def _active(self) -> ServerProfile:
        profile = self._registry.roster.active
        if profile is None:
            raise NoActiveServer(
                "There is no active server; add one with `codewalk server add URL`."
            )
        return profile

    def _server(self, profile: ServerProfile) -> Server:
        roster = self._registry.roster
        return Server(
            profile=profile,
            health=self._monitor.status(profile.id),
            active=profile.id == roster.active_id,
            default=profile.id == roster.default_id,
            link=self.parts.links.state(profile.id),
        )

    def _saved(self, server_id: str, status: HealthStatus | None) -> Server:
        if status:
            self._monitor.adopt(server_id, status)
        return self._server(self._registry.roster.require(server_id))

    async def _require_healthy(self, profile: ServerProfile) -> HealthStatus:
        status = await self._try_out(profile)
        if status.state is not State.HEALTHY:
            raise ServerUnreachable(f"{profile.url} isn't saved: {_why(status)}", value=profile.url)
        return status

    async def _try_out(self, profile: ServerProfile) -> HealthStatus:
        """The check of a profile that isn't in force: it tells nothing of the one that is."""
        draft = replace(profile, id=f"draft-{uuid4()}")
        try:
            return await self._monitor.check(draft)
        finally:
            self._monitor.forget(draft.id)
            self._connector.forget(draft.id)

    async def _connect(self, profile: ServerProfile) -> "Connection":
        if self._monitor.holds(profile.id):
            detail = self._monitor.status(profile.id).detail
            raise RequestFailed(Reason.REFUSED, detail or "It isn't running.")
        return await self._connector.connect(profile)

    @asynccontextmanager
    async def _active_server(self) -> AsyncIterator[ServerProfile]:
        """Work for the active server: ended by a switch, and a failed request has it checked.

        Which one is active is asked inside: nothing can come between that and the work.
        """
        async with self.generation.work():
            profile = self._active()
            try:
                yield profile
            except RequestFailed as exc:
                self._monitor.check_soon(profile.id)
                raise ServerUnreachable(f"{profile.name}: {exc.detail}", value=profile.url) from exc


def _why(status: HealthStatus) -> str:
    return status.detail or f"{status.reason}."


def _now() -> datetime:
    return datetime.now(UTC)
