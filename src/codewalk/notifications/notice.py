"""What of a server's health is worth telling a person: that it went down, came back, was upgraded.

Pure: a story, a status and a time go in, a new story comes out with what is to be told. Each may be
looked at as often as one likes: nothing is told twice.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, Self

from codewalk.events import Event, Kind
from codewalk.health.status import HealthStatus
from codewalk.reason import State

DOWN_NOTICE_DELAY: Final = timedelta(seconds=5)
"""An absence shorter than this is told to nobody."""

MAX_VERSIONS: Final = 8
"""Versions that are remembered for each server, so that two behind one address aren't told of for
ever."""

UPGRADE_DISPLAY_TIME: Final = timedelta(hours=24)
"""How long after an upgrade it is told what ran before: who wasn't there sees it the next day."""


class NoticeKind(StrEnum):
    """What happened."""

    DOWN = "down"
    UP = "up"
    VERSION = "version"


@dataclass(frozen=True, kw_only=True, slots=True)
class Notice:
    """Something that happened to a server, `at` a moment that may be a while ago.

    `health` is how the server is when it is told; `downtime` is for `UP`: how long it was down;
    `previous_version` is for `VERSION`.
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
    """What was told of one server, and what may have to be.

    `seen_up` tells that it was healthy once: one that never was doesn't go down. `down_since` is
    when it went down; `told_down` whether that was told. `versions` are those seen, the last one
    last; `upgrade` is the news of that one, where it was news.
    """

    seen_up: bool = False
    down_since: datetime | None = None
    reported_down: bool = False
    versions: tuple[str, ...] = ()
    upgrade: Notice | None = None

    def previous_version(self, now: datetime) -> str | None:
        """What it ran before an upgrade, while that is recent."""
        if self.upgrade is None or now - self.upgrade.at >= UPGRADE_DISPLAY_TIME:
            return None
        return self.upgrade.previous_version

    def due_at(self, snoozed_until: datetime | None = None) -> datetime | None:
        """When there may be something to tell though nothing changes; None where there isn't."""
        if self.down_since is None or self.reported_down:
            return None
        told = self.down_since + DOWN_NOTICE_DELAY
        return told if snoozed_until is None else max(told, snoozed_until)


def advance(
    story: NoticeState,
    server_id: str,
    status: HealthStatus,
    now: datetime,
    *,
    snoozed_until: datetime | None = None,
) -> tuple[NoticeState, tuple[Notice, ...]]:
    """The story after a look at `status`, and what is to be told now.

    Down is told after `DOWN_NOTICE_DELAY` of it, up only where down was told, a version the first
    time that it is seen. Until `snoozed_until` nothing is told; what is still down then is told
    then, the rest never.
    """
    awake = snoozed_until is None or snoozed_until <= now
    story, version = _look_at_version(story, server_id, status, now)
    story, news = _look_at_state(story, server_id, status, now, snoozed_until)
    told = [each for each in (version, news) if each and awake]
    return story, tuple(told)


def _look_at_version(
    story: NoticeState, server_id: str, status: HealthStatus, now: datetime
) -> tuple[NoticeState, Notice | None]:
    version, known = status.version, story.versions
    if version is None or (known and known[-1] == version):
        return story, None
    others = tuple(each for each in known if each != version)
    story = replace(story, versions=(*others, version)[-MAX_VERSIONS:], upgrade=None)
    if not known or version in known:
        return story, None
    news = Notice(
        kind=NoticeKind.VERSION,
        server_id=server_id,
        at=now,
        health=status,
        previous_version=known[-1],
    )
    return replace(story, upgrade=news), news


def _look_at_state(
    story: NoticeState,
    server_id: str,
    status: HealthStatus,
    now: datetime,
    snoozed_until: datetime | None,
) -> tuple[NoticeState, Notice | None]:
    match status.state:
        case State.HEALTHY:
            up = replace(story, seen_up=True, down_since=None, reported_down=False)
            return up, _up(story, server_id, status, now)
        case State.UNHEALTHY if story.seen_up:
            down = replace(story, down_since=story.down_since or status.since or now)
            due = down.due_at(snoozed_until)
            if due is None or due > now or down.down_since is None:
                return down, None
            news = Notice(
                kind=NoticeKind.DOWN, server_id=server_id, at=down.down_since, health=status
            )
            return replace(down, reported_down=True), news
        case State.UNKNOWN if not story.reported_down:
            # What isn't known is no absence; should it be down afterwards, that counts anew.
            return replace(story, down_since=None), None
    return story, None


def _up(story: NoticeState, server_id: str, status: HealthStatus, now: datetime) -> Notice | None:
    if not story.reported_down or story.down_since is None:
        return None
    back = status.since or now
    away = max(back - story.down_since, timedelta(0))
    return Notice(kind=NoticeKind.UP, server_id=server_id, at=back, health=status, downtime=away)
