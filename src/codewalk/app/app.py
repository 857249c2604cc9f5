"""The core that the command line, the web app and programs share: the use cases.

The rules are pure functions (`servers.rules`, `health.status`); `app.composition` builds an app.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from codewalk.app.drafts import Drafts
from codewalk.app.generation import Generation
from codewalk.app.managed_server import ManagedServer
from codewalk.app.server_connections import ServerConnections
from codewalk.app.server_views import ServerViews
from codewalk.app.switcher import Switcher
from codewalk.app.work import Work
from codewalk.errors import EditConflict
from codewalk.events import Announcer, Event, Kind
from codewalk.health.counters import CheckCounters, ServerCounters
from codewalk.health.monitor import Monitor
from codewalk.health.schedule import Lateness
from codewalk.health.status import HealthStatus
from codewalk.history.check_bar import CheckMark
from codewalk.history.history import Check, History
from codewalk.history.recorder import Recorder
from codewalk.history.window import resolve_window
from codewalk.notifications.hooks import Hooks
from codewalk.secret import Secret
from codewalk.server import Removed, Server
from codewalk.servers import references, rules
from codewalk.servers.conflict import EditableValues, connection_values
from codewalk.servers.draft import Change, changed_fields, new_profile
from codewalk.servers.profile import ServerProfile, connects_differently
from codewalk.servers.registry import Registry
from codewalk.servers.roster import Roster
from codewalk.settings import Settings
from codewalk.storage.database import Database
from codewalk.storage.file_header import FileId
from codewalk.storage.loss_report import StoreProblem
from codewalk.storage.state import StateSize, StateStore
from codewalk.workspace.identity import load_identity, store_identity
from codewalk.workspace.scope import Scope


class App:
    """One CodeWalk: each method is a use case; `codewalk.open` gives an open one.

    A `ref` is a server's id, unique label, URL, unique id prefix, or `-` for the previously active
    one. Every method that takes one raises `ServerNotFound` and `AmbiguousReference`; every method
    that reads or writes the store raises `StorageError`.

    Attributes:
        work: The use cases on the active server.
        hooks: The use cases on hooks.
        drafts: The use cases on what isn't saved yet.
        local: The managed local server: whether it runs, and how to start it.
        import_message: What this start imported from the Flutter app, in a few sentences; None
            where it was nothing, or the message was dismissed.
        settings: Where the data lies.
        announcer: Where to listen to what happens.
        generation: The number of the switch in force.
    """

    def __init__(  # noqa: PLR0913 - the parts of an app, which the composition root puts in
        self,
        *,
        settings: Settings,
        registry: Registry,
        switcher: Switcher,
        monitor: Monitor,
        recorder: Recorder,
        counters: CheckCounters,
        connections: ServerConnections,
        state: StateStore,
        database: Database,
        views: ServerViews,
        announcer: Announcer,
        generation: Generation,
        import_message: str | None,
        work: Work,
        drafts: Drafts,
        hooks: Hooks,
        local: ManagedServer,
    ) -> None:
        self.work = work
        self.hooks = hooks
        self.drafts = drafts
        self.local = local
        self.import_message = import_message
        self.settings = settings
        self.announcer = announcer
        self.generation = generation
        self._registry = registry
        self._switcher = switcher
        self._monitor = monitor
        self._recorder = recorder
        self._counters = counters
        self._connections = connections
        self._state = state
        self._database = database
        self._views = views

    @property
    def store_problem(self) -> StoreProblem | None:
        """Why nothing can be saved; None if all is well."""
        return self._database.problem

    @property
    def store_name(self) -> str:
        """The store as a message names it: its file, or its host and database."""
        return self._database.name

    @property
    def store_file(self) -> FileId | None:
        """The file of a SQLite store that is open; None for PostgreSQL."""
        return self._database.file_id

    # Which servers there are

    def servers(self) -> list[Server]:
        """Return all servers, in list order."""
        return self._views.all()

    def server(self, ref: str) -> Server:
        """Return the server that `ref` names."""
        return self._server(self._find(ref))

    def get(self, server_id: str) -> Server | None:
        """Return the server with exactly this id, None without one."""
        return self._views.get(server_id)

    def active(self) -> Server | None:
        """Return the active server, None without one."""
        return self._views.get(self._registry.roster.active_id)

    def default(self) -> Server | None:
        """Return the default server, None without one."""
        return self._views.get(self._registry.roster.default_id)

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
        """Check a server, then save it; the first one becomes active.

        Args:
            url: Where it is, as a person typed it; see `servers.profile.parse_url`.
            label: A name for it, unique among the servers.
            username: The user name for Basic authentication; `opencode` with a password alone.
            password: The password.
            default: Make it the default server.
            use: Make it the active server.
            check: Save it only where it is healthy.

        Raises:
            InvalidInput: A value can't be used.
            DuplicateServer: Another server has the URL or label.
            ServerUnreachable: It isn't healthy, and `check` is true. Nothing is saved; the error's
                `suggestion` may be the URL that was meant.
        """
        profile = new_profile(url, label=label, username=username, password=password, now=_now())

        def add(roster: Roster) -> Roster:
            grown = rules.add(roster, profile, activate=use, default=default)
            references.require_unambiguous_label(roster, profile)
            return grown

        # Decided here once before the network is asked, and again inside the store's transaction.
        add(self._registry.roster)
        status = await self.drafts.require_healthy(profile, typed=url) if check else None
        await self._registry.change(add)
        return self._saved(profile.id, status)

    async def edit_server(
        self, ref: str, change: Change, *, base: EditableValues | None = None, check: bool = True
    ) -> Server:
        """Change the fields of a server that `change` names, and leave the others.

        The server is checked first where its URL or credentials change.

        Args:
            ref: Names the server.
            change: The new values.
            base: The values that the change was made from, as a form showed them. Without them the
                last writer of a field wins, but for the URL and credentials during a check.
            check: Whether an unhealthy server is refused.

        Raises:
            EditConflict: What `change` names was changed elsewhere since `base` was read, or the
                URL or credentials while they were checked.
            InvalidInput: A value can't be used.
            DuplicateServer: Another server has the URL or label.
            ServerManaged: CodeWalk itself keeps the profile.
            ServerUnreachable: The server failed its check, as with `add_server`.
        """
        old = self._find(ref)
        rules.require_unmanaged(old, "edited")
        fields = changed_fields(change)
        now = _now()
        draft = rules.edit(self._registry.roster, old.id, now, base=base, **fields).require(old.id)
        status = None
        if check and connects_differently(old, draft):
            status = await self.drafts.require_healthy(draft, typed=change.url or draft.url)
            # What was checked is what is saved.
            base = {**connection_values(old), **(base or {})}
        try:
            await self._registry.change(
                lambda roster: rules.edit(roster, old.id, now, base=base, **fields)
            )
        except EditConflict:
            # The caller wants to see the newer values, which another process may have written.
            await self._registry.refresh()
            raise
        return self._saved(old.id, status)

    async def move_server(self, ref: str, *, before: str | None) -> Server:
        """Move a server right before another one, named as `ref` is; None is the list's end."""
        profile = self._find(ref)
        follower = None if before is None else self._find(before).id
        await self._registry.change(lambda roster: rules.move(roster, profile.id, follower))
        return self._server(self._registry.roster.require(profile.id))

    async def move_server_by(self, ref: str, *, places: int) -> Server:
        """Move a server by this many places in the list, up where that is negative."""
        profile = self._find(ref)
        await self._registry.change(lambda roster: rules.move_by(roster, profile.id, places))
        return self._server(self._registry.roster.require(profile.id))

    async def remove_server(self, ref: str) -> Removed:
        """Remove a server, its password and all values stored for it.

        It is gone from the disk at once; this process can undo that for some seconds
        (`servers.removal.UNDO_SECONDS`).

        Raises:
            ServerManaged: It is the managed local server.
        """
        profile = self._find(ref)
        rules.require_unmanaged(profile, "removed")
        roster = await self._registry.remove(
            profile.id, lambda roster: rules.remove(roster, profile.id, self._monitor.state)
        )
        self._switcher.ignore(roster)
        return Removed(removed=profile.id, active=roster.active_id)

    def removed_profile(self, server_id: str) -> ServerProfile | None:
        """Return the profile of a server whose removal can still be undone, or None."""
        return self._registry.removed(server_id)

    async def restore_server(self, server_id: str) -> Server:
        """Undo a removal: the server comes back with everything stored for it.

        It is active again only if no switch came since.

        Raises:
            ServerNotFound: It can't be undone any more.
            DuplicateServer: Another server has its URL or label now.
        """
        roster = await self._registry.restore(server_id)
        return self._server(roster.require(server_id))

    async def set_default(self, ref: str) -> Server:
        """Make a server the default: the one that is active after a start."""
        profile = self._find(ref)
        await self._registry.change(lambda roster: rules.set_default(roster, profile.id))
        return self._server(profile)

    async def clear_default(self, ref: str | None = None) -> None:
        """Leave no server as the default; with `ref`, only where that one is the default."""
        profile = None if ref is None else self._find(ref)

        def clear(roster: Roster) -> Roster:
            is_other = profile is not None and roster.default_id != profile.id
            return roster if is_other else rules.set_default(roster, None)

        await self._registry.change(clear)

    def dismiss_import_message(self) -> None:
        """Clear `import_message`, once a user has read it."""
        self.import_message = None
        self.announcer.announce(Event(kind=Kind.SERVERS))

    async def snooze(self, ref: str, until: datetime | None) -> Server:
        """Mute the notifications about a server until `until`; None unmutes them.

        Raises:
            InvalidValue: `until` isn't within a year from now.
        """
        profile = self._find(ref)
        now = _now()
        rules.validate_snooze(until, now)
        await self._registry.change(
            lambda roster: rules.edit(roster, profile.id, now, snoozed_until=until)
        )
        return self._server(self._registry.roster.require(profile.id))

    # How they are

    async def check(self, ref: str, *, budget: float | None = None) -> Server:
        """Check one server now, within `budget` seconds, or its own timeout."""
        profile = self._find(ref)
        status = await self._monitor.check(profile, budget=budget)
        return replace(self._server(profile), health=status)

    async def check_all(
        self, refs: Iterable[str] | None = None, *, budget: float | None = None
    ) -> list[Server]:
        """Check several servers concurrently, each once.

        Args:
            refs: The servers; all of them unless given.
            budget: Seconds for each check, instead of the server's own timeout.

        Returns:
            The servers as they are after the last check, in the order of `refs`, without those that
            were removed meanwhile.
        """
        chosen = self._registry.roster.profiles if refs is None else [self._find(r) for r in refs]
        ids = dict.fromkeys(profile.id for profile in chosen)
        await self._monitor.check_all(ids, budget=budget)
        remaining = {profile.id: profile for profile in self._registry.roster.profiles}
        return [self._server(remaining[server_id]) for server_id in ids if server_id in remaining]

    async def history(
        self,
        ref: str,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        by_minute: bool = True,
    ) -> History:
        """Return a server's uptime, transitions, counts and last checks.

        Args:
            ref: The server.
            since: Where the history begins, 30 days ago at most; a day before its end unless given.
            until: Where it ends; now unless given.
            by_minute: Give counts by the minute throughout. Without it, what is older than a day
                comes by the hour, in a twentieth of the time.

        Raises:
            InvalidValue: A time has no time zone, `since` is in the future, or `until` isn't after
                it.
        """
        profile, now = self._find(ref), _now()
        first, last = resolve_window(since, until, now)
        return await self._recorder.history(
            profile.id,
            self._monitor.status(profile.id),
            since=first,
            now=now,
            until=last,
            origin=await self._origin(profile.id),
            by_minute=by_minute,
        )

    async def encoded_history(
        self, ref: str, *, since: datetime | None = None, until: datetime | None = None
    ) -> Iterator[bytes]:
        """Return the JSON of `history` by the minute in pieces, made when they are asked for.

        For an app that does other work meanwhile: a month of minutes in one piece stops it for a
        fifth of a second. Ask for the pieces in a thread.
        """
        profile, now = self._find(ref), _now()
        first, last = resolve_window(since, until, now)
        return await self._recorder.encoded_history(
            profile.id,
            self._monitor.status(profile.id),
            since=first,
            now=now,
            until=last,
            origin=await self._origin(profile.id),
        )

    def recent_checks(self, server_id: str) -> list[Check]:
        """Return the last checks of a server, oldest first; empty in a command."""
        return self._recorder.recent_checks(server_id)

    def recent_marks(self, server_id: str) -> list[CheckMark]:
        """Return the time and reason of each of the last checks, oldest first."""
        return self._recorder.recent_marks(server_id)

    def check_counts(self, server_id: str) -> ServerCounters:
        """Return the counts of a server's check results since this process started."""
        return self._counters.get(server_id)

    def lateness(self) -> Lateness:
        """Return how long after its deadline each scheduled check began, in seconds."""
        return self._monitor.lateness

    # Switching

    async def switch_to(self, ref: str, *, force: bool = False) -> Server:
        """Make a server active under a new generation; work for another one is cancelled.

        A server that isn't known to be healthy is checked first.

        Raises:
            ServerUnhealthy: It is unhealthy, and `force` is false.
            Superseded: Another switch came while it was checked.
        """
        profile = self._find(ref)
        roster = await self._switcher.switch(profile, force=force)
        return self._server(roster.require(profile.id))

    def work_on(self, ref: str | None) -> Work:
        """Return the use cases on the server that `ref` names; on the active one with None."""
        return self.work if ref is None else self.work.on(self._find(ref).id)

    # What is stored for one

    async def stored_state(self, ref: str | None = None) -> Sequence[StateSize]:
        """Return the keys stored for one server, or for all, with their sizes."""
        return await self._state.list(self._find(ref).id if ref else None)

    async def clear_state(self, ref: str) -> int:
        """Delete all values stored for a server, not the server; return their number."""
        scope = Scope(self._state, self._find(ref).id)
        identity = await load_identity(scope)
        cleared = await self._state.clear(scope.server_id)
        if identity and identity.since:
            # Otherwise its history would be that of the earlier server at its address, too.
            await store_identity(scope, identity)
        return cleared

    async def unlock(self) -> None:
        """Load the key of the stored passwords, so that `Secret.reveal()` works from now on."""
        await self._connections.unlock()

    # Inside

    def _find(self, ref: str) -> ServerProfile:
        return references.find(self._registry.roster, ref)

    def _server(self, profile: ServerProfile) -> Server:
        return self._views.of(profile)

    async def _origin(self, server_id: str) -> datetime | None:
        """Return when this server was first seen at its address, None where it always was."""
        identity = await load_identity(Scope(self._state, server_id))
        return identity.since if identity else None

    def _saved(self, server_id: str, status: HealthStatus | None) -> Server:
        if status:
            self._monitor.set_status(server_id, status)
        return self._server(self._registry.roster.require(server_id))


def _now() -> datetime:
    return datetime.now(UTC)
