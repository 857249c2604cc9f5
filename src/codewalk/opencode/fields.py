"""The fields of a server's JSON: of the expected type and size, or nothing."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

T = TypeVar("T")

MAX_ID: Final = 500
"""Characters of an id."""

MAX_DIRECTORY: Final = 4096
"""Characters of a directory."""

# Bounded, and with a date and a time: `fromisoformat` takes much else, such as weeks.
_ISO_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d[\d:.,+Zz-]{0,30}\Z")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_EARLIEST: Final = (datetime.min.replace(tzinfo=UTC) - _EPOCH) // _MILLISECOND
_LATEST: Final = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // _MILLISECOND


@dataclass(frozen=True, kw_only=True, slots=True)
class Timestamps:
    """The times of a session or project, in epoch milliseconds as a server sends them.

    They become dates when they are read: of thousands few are displayed, and making all the dates
    takes most of the time that parsing a list takes.
    """

    created_ms: int | None
    updated_ms: int | None

    @property
    def created_at(self) -> datetime | None:
        return _to_datetime(self.created_ms)

    @property
    def updated_at(self) -> datetime | None:
        return _to_datetime(self.updated_ms)


def parse_id(value: Any) -> str | None:
    """Return an id unchanged; None for what can't be one."""
    return value if isinstance(value, str) and 0 < len(value) <= MAX_ID else None


def parse_text(value: Any, limit: int) -> str:
    """Return at most `limit` characters of a text; the empty text for anything else."""
    return value[:limit] if isinstance(value, str) else ""


def take_within(items: Iterable[T], max_size: int, size: Callable[[T], int]) -> Iterator[T]:
    """Yield the items, in order, that fit into `max_size` characters together.

    Each field has its own bound; a list whose fields are all that long is still a hundred times as
    long as a real one, and is stored, cached and rendered.
    """
    left = max_size
    for item in items:
        length = size(item)
        if length <= left:
            left -= length
            yield item


def parse_times(value: Any) -> tuple[int | None, int | None]:
    """Return the creation and the last update in a server's `time`, in epoch milliseconds."""
    value = value if isinstance(value, dict) else {}
    created = parse_milliseconds(value.get("created"))
    updated = parse_milliseconds(value.get("updated"))
    return created, created if updated is None else updated


def parse_milliseconds(value: Any) -> int | None:
    """Return a time as whole epoch milliseconds; None for what is none, or no date can hold.

    Releases send numbers. Some forks send ISO strings, those without a zone in UTC.
    """
    if isinstance(value, str):
        return _parse_iso_time(value)
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return round(value) if _EARLIEST <= value <= _LATEST else None


def _parse_iso_time(text: str) -> int | None:
    if not _ISO_TIME.match(text):
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    # A year that only another zone has, such as 0, is no date of ours.
    value = ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH) // _MILLISECOND
    return value if _EARLIEST <= value <= _LATEST else None


def _to_datetime(milliseconds: int | None) -> datetime | None:
    return None if milliseconds is None else _EPOCH + milliseconds * _MILLISECOND
