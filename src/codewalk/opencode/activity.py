"""What a session is doing, as a server tells it in answers and events."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from codewalk.opencode.fields import text

MAX_MESSAGE: Final = 500


class Doing(StrEnum):
    """What a session that isn't idle is doing."""

    BUSY = "busy"
    RETRY = "retry"
    """It waits until it asks its provider again, which failed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Activity:
    """What a session is doing; `attempt` and `message` tell of a retry.

    The message is whatever a server sent: text, never markup.
    """

    doing: Doing
    attempt: int | None = None
    message: str = ""


BUSY: Final = Activity(doing=Doing.BUSY)


def activity(status: Any) -> Activity | None:
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
                doing=Doing.RETRY,
                attempt=attempt if type(attempt) is int and 0 <= attempt < 2**31 else None,
                message=text(status.get("message"), MAX_MESSAGE),
            )
        case _:
            return BUSY
