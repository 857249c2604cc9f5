"""Servers as they would be: tried out, and not kept."""

from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

from codewalk.app.server_connections import ServerConnections
from codewalk.errors import ServerUnreachable
from codewalk.health.monitor import Monitor
from codewalk.health.status import HealthStatus, explain
from codewalk.reason import NO_ANSWER, State
from codewalk.secret import Secret
from codewalk.servers import roster as rules
from codewalk.servers.draft import (
    DEFAULT_URL,
    Change,
    changed_fields,
    new_profile,
    with_default_port,
)
from codewalk.servers.profile import ServerProfile, parse_url
from codewalk.servers.registry import Registry


class Drafts:
    """The use cases on what a person has typed and not saved yet."""

    def __init__(
        self, *, registry: Registry, monitor: Monitor, connections: ServerConnections
    ) -> None:
        self.default_url = DEFAULT_URL
        """Where a server that somebody started by hand on this machine is looked for."""
        self._registry = registry
        self._monitor = monitor
        self._connections = connections

    def preview_url(self, url: str, *, except_id: str | None = None) -> str:
        """What `url` would be kept as; asks no server, and repeats no credentials.

        Raises `InvalidURL`, and `DuplicateServer` where a server has it, `besides` the one with
        that id.
        """
        shown = parse_url(url).url
        rules.require_unused_url(self._registry.roster, shown, except_id=except_id)
        return shown

    def suggest_url(self, typed: str, status: HealthStatus) -> str | None:
        """Another URL to try after a test of what was `typed` had this result, None without any.

        Where no port was typed and nothing answers, it is the same place on OpenCode's own port.
        """
        return with_default_port(typed) if status.reason in NO_ANSWER else None

    async def test_connection(
        self, url: str, *, username: str | None = None, password: Secret | None = None
    ) -> HealthStatus:
        """The check of a server that isn't kept. Raises `InvalidInput`."""
        now = datetime.now(UTC)
        return await self._try_out(new_profile(url, username=username, password=password, now=now))

    async def test_change(self, ref: str, change: Change) -> HealthStatus:
        """The check of a kept server, named as `App` names it, as it would be after `change`.

        Raises `InvalidInput`, `ServerNotFound` and `AmbiguousReference`.
        """
        old = rules.find(self._registry.roster, ref)
        roster = rules.edit(
            self._registry.roster, old.id, datetime.now(UTC), **changed_fields(change)
        )
        return await self._try_out(roster.require(old.id))

    async def require_healthy(self, profile: ServerProfile, *, typed: str) -> HealthStatus:
        """The same check before it is saved, whose URL was `typed` so.

        Raises `ServerUnreachable` where it isn't healthy; its `suggestion` may be what was meant.
        """
        status = await self._try_out(profile)
        if status.state is State.HEALTHY:
            return status
        suggestion = self.suggest_url(typed, status)
        offer = f" Is it {suggestion}?" if suggestion else ""
        raise ServerUnreachable(
            f"{profile.url} isn't saved: {explain(status)}{offer}",
            value=profile.url,
            suggestion=suggestion,
        )

    async def _try_out(self, profile: ServerProfile) -> HealthStatus:
        """The check of a profile that isn't in force: it tells nothing of the one that is."""
        draft = replace(profile, id=f"draft-{uuid4()}")
        try:
            return await self._monitor.check(draft)
        finally:
            self._monitor.forget(draft.id)
            self._connections.forget(draft.id)
