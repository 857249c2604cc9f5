"""Notices on their way to the hooks: stored when they are claimed, removed when they are delivered.

Several processes may share a store and see the same event. The one that first stores that it was
reported claims the notice, and with it the hooks; the others show it in their own pages only.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from codewalk.notifications.notice import NoticeKind


@dataclass(frozen=True, kw_only=True, slots=True)
class OutgoingNotice:
    """A notice that this process has to deliver to the hooks.

    Attributes:
        kind: What happened; decides which hooks want it.
        payload: What a hook receives.
        created_at: When it was claimed.
        id: Its row in the outbox; None where the store failed and it is in memory only.
        delivered_to: The ids of the hooks that are done with it.
    """

    kind: NoticeKind
    payload: bytes
    created_at: datetime
    id: str | None = None
    delivered_to: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """A change of what is stored as reported about a server, and the payload that goes with it.

    Attributes:
        server_id: The server.
        kind: What is reported: `DOWN` stores `down_since`, `UP` removes it, `VERSION` stores
            `version`.
        at: When it is claimed.
        down_since: Since when the server is down; for `DOWN` only.
        version: The version; for `VERSION` only.
        payload: What the hooks receive; None where nothing is delivered, as during a snooze.
        uncertain: Whether an earlier report on this server could not be stored. What is stored
            may be this process's own then, so the claim succeeds in any case.
    """

    server_id: str
    kind: NoticeKind
    at: datetime
    down_since: datetime | None = None
    version: str | None = None
    payload: bytes | None = None
    uncertain: bool = False


class ReportStore(Protocol):
    """The servers reported as down, and the versions reported. Survives a restart."""

    async def load(self) -> Mapping[str, datetime]:
        """Return since when each server that was reported as down is down, by server id.

        Raises:
            StorageError: It can't be read.
        """

    async def claim(self, reports: Sequence[Report]) -> Sequence[OutgoingNotice]:
        """Store the reports, and return the notices that this process has to deliver.

        Those are the ones whose report was not stored yet, so that of several processes only one
        gets them. They are in the outbox from then on.

        Raises:
            StorageError: Nothing was stored.
        """


class Outbox(Protocol):
    """The stored notices that hooks have still to receive. Every method raises `StorageError`."""

    async def take_over(self, limit: int) -> Sequence[OutgoingNotice]:
        """Renew this process's lease, and return notices of processes whose lease ended.

        Args:
            limit: How many to return at most; the oldest ones are returned.
        """

    async def save_progress(self, progress: Mapping[str, Collection[str] | None]) -> None:
        """Store which hooks are done with a notice, by its id; None removes the notice."""

    async def release(self) -> None:
        """End this process's lease, so that any process, also this one, can take over at once."""
