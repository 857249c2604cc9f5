"""For how long a page offers to have nothing told of a server."""

from datetime import UTC, datetime, time, timedelta
from enum import StrEnum
from typing import Final

MORNING: Final = time(8)


class SnoozeChoice(StrEnum):
    """What the form offers; its words are the template's."""

    HOUR = "1h"
    WORKDAY = "8h"
    TOMORROW = "tomorrow"
    OVER = "over"


def snooze_end(nap: SnoozeChoice, now: datetime) -> datetime | None:
    """When a snooze that begins now ends, None for none: tomorrow begins at eight in the morning,
    by the clock of this machine."""
    match nap:
        case SnoozeChoice.HOUR:
            return now + timedelta(hours=1)
        case SnoozeChoice.WORKDAY:
            return now + timedelta(hours=8)
        case SnoozeChoice.TOMORROW:
            day = now.astimezone().date() + timedelta(days=1)
            # The clock may be another one tomorrow, so its offset is looked up for then.
            return datetime.combine(day, MORNING).astimezone(UTC)
        case SnoozeChoice.OVER:
            return None
