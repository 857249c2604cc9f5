"""The JSON that a hook receives, as docs/hooks.md describes it."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from codewalk.notifications.notice import Notice
from codewalk.times import rfc3339

TEST_EVENT: Final = "test"
"""The event of `codewalk hook test`."""

ServerJson = Mapping[str, Any]
"""A server as `codewalk server show --json` prints it."""


def notice_payload(notice: Notice, server: ServerJson) -> bytes:
    """Return the payload of a notice about `server`."""
    downtime = notice.downtime
    return _encode(
        notice.kind.value,
        notice.at,
        server,
        downtime_s=None if downtime is None else round(downtime.total_seconds(), 1),
        previous_version=notice.previous_version,
    )


def example_payload(server: ServerJson | None, now: datetime) -> bytes:
    """Return the payload of `codewalk hook test`; `server` is None where there is none yet."""
    return _encode(TEST_EVENT, now, server)


def _encode(
    event: str,
    at: datetime,
    server: ServerJson | None,
    *,
    downtime_s: float | None = None,
    previous_version: str | None = None,
) -> bytes:
    payload = {
        "event": event,
        "at": rfc3339(at),
        "server": server,
        "downtime_s": downtime_s,
        "previous_version": previous_version,
    }
    # Escaped to ASCII: a text may hold half of a surrogate pair, which has no UTF-8.
    return json.dumps(payload).encode() + b"\n"
