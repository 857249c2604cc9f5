"""Recognition of another server at the address of a profile."""

import logging
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from codewalk.health.monitor import Monitor
from codewalk.servers.profile import ServerProfile
from codewalk.workspace.activity import Activities
from codewalk.workspace.identity import Identity, load_identity, store_identity
from codewalk.workspace.scope import Scope, StateStorage
from codewalk.workspace.session_changes import SessionChanges

ANOTHER_SERVER: Final = "Another OpenCode server answers at its address now."
"""The detail of the unknown state between a server and another one at its address."""

log = logging.getLogger(__name__)


class Identification:
    """Compares what a server says of itself with what was stored of it.

    Where that is another server, nothing of the earlier one is shown any more: neither what was
    fetched from it nor what was chosen for it.
    """

    def __init__(
        self,
        *,
        monitor: Monitor,
        state: StateStorage,
        activities: Activities,
        changes: SessionChanges,
    ) -> None:
        self._monitor = monitor
        self._state = state
        self._activities = activities
        self._changes = changes

    async def identify(self, profile: ServerProfile, identity: Identity) -> None:
        """Store the identity that a server has now. Raises `StorageError`."""
        known = await load_identity(self._scope(profile))
        since = known.since if known else None
        if known and not known.is_same_server(identity):
            log.warning("Another OpenCode server answers at %s now.", profile.url)
            await self._forget(profile)
            since = datetime.now(UTC)
        identity = replace(identity, since=since)
        if identity != known:
            await store_identity(self._scope(profile), identity)

    async def _forget(self, profile: ServerProfile) -> None:
        self._changes.replace_server(profile.id)
        self._activities.clear(profile.id)
        await self._state.clear(profile.id)
        self._monitor.begin_anew(profile.id, ANOTHER_SERVER)

    def _scope(self, profile: ServerProfile) -> Scope:
        return Scope(self._state, profile.id, self._changes.cache)
