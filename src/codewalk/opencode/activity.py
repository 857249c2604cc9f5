"""What a session is doing, as a server tells it in answers and events."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from codewalk.opencode.fields import parse_text

MAX_MESSAGE: Final = 500


class ActivityKind(StrEnum):
    """What a session that isn't idle is doing."""

    BUSY = "busy"
    RETRY = "retry"
    """It waits until it asks its provider again, which failed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Activity:
    """What a session is doing; `attempt` and `message` tell of a retry.

    The message is whatever a server sent: text, never markup.
    """

    kind: ActivityKind
    attempt: int | None = None
    message: str = ""


BUSY: Final = Activity(kind=ActivityKind.BUSY)


def parse_activity(status: Any) -> Activity | None:
    """The activity that a status tells; None for an idle session.

    One of a kind that isn't known counts as busy. Raises `TypeError` for what is no status.
    """
    kind = status.get("type") if isinstance(status, dict) else None
    if not isinstance(kind, str):
        raise TypeError("no status")
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
