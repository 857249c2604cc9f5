"""Applies a changed roster to the parts of an app."""

from codewalk.app.generation import Generation
from codewalk.app.server_connections import ServerConnections
from codewalk.events import Announcer, Event, Kind
from codewalk.health.counters import CheckCounters
from codewalk.health.links import Links
from codewalk.health.monitor import Monitor
from codewalk.history.recorder import Recorder
from codewalk.servers.profile import connects_differently
from codewalk.servers.roster import Roster
from codewalk.workspace.activity import Activities
from codewalk.workspace.session_changes import SessionChanges


class RosterFollower:
    """Brings every part of the app in line with a new roster, then announces what changed."""

    def __init__(  # noqa: PLR0913 - the parts of an app that follow its roster
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
        changes: SessionChanges,
    ) -> None:
        self._announcer = announcer
        self._connections = connections
        self._generation = generation
        self._monitor = monitor
        self._links = links
        self._recorder = recorder
        self._counters = counters
        self._activities = activities
        self._changes = changes

    def follow(self, old: Roster, new: Roster) -> None:
        """Apply the difference between two rosters.

        The work of older generations ends first, so that nothing of it can still be shown.
        """
        self._generation.advance(new.generation)
        profiles = {profile.id: profile for profile in new.profiles}
        for before in old.profiles:
            after = profiles.get(before.id)
            if after is None or connects_differently(before, after):
                self._activities.clear(before.id)
                self._changes.clear(before.id)
            if after and not after.managed and before.url != after.url:
                self._changes.replace_server(before.id)
        self._connections.retain(profiles)
        self._monitor.reconcile(new.profiles, new.active_id)
        self._links.reconcile(new.profiles, new.active_id)
        self._recorder.retain(profiles)
        self._counters.retain(profiles)
        if (old.profiles, old.default_id) != (new.profiles, new.default_id):
            self._announcer.announce(Event(kind=Kind.SERVERS))
        if (old.active_id, old.generation) != (new.active_id, new.generation):
            self._announcer.announce(
                Event(kind=Kind.ACTIVE, server_id=new.active_id, generation=new.generation)
            )
