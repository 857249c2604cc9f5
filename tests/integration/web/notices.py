"""Notices, announced as the notifier does it."""

from datetime import UTC, datetime
from typing import Any

from codewalk.health.status import HealthStatus
from codewalk.notifications.notice import Notice, NoticeEvent, NoticeKind
from codewalk.reason import Reason, State
from tests.integration.web.web_app import RunningApp

DOWN = HealthStatus(state=State.UNHEALTHY, reason=Reason.REFUSED, version="1.18.33")


def notice_event(server_id: str, kind: NoticeKind = NoticeKind.DOWN, **more: Any) -> NoticeEvent:
    """Return the event of a notice; `more` are further fields of the notice."""
    notice = Notice(kind=kind, server_id=server_id, at=datetime.now(UTC), health=DOWN, **more)
    return NoticeEvent.of(notice)


def announce_notice(
    web: RunningApp, ref: str, kind: NoticeKind = NoticeKind.DOWN, **more: Any
) -> None:
    """Announce a notice about a server."""
    web.app.announcer.announce(notice_event(web.app.server(ref).id, kind, **more))
