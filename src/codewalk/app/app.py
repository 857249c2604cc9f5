"""The core that the command line, the web app and programs share: the use cases.

The rules are pure functions (`servers.roster`, `health.status`); `app.composition` builds an app.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from codewalk.app.drafts import Drafts
from codewalk.app.generation import Generation
from codewalk.app.managed_server import ManagedServer
from codewalk.app.server_connections import ServerConnections
from codewalk.app.server_views import ServerViews
from codewalk.app.switcher import Switcher
from codewalk.app.work import Work
from codewalk.events import Announcer, Event, Kind
from codewalk.health.counters import CheckCounters, ServerCounters
from codewalk.health.monitor import Monitor
from codewalk.health.schedule import Lateness
from codewalk.health.status import HealthStatus
from codewalk.history.history import Check, History
from codewalk.history.recorder import Recorder
from codewalk.history.window import resolve_window
from codewalk.notifications.hooks import Hooks
from codewalk.reason import State
from codewalk.secret import Secret
from codewalk.server import Removed, Server
from codewalk.servers import roster as rules
from codewalk.servers.draft import Change, changed_fields, new_profile
from codewalk.servers.profile import ServerProfile, connects_differently
from codewalk.servers.registry import Registry
from codewalk.settings import Settings
from codewalk.storage.state import StateSize, StateStore


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
        self._views = views

    # Which servers there are

    def servers(self) -> list[Server]:
        """All servers, in list order."""
        return self._views.all()

    def server(self, ref: str) -> Server:
        """The server that `ref` names."""
        return self._server(self._find(ref))

    def get(self, server_id: str) -> Server | None:
        """The server with just this id, None without one."""
        return self._views.get(server_id)

    def active(self) -> Server | None:
        """The active server, None without one."""
        return self._views.get(self._registry.roster.active_id)

    def default(self) -> Server | None:
        """The default server, None without one."""
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
        """Checks a server, then saves it; the first one becomes active.

        Raises `InvalidInput`, `DuplicateServer`, and `ServerUnreachable` where `check` is true and
        the server isn't healthy: then nothing is saved, and its `suggestion` may be what was meant.
        """
        profile = new_profile(url, label=label, username=username, password=password, now=_now())

        def add(roster: rules.Roster) -> rules.Roster:
            grown = rules.add(roster, profile, activate=use, default=default)
            rules.require_unambiguous_label(roster, profile)
            return grown

        # Decided here once before the network is asked, and again inside the store's transaction.
        add(self._registry.roster)
        status = await self.drafts.require_healthy(profile, typed=url) if check else None
        await self._registry.change(add)
        return self._saved(profile.id, status)

    async def edit_server(self, ref: str, change: Change, *, check: bool = True) -> Server:
        """Changes what `change` names, leaves the rest.

        The server is checked first where its URL or credentials change. Raises `InvalidInput`,
        `DuplicateServer`, `ServerManaged`, and `ServerUnreachable` as `add_server` does.
        """
        old = self._find(ref)
        rules.require_unmanaged(old, "edited")
        fields = changed_fields(change)
        now = _now()
        draft = rules.edit(self._registry.roster, old.id, now, **fields).require(old.id)
        status = None
        if check and connects_differently(old, draft):
            status = await self.drafts.require_healthy(draft, typed=change.url or draft.url)
        await self._registry.change(lambda roster: rules.edit(roster, old.id, now, **fields))
        return self._saved(old.id, status)

    async def move_server(self, ref: str, *, before: str | None) -> Server:
        """Puts a server right before another in the list, named as `ref` is; None is the end."""
        profile = self._find(ref)
        follower = None if before is None else self._find(before).id
        await self._registry.change(lambda roster: rules.move(roster, profile.id, follower))
        return self._server(self._registry.roster.require(profile.id))

    async def remove_server(self, ref: str) -> Removed:
        """Removes a server, its password and all state kept for it. Raises `ServerManaged`.

        It is gone from the disk at once; this process can undo it for `UNDO_SECONDS` seconds.
        """
        profile = self._find(ref)
        rules.require_unmanaged(profile, "removed")
        roster = await self._registry.remove(
            profile.id, lambda roster: rules.remove(roster, profile.id, self._monitor.state)
        )
        self._switcher.ignore(roster)
        return Removed(removed=profile.id, active=roster.active_id)

    def removed_profile(self, server_id: str) -> ServerProfile | None:
        """The profile of a server whose removal can still be undone, None for any other."""
        return self._registry.removed(server_id)

    async def restore_server(self, server_id: str) -> Server:
        """Undoes a removal: everything of the server is as it was, but what others took meanwhile.

        It is active again only if no switch came since. Raises `ServerNotFound` where that can't be
        done any more, and `DuplicateServer` where another has its URL or label now.
        """
        roster = await self._registry.restore(server_id)
        return self._server(roster.require(server_id))

    async def set_default(self, ref: str) -> Server:
        """Makes a server the default: the one that is active after a start."""
        profile = self._find(ref)
        await self._registry.change(lambda roster: rules.set_default(roster, profile.id))
        return self._server(profile)

    async def clear_default(self) -> None:
        """Leaves no server as the default."""
        await self._registry.change(lambda roster: rules.set_default(roster, None))

    def dismiss_import_message(self) -> None:
        """Has `takeover` shown no longer."""
        self.import_message = None
        self.announcer.announce(Event(kind=Kind.SERVERS))

    async def snooze(self, ref: str, until: datetime | None) -> Server:
        """Has nothing told of a server until then, or all again with None. Raises `InvalidValue`
        for a moment that isn't within a year from now."""
        profile = self._find(ref)
        now = _now()
        rules.validate_snooze(until, now)
        await self._registry.change(
            lambda roster: rules.edit(roster, profile.id, now, snoozed_until=until)
        )
        return self._server(self._registry.roster.require(profile.id))

    # How they are

    async def check(self, ref: str, *, budget: float | None = None) -> Server:
        """Checks one server now, within `budget` seconds, or its own timeout."""
        profile = self._find(ref)
        status = await self._monitor.check(profile, budget=budget)
        return replace(self._server(profile), health=status)

    async def check_all(
        self, refs: Iterable[str] | None = None, *, budget: float | None = None
    ) -> list[Server]:
        """Checks the servers that `refs` name, or all, side by side; in that order, each once.

        Returns them as they are once the last has answered; one that was removed meanwhile is left
        out. `budget` is for each check, instead of the server's own timeout.
        """
        chosen = self._registry.roster.profiles if refs is None else [self._find(r) for r in refs]
        ids = dict.fromkeys(profile.id for profile in chosen)
        await self._monitor.check_all(ids, budget=budget)
        left = {profile.id: profile for profile in self._registry.roster.profiles}
        return [self._server(left[server_id]) for server_id in ids if server_id in left]

    async def history(
        self,
        ref: str,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        by_minute: bool = True,
    ) -> History:
        """A server's uptime, transitions, counts and last checks, of a day unless `since` is given,
        and up to now unless `until` is.

        30 days are kept, by the minute; without `by_minute` what is older than a day is told by the
        hour, in a twentieth of the time. Raises `InvalidValue` for a `since` that lies ahead, an
        `until` that isn't after it and either without a time zone, and `StorageError`.
        """
        profile, now = self._find(ref), _now()
        first, last = resolve_window(since, until, now)
        return await self._recorder.history(
            profile.id,
            self._monitor.status(profile.id),
            since=first,
            now=now,
            until=last,
            by_minute=by_minute,
        )

    def recent_checks(self, server_id: str) -> list[Check]:
        """The last checks of a server that a running app knows of, oldest first."""
        return self._recorder.recent_checks(server_id)

    def recent_states(self, server_id: str) -> list[State]:
        """What each of its last checks alone said of the server, oldest first."""
        return self._recorder.recent_states(server_id)

    def check_counts(self, server_id: str) -> ServerCounters:
        """What the checks of a server found, counted since this process started."""
        return self._counters.get(server_id)

    def lateness(self) -> Lateness:
        """How long after its deadline each check by the clock began, in seconds."""
        return self._monitor.lateness

    # Switching

    async def switch_to(self, ref: str, *, force: bool = False) -> Server:
        """Makes a server active, under a new generation; what is under way for another ends.

        One that isn't known to be healthy is checked first. Raises `ServerUnhealthy` where it is
        unhealthy, unless `force`, and `Superseded` where a later switch was wanted meanwhile.
        """
        profile = self._find(ref)
        roster = await self._switcher.switch(profile, force=force)
        return self._server(roster.require(profile.id))

    # What is kept for one

    async def stored_state(self, ref: str | None = None) -> Sequence[StateSize]:
        """The keys kept for one server, or for each."""
        return await self._state.list(self._find(ref).id if ref else None)

    async def clear_state(self, ref: str) -> int:
        """Forgets all state kept for a server, not the server; how many keys it was."""
        return await self._state.clear(self._find(ref).id)

    async def unlock(self) -> None:
        """Makes stored passwords readable: their `reveal()` gives them from now on."""
        await self._connections.unlock()

    # Inside

    def _find(self, ref: str) -> ServerProfile:
        return rules.find(self._registry.roster, ref)

    def _server(self, profile: ServerProfile) -> Server:
        return self._views.of(profile)

    def _saved(self, server_id: str, status: HealthStatus | None) -> Server:
        if status:
            self._monitor.set_status(server_id, status)
        return self._server(self._registry.roster.require(server_id))


def _now() -> datetime:
    return datetime.now(UTC)
