"""Notices that hooks have still to receive, and which process delivers them.

A notice is stored in the transaction that claims it, so a crash between the two can't lose it. Its
process holds a lease while it has such notices. When the lease ends, as after a crash, another
process takes the notices over.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import uuid4

from sqlalchemy import bindparam, delete, func, insert, select, update
from sqlalchemy.engine import Connection

from codewalk.notifications.notice import NoticeKind
from codewalk.notifications.outbox import OutgoingNotice
from codewalk.storage.database import Database
from codewalk.storage.tables import from_micros, hook_leases, hook_outbox, hooks, to_micros

LEASE_DURATION: Final = timedelta(seconds=30)
"""Time for which a process that doesn't renew its lease keeps its notices.

The clocks of processes on several machines may differ by half of it; where they differ by more,
hooks may receive a notice twice.
"""

_ADVISORY_LOCK: Final = 0x636F6465_686F6F6B
"""Any number that every CodeWalk takes for claiming notices: `codehook` in ASCII."""

_LOCK: Final = select(func.pg_advisory_xact_lock(_ADVISORY_LOCK))

_ANY_HOOK: Final = select(hooks.c.id).limit(1)
_ANY_NOTICE: Final = select(hook_outbox.c.id).limit(1)

_UNOWNED_NOTICES: Final = (
    select(hook_outbox)
    .where(hook_outbox.c.owner.not_in(select(hook_leases.c.owner)))
    .order_by(hook_outbox.c.created_at)
)
_UPDATE_NOTICE: Final = update(hook_outbox).where(hook_outbox.c.id == bindparam("notice_id"))
_DELETE_NOTICE: Final = delete(hook_outbox).where(hook_outbox.c.id == bindparam("notice_id"))


def lock_reports(connection: Connection) -> None:
    """Let no other process claim notices, or take them over, until this transaction ends.

    SQLite's write transaction does that anyway.
    """
    if connection.dialect.name != "sqlite":
        connection.execute(_LOCK)


class HookOutbox:
    """The stored notices that hooks have still to receive. Every method raises `StorageError`."""

    def __init__(
        self, database: Database, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._database = database
        self._now = now
        self._owner = str(uuid4())
        self._has_lease = False

    def add(
        self, connection: Connection, notices: Sequence[OutgoingNotice]
    ) -> Sequence[OutgoingNotice]:
        """Store new notices in the caller's transaction, and return them with their ids.

        Where there is no hook, nothing is stored or returned.
        """
        if not notices or connection.scalar(_ANY_HOOK) is None:
            return ()
        owner = self._owner  # once: `release` changes it in another thread
        stored = [replace(notice, id=str(uuid4())) for notice in notices]
        connection.execute(
            insert(hook_outbox),
            [
                {
                    "id": notice.id,
                    "owner": owner,
                    "kind": notice.kind.value,
                    "payload": notice.payload,
                    "delivered_to": "",
                    # The order in which they are delivered after a restart.
                    "created_at": to_micros(notice.created_at) + number,
                }
                for number, notice in enumerate(stored)
            ],
        )
        self._renew_lease(connection, owner)
        return stored

    async def take_over(self, limit: int) -> Sequence[OutgoingNotice]:
        """Renew this process's lease, and return notices of processes whose lease ended.

        Args:
            limit: How many to return at most; the oldest ones are returned.
        """
        if await self._database.read(lambda c: c.scalar(_ANY_NOTICE)) is None:
            return ()
        return await self._database.write(lambda c: self._take_over(c, limit), durable=False)

    def _take_over(self, connection: Connection, limit: int) -> Sequence[OutgoingNotice]:
        lock_reports(connection)
        owner = self._owner
        now = to_micros(self._now())
        connection.execute(delete(hook_leases).where(hook_leases.c.expires_at <= now))
        self._renew_lease(connection, owner)
        rows = connection.execute(_UNOWNED_NOTICES.limit(limit)).all()
        notices = [notice for row in rows if (notice := _notice(row))]
        if taken := [{"notice_id": notice.id} for notice in notices]:
            connection.execute(_UPDATE_NOTICE.values(owner=owner), taken)
        if len(notices) < len(rows):
            valid = {notice.id for notice in notices}
            unknown = [{"notice_id": row.id} for row in rows if row.id not in valid]
            connection.execute(_DELETE_NOTICE, unknown)
        return notices

    async def save_progress(self, progress: Mapping[str, Collection[str] | None]) -> None:
        """Store which hooks are done with a notice, by its id; None removes the notice."""
        done = [{"notice_id": i} for i, hook_ids in progress.items() if hook_ids is None]
        partly = [
            {"notice_id": i, "hook_ids": " ".join(sorted(hook_ids))}
            for i, hook_ids in progress.items()
            if hook_ids is not None
        ]

        def save(connection: Connection) -> None:
            if done:
                connection.execute(_DELETE_NOTICE, done)
            if partly:
                connection.execute(
                    _UPDATE_NOTICE.values(delivered_to=bindparam("hook_ids")), partly
                )

        await self._database.write(save, durable=False)

    async def release(self) -> None:
        """End this process's lease, so that its notices can be taken over at once.

        By itself too: whatever it adds or takes over from here on is under a new lease, which
        doesn't extend the old one. Where the store fails, the old lease ends by itself.
        """
        owner, self._owner = self._owner, str(uuid4())
        had_lease, self._has_lease = self._has_lease, False
        if had_lease:
            statement = delete(hook_leases).where(hook_leases.c.owner == owner)
            await self._database.write(lambda c: c.execute(statement), durable=False)

    def _renew_lease(self, connection: Connection, owner: str) -> None:
        self._has_lease = True
        connection.execute(delete(hook_leases).where(hook_leases.c.owner == owner))
        expires_at = to_micros(self._now() + LEASE_DURATION)
        connection.execute(insert(hook_leases), {"owner": owner, "expires_at": expires_at})


def _notice(row: Any) -> OutgoingNotice | None:
    try:
        kind = NoticeKind(row.kind)
    except ValueError:
        return None  # another release's
    return OutgoingNotice(
        id=row.id,
        kind=kind,
        payload=bytes(row.payload),
        created_at=from_micros(row.created_at),
        delivered_to=frozenset(row.delivered_to.split()),
    )
