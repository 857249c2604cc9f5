"""What a hook is told, as docs/hooks.md describes it."""

import json
from datetime import datetime
from typing import Any

from codewalk.notifications.notice import Notice
from codewalk.server import Server
from codewalk.times import rfc3339

TEST_EVENT = "test"
"""The event of `codewalk hook test`."""


def notice_payload(news: Notice, server: Server) -> bytes:
    """The JSON of a piece of news, with the server as it is now."""
    away = None if news.downtime is None else round(news.downtime.total_seconds(), 1)
    return _encoded(
        event=news.kind.value,
        at=news.at,
        server=server.to_json(),
        away_s=away,
        previous_version=news.previous_version,
    )


def example_payload(server: Server | None, now: datetime) -> bytes:
    """The JSON of a try: a server that is there, or none."""
    return _encoded(
        event=TEST_EVENT,
        at=now,
        server=server.to_json() if server else None,
        away_s=None,
        previous_version=None,
    )


def _encoded(*, at: datetime, **fields: Any) -> bytes:
    return json.dumps({"event": fields.pop("event"), "at": rfc3339(at), **fields}).encode() + b"\n"
