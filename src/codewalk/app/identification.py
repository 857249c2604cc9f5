"""Recognition of another server at the address of a profile."""

import asyncio
import logging
from dataclasses import replace
from datetime import UTC, datetime
from math import inf
from typing import Final

from codewalk.health.monitor import Monitor
from codewalk.history.recorder import Recorder
from codewalk.servers.profile import ServerProfile
from codewalk.workspace.activity import Activities
from codewalk.workspace.identity import (
    Identity,
    load_identity,
    store_identity,
    store_identity_alone,
)
from codewalk.workspace.scope import Scope, StateStorage
from codewalk.workspace.session_changes import SessionChanges

ANOTHER_SERVER: Final = "Another OpenCode server answers at its address now."
"""The detail of the unknown state between a server and another one at its address."""

MIN_REPLACEMENT_INTERVAL: Final = 300.0
"""Seconds after which yet another server at one address counts. Where two share an address, each
request may be answered by the other one, and all would be forgotten and fetched again each time."""

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
        recorder: Recorder,
        state: StateStorage,
        activities: Activities,
        changes: SessionChanges,
    ) -> None:
        self._monitor = monitor
        self._recorder = recorder
        self._state = state
        self._activities = activities
        self._changes = changes
        self._replaced_at: dict[str, float] = {}

    async def identify(self, profile: ServerProfile, identity: Identity) -> None:
        """Store the identity that a server has now. Raises `StorageError`."""
        stored = await load_identity(self._scope(profile))
        if stored is None:
            await store_identity(self._scope(profile), identity)
        elif stored.is_same_server(identity):
            projects = identity.projects or stored.projects
            current = replace(identity, projects=projects, since=stored.since)
            if current != stored:
                await store_identity(self._scope(profile), current)
        elif self._may_replace(profile.id):
            await self._replace(profile, identity)

    def _may_replace(self, server_id: str) -> bool:
        now = asyncio.get_running_loop().time()
        return now - self._replaced_at.get(server_id, -inf) >= MIN_REPLACEMENT_INTERVAL

    async def _replace(self, profile: ServerProfile, identity: Identity) -> None:
        log.warning("Another OpenCode server answers at %s now.", profile.url)
        self._replaced_at[profile.id] = asyncio.get_running_loop().time()
        self._changes.replace_server(profile.id)
        self._activities.clear(profile.id)
        since = datetime.now(UTC)
        await store_identity_alone(self._scope(profile), replace(identity, since=since))
        self._recorder.forget_checks(profile.id)
        self._monitor.begin_anew(profile.id, ANOTHER_SERVER)

    def _scope(self, profile: ServerProfile) -> Scope:
        return Scope(self._state, profile.id, self._changes.cache)
