"""Servers already reported as down, and the versions reported.

Survives a restart; decides which of several processes on one store reports first.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import bindparam, delete, insert, select
from sqlalchemy.engine import Connection

from codewalk.notifications.notice import NoticeKind
from codewalk.notifications.outbox import OutgoingNotice, Report
from codewalk.storage.database import Database
from codewalk.storage.hook_outbox import HookOutbox, lock_reports
from codewalk.storage.tables import from_micros, server_state, servers, to_micros
from codewalk.tasks import run_to_completion

_DOWN: Final = "reported_down"
_VERSION: Final = "reported_version"

SAME_UPGRADE_TIME: Final = timedelta(hours=1)
"""The most time between the moments when two processes see the same upgrade of a server."""

_C: Final = server_state.c

_SELECT_DOWN: Final = select(_C.server_id, _C.value).where(_C.key == f"{_DOWN}::" + _C.server_id)

# Locked, so that no server goes before what is stored about it is committed; always in one order,
# so that two processes can't block each other. SQLite's write transaction is the lock.
_SERVERS: Final = (
    select(servers.c.id)
    .where(servers.c.id.in_(bindparam("server_ids", expanding=True)))
    .order_by(servers.c.id)
    .with_for_update(read=True, key_share=True)
)
_SELECT_REPORTS: Final = select(_C.key, _C.value, _C.updated_at).where(
    _C.key.in_(bindparam("keys", expanding=True))
)
_DELETE_REPORT: Final = delete(server_state).where(_C.key == bindparam("old_key"))


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredReport:
    """The latest stored report: since when a server is down, or its version."""

    value: bytes
    updated_at: datetime


class ReportStore:
    """The reports in the store, among what is stored for their server: they go with it."""

    def __init__(self, database: Database, outbox: HookOutbox) -> None:
        self._database = database
        self._outbox = outbox

    async def load(self) -> dict[str, datetime]:
        """Return since when each server that was reported as down is down, by server id.

        Raises:
            StorageError: It can't be read.
        """
        rows = await self._database.read(lambda c: c.execute(_SELECT_DOWN).all())
        moments = {row.server_id: _parse_moment(bytes(row.value)) for row in rows}
        return {server_id: moment for server_id, moment in moments.items() if moment}

    async def claim(self, reports: Sequence[Report]) -> Sequence[OutgoingNotice]:
        """Store the reports, and return the notices that this process has to deliver.

        Raises:
            StorageError: Nothing was stored.
        """

        def claim(connection: Connection) -> Sequence[OutgoingNotice]:
            lock_reports(connection)
            claimed = _store(connection, reports)
            notices = [
                OutgoingNotice(kind=report.kind, payload=report.payload, created_at=report.at)
                for report in claimed
                if report.payload is not None
            ]
            return self._outbox.add(connection, notices)

        return await run_to_completion(self._database.write(claim))


def is_claimed(report: Report, stored: StoredReport | None) -> bool:
    """Return whether a report is new, compared with what is stored under its key."""
    match report.kind:
        case NoticeKind.DOWN:
            return stored is None
        case NoticeKind.UP:
            return stored is not None
        case NoticeKind.VERSION:
            return (
                stored is None
                or stored.value != _value(report)
                or stored.updated_at < report.at - SAME_UPGRADE_TIME
            )


def _store(connection: Connection, reports: Sequence[Report]) -> list[Report]:
    """Store the reports that are new, and return them."""
    server_ids = {report.server_id for report in reports}
    existing = set(connection.scalars(_SERVERS, {"server_ids": sorted(server_ids)}))
    reports = [report for report in reports if report.server_id in existing]
    rows = connection.execute(_SELECT_REPORTS, {"keys": [_key(report) for report in reports]})
    before = {
        row.key: StoredReport(value=bytes(row.value), updated_at=from_micros(row.updated_at))
        for row in rows
    }
    after = dict(before)
    claimed = []
    for report in reports:
        key = _key(report)
        if not (report.uncertain or is_claimed(report, after.get(key))):
            continue
        claimed.append(report)
        if report.kind is NoticeKind.UP:
            after.pop(key, None)
        else:
            after[key] = StoredReport(value=_value(report), updated_at=report.at)
    owners = {_key(report): report.server_id for report in reports}
    changed = [key for key in before | after if before.get(key) != after.get(key)]
    if old := [{"old_key": key} for key in changed if key in before]:
        connection.execute(_DELETE_REPORT, old)
    if new := [_row(key, owners[key], after[key]) for key in changed if key in after]:
        connection.execute(insert(server_state), new)
    return claimed


def _row(key: str, server_id: str, report: StoredReport) -> dict[str, Any]:
    return {
        "key": key,
        "server_id": server_id,
        "value": report.value,
        "updated_at": to_micros(report.updated_at),
    }


def _key(report: Report) -> str:
    name = _VERSION if report.kind is NoticeKind.VERSION else _DOWN
    return f"{name}::{report.server_id}"


def _value(report: Report) -> bytes:
    if report.kind is NoticeKind.VERSION:
        return (report.version or "").encode()
    return report.down_since.isoformat().encode() if report.down_since else b""


def _parse_moment(value: bytes) -> datetime | None:
    try:
        moment = datetime.fromisoformat(value.decode())
    except ValueError:
        return None
    return moment if moment.tzinfo else None
