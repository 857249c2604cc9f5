"""Notices: what users are notified of about a server (down, up, another version).

Pure: a state, a health status and a time go in; the next state and the notices that are due come
out. Advancing twice with the same status gives no second notice.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, Self

from codewalk.events import Event, Kind
from codewalk.health.status import HealthStatus
from codewalk.reason import State

DOWN_NOTICE_DELAY: Final = timedelta(seconds=5)
"""Time for which a server must be unhealthy before a notice says that it is down."""

MAX_VERSIONS: Final = 8
"""Versions remembered for each server, so that two of them behind one URL, which take turns, don't
cause a notice each time."""

UPGRADE_DISPLAY_TIME: Final = timedelta(hours=24)
"""Time for which the previous version is shown after an upgrade, so that nobody misses it."""


class NoticeKind(StrEnum):
    """The kind of an event of a server."""

    DOWN = "down"
    UP = "up"
    VERSION = "version"


@dataclass(frozen=True, kw_only=True, slots=True)
class Notice:
    """Something that happened to a server.

    Attributes:
        kind: What happened.
        server_id: The server.
        at: When it happened, which may be a while ago.
        health: The server's health when the notice became due.
        downtime: How long the server was down; for `UP` only.
        previous_version: The version before; for `VERSION` only.
    """

    kind: NoticeKind
    server_id: str
    at: datetime
    health: HealthStatus
    downtime: timedelta | None = None
    previous_version: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class NoticeEvent(Event):
    """A notice, as it is announced to this process's listeners."""

    notice: Notice

    @classmethod
    def of(cls, notice: Notice) -> Self:
        return cls(kind=Kind.NOTICE, server_id=notice.server_id, notice=notice)


@dataclass(frozen=True, kw_only=True, slots=True)
class NoticeState:
    """State from which the next notices of one server are decided.

    Attributes:
        was_healthy: Whether it was healthy since the start; a server that wasn't doesn't go down.
        down_since: When it went down; None while it isn't down.
        reported_down: Whether a notice said that it is down.
        versions: The versions seen, the latest one last.
        upgrade: The notice about the latest version; None where that wasn't a new one.
    """

    was_healthy: bool = False
    down_since: datetime | None = None
    reported_down: bool = False
    versions: tuple[str, ...] = ()
    upgrade: Notice | None = None

    def previous_version(self, now: datetime) -> str | None:
        """Return the version before a recent upgrade, None where there was none."""
        if self.upgrade is None or now - self.upgrade.at >= UPGRADE_DISPLAY_TIME:
            return None
        return self.upgrade.previous_version

    def due_at(self, snoozed_until: datetime | None = None) -> datetime | None:
        """Return when to advance though the status doesn't change, None where that isn't needed."""
        if self.down_since is None or self.reported_down:
            return None
        due = self.down_since + DOWN_NOTICE_DELAY
        return due if snoozed_until is None else max(due, snoozed_until)


def advance(
    state: NoticeState,
    server_id: str,
    status: HealthStatus,
    now: datetime,
    *,
    snoozed_until: datetime | None = None,
) -> tuple[NoticeState, tuple[Notice, ...]]:
    """Return the state after `status` was seen, and the notices that are due now.

    A server that is down causes a notice after `DOWN_NOTICE_DELAY`, its return one only if there
    was one for its being down, a version the first time that it is seen. Until `snoozed_until`
    there are no notices: a server that is still down then causes one then, everything else never.
    """
    muted = snoozed_until is not None and snoozed_until > now
    state, version_notice = _advance_version(state, server_id, status, now)
    state, state_notice = _advance_state(state, server_id, status, now, snoozed_until)
    due = tuple(notice for notice in (version_notice, state_notice) if notice and not muted)
    return state, due


def _advance_version(
    state: NoticeState, server_id: str, status: HealthStatus, now: datetime
) -> tuple[NoticeState, Notice | None]:
    version, versions = status.version, state.versions
    if version is None or (versions and versions[-1] == version):
        return state, None
    others = tuple(each for each in versions if each != version)
    state = replace(state, versions=(*others, version)[-MAX_VERSIONS:], upgrade=None)
    if not versions or version in versions:
        return state, None
    notice = Notice(
        kind=NoticeKind.VERSION,
        server_id=server_id,
        at=now,
        health=status,
        previous_version=versions[-1],
    )
    return replace(state, upgrade=notice), notice


def _advance_state(
    state: NoticeState,
    server_id: str,
    status: HealthStatus,
    now: datetime,
    snoozed_until: datetime | None,
) -> tuple[NoticeState, Notice | None]:
    match status.state:
        case State.HEALTHY:
            up = replace(state, was_healthy=True, down_since=None, reported_down=False)
            return up, _up_notice(state, server_id, status, now)
        case State.UNHEALTHY if state.was_healthy:
            down = replace(state, down_since=state.down_since or status.since or now)
            due = down.due_at(snoozed_until)
            if due is None or due > now or down.down_since is None:
                return down, None
            notice = Notice(
                kind=NoticeKind.DOWN, server_id=server_id, at=down.down_since, health=status
            )
            return replace(down, reported_down=True), notice
        case State.UNKNOWN if not state.reported_down:
            # Unknown isn't down; if the server is down afterwards, the time counts from there.
            return replace(state, down_since=None), None
    return state, None


def _up_notice(
    state: NoticeState, server_id: str, status: HealthStatus, now: datetime
) -> Notice | None:
    if not state.reported_down or state.down_since is None:
        return None
    up_since = status.since or now
    downtime = max(up_since - state.down_since, timedelta(0))
    return Notice(
        kind=NoticeKind.UP, server_id=server_id, at=up_since, health=status, downtime=downtime
    )
