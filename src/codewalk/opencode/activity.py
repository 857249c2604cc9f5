"""A session's activity, as a server reports it in responses and events."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from codewalk.opencode.fields import parse_text

MAX_MESSAGE: Final = 500
"""Characters of an activity's message."""


class ActivityKind(StrEnum):
    """The kind of activity of a session that isn't idle."""

    BUSY = "busy"
    RETRY = "retry"
    """It waits before it calls its provider again, after a failure."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Activity:
    """The activity of a session; `attempt` and `message` belong to a retry.

    The message is whatever a server sent: text, never markup.
    """

    kind: ActivityKind
    attempt: int | None = None
    message: str = ""


BUSY: Final = Activity(kind=ActivityKind.BUSY)


def parse_activity(status: Any) -> Activity | None:
    """Return the activity of a session's status; None for an idle session.

    An unknown kind counts as busy.

    Raises:
        TypeError: It isn't a status.
    """
    kind = status.get("type") if isinstance(status, dict) else None
    if not isinstance(kind, str):
        raise TypeError("not a session's status")
    match kind:
        case "idle":
            return None
        case "retry":
            attempt = status.get("attempt")
            return Activity(
                kind=ActivityKind.RETRY,
                attempt=attempt if type(attempt) is int and 0 <= attempt < 2**31 else None,
                message=parse_text(status.get("message"), MAX_MESSAGE),
            )
        case _:
            return BUSY
