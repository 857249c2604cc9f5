"""News, as the core announces it when it is due."""

from datetime import UTC, datetime
from typing import Any

from codewalk.events import Event, Kind
from codewalk.health.status import HealthStatus
from codewalk.notifications.notice import News, What
from codewalk.reason import Reason, State
from tests.integration.web.running import Running

DOWN = HealthStatus(state=State.UNHEALTHY, reason=Reason.REFUSED, version="1.18.33")


def news(server_id: str, what: What = What.DOWN, **more: Any) -> Event:
    """The event that tells of it; `more` are fields of the news."""
    told = News(what=what, server_id=server_id, at=datetime.now(UTC), health=DOWN, **more)
    return Event(kind=Kind.NEWS, server_id=server_id, news=told)


def tell(web: Running, ref: str, what: What = What.DOWN, **more: Any) -> None:
    """Announces it of a server."""
    web.app.announcer.announce(news(web.app.server(ref).id, what, **more))
