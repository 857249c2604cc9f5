"""Servers as outsiders see them, put together from what the parts of the app know."""

from datetime import UTC, datetime

from codewalk.health.links import Links
from codewalk.health.monitor import Monitor
from codewalk.notifications.notifier import Notifier
from codewalk.server import Server
from codewalk.servers.profile import ServerProfile
from codewalk.servers.registry import Registry


class ServerViews:
    """Builds a `Server` from a profile, its health, its link and its notices."""

    def __init__(
        self, *, registry: Registry, monitor: Monitor, links: Links, notifier: Notifier
    ) -> None:
        self._registry = registry
        self._monitor = monitor
        self._links = links
        self._notifier = notifier

    def all(self) -> list[Server]:
        """All servers, in list order."""
        return [self.of(profile) for profile in self._registry.roster.profiles]

    def get(self, server_id: str | None) -> Server | None:
        """The server with exactly this id, None without one."""
        profile = self._registry.roster.get(server_id)
        return self.of(profile) if profile else None

    def of(self, profile: ServerProfile) -> Server:
        roster = self._registry.roster
        snoozed_until = profile.snoozed_until
        return Server(
            profile=profile,
            health=self._monitor.status(profile.id),
            active=profile.id == roster.active_id,
            default=profile.id == roster.default_id,
            previous=profile.id == roster.previous_id,
            link=self._links.state(profile.id),
            previous_version=self._notifier.previous_version(profile.id),
            snoozed=snoozed_until is not None and snoozed_until > datetime.now(UTC),
        )
