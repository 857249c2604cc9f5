"""Checks of servers that aren't saved yet, and of edits before they are."""

from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

from codewalk.app.server_connections import ServerConnections
from codewalk.errors import ServerUnreachable
from codewalk.health.monitor import Monitor
from codewalk.health.status import HealthStatus, explain
from codewalk.reason import State
from codewalk.secret import Secret
from codewalk.servers import references, rules
from codewalk.servers.conflict import EditableValues
from codewalk.servers.draft import (
    DEFAULT_URL,
    Change,
    changed_fields,
    new_profile,
    suggest_url,
)
from codewalk.servers.profile import ServerProfile
from codewalk.servers.registry import Registry
from codewalk.servers.url import parse_url


class Drafts:
    """The use cases on what a user has typed and not saved yet."""

    def __init__(
        self, *, registry: Registry, monitor: Monitor, connections: ServerConnections
    ) -> None:
        self.default_url = DEFAULT_URL
        """The URL of a server that was started by hand on this machine."""
        self._registry = registry
        self._monitor = monitor
        self._connections = connections

    def preview_url(self, url: str, *, except_id: str | None = None) -> str:
        """Return the URL as it would be saved, without credentials. Asks no server.

        Args:
            url: What the user typed.
            except_id: The server that may have this URL already.

        Raises:
            InvalidURL: It is no URL of a server.
            DuplicateServer: Another server has it.
        """
        normalized = parse_url(url).url
        references.require_unused_url(self._registry.roster, normalized, except_id=except_id)
        return normalized

    def suggest_url(self, typed: str, status: HealthStatus) -> str | None:
        """Return another URL to try after a failed test, None where there is none.

        It is on OpenCode's default port, where no port was typed and nothing answers, without the
        path of a web page or of the API, or with `https` for a port that uses TLS.
        """
        return suggest_url(typed, status.reason, status.detail)

    def find_same_loopback(self, url: str, *, except_id: str | None = None) -> ServerProfile | None:
        """Return a server whose normalised URL differs from `url` only in this machine's name."""
        return references.find_same_loopback(self._registry.roster, url, except_id=except_id)

    async def test_connection(
        self, url: str, *, username: str | None = None, password: Secret | None = None
    ) -> HealthStatus:
        """Check a server that isn't saved. Raises `InvalidInput`."""
        now = datetime.now(UTC)
        return await self._check(new_profile(url, username=username, password=password, now=now))

    async def test_change(
        self, ref: str, change: Change, *, base: EditableValues | None = None
    ) -> HealthStatus:
        """Check a stored server as it would be after `change`.

        `ref` and `base` are as in `App.edit_server`, which raises the same errors.
        """
        old = references.find(self._registry.roster, ref)
        now, fields = datetime.now(UTC), changed_fields(change)
        roster = rules.edit(self._registry.roster, old.id, now, base=base, **fields)
        return await self._check(roster.require(old.id))

    async def require_healthy(self, profile: ServerProfile, *, typed: str) -> HealthStatus:
        """Check a profile before it is saved.

        Args:
            profile: The new or edited profile.
            typed: Its URL as the user typed it.

        Raises:
            ServerUnreachable: It isn't healthy; `suggestion` is a URL that may be meant instead.
        """
        status = await self._check(profile)
        if status.state is State.HEALTHY:
            return status
        suggestion = self.suggest_url(typed, status)
        question = f" Is it {suggestion}?" if suggestion else ""
        raise ServerUnreachable(
            f"{profile.url} isn't saved: {explain(status)}{question}",
            value=profile.url,
            suggestion=suggestion,
            reason=status.reason,
        )

    async def _check(self, profile: ServerProfile) -> HealthStatus:
        # Under an id of its own, so that the result isn't taken for the saved server's.
        draft = replace(profile, id=f"draft-{uuid4()}")
        try:
            return await self._monitor.check(draft)
        finally:
            self._monitor.forget(draft.id)
            self._connections.forget(draft.id)
