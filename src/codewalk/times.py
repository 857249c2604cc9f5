"""Times and durations as text, and durations from text."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from codewalk.errors import InvalidValue

_SECOND: Final = timedelta(seconds=1)
_UNITS: Final = (
    (timedelta(days=1), "day"),
    (timedelta(hours=1), "h"),
    (timedelta(minutes=1), "min"),
    (_SECOND, "s"),
)

_JUST_NOW: Final = timedelta(seconds=3)
"""Ages below this are written as `just now`."""

_DURATION: Final = re.compile(r"([0-9]{1,6})(min|m|h|d)")
_SUFFIXES: Final = {
    "min": timedelta(minutes=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
}

MAX_DURATION: Final = timedelta(days=100_000)
"""The longest duration that is read: added to or taken from now it is still a date."""


def rfc3339(moment: datetime | None) -> str | None:
    """Return a time in UTC with milliseconds, as `2026-02-09T20:51:50.489Z`."""
    if moment is None:
        return None
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def format_duration(duration: timedelta, *, max_units: int = 2) -> str:
    """Return a duration in its largest units: `2 h 5 min`, `1 day`, `under 1 s`.

    Args:
        duration: Rounded down; a negative one counts as zero.
        max_units: How many neighbouring units to use; 1 gives `2 h`.
    """
    for index, (size, _) in enumerate(_UNITS):
        if duration >= size:
            return _format(duration, _UNITS[index : index + max_units])
    return "under 1 s"


def _format(duration: timedelta, units: tuple[tuple[timedelta, str], ...]) -> str:
    words = []
    for size, name in units:
        count, duration = divmod(duration, size)
        if count:
            plural = "s" if name == "day" and count > 1 else ""
            words.append(f"{count} {name}{plural}")
    return " ".join(words)


def format_age(moment: datetime | None, now: datetime) -> str:
    """Return how long ago `moment` was, in one unit: `5 min ago`, `just now`; `never` for None.

    `web/static/app.js` updates ages in open pages, in the same format.
    """
    if moment is None:
        return "never"
    age = now - moment
    return "just now" if age < _JUST_NOW else f"{format_duration(age, max_units=1)} ago"


def parse_duration(text: str) -> timedelta:
    """Return the duration for `30m`, `30min`, `24h` or `7d`; case and spaces don't matter.

    Raises:
        InvalidValue: Anything else, and what is longer than `MAX_DURATION`.
    """
    match = _DURATION.fullmatch(text.strip().lower())
    duration = int(match[1]) * _SUFFIXES[match[2]] if match else None
    if duration is None or duration > MAX_DURATION:
        quoted = repr(text if len(text) <= 40 else f"{text[:40]}…")
        raise InvalidValue(
            f"{quoted} is not a duration; give one as `30m`, `24h` or `7d`.", value=text
        )
    return duration
