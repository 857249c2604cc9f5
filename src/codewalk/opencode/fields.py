"""What a server sent, field by field: of the kind and size that is expected, or nothing."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

T = TypeVar("T")

MAX_ID: Final = 500
MAX_DIRECTORY: Final = 4096

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_EARLIEST: Final = (datetime.min.replace(tzinfo=UTC) - _EPOCH) // _MILLISECOND
_LATEST: Final = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // _MILLISECOND


@dataclass(frozen=True, kw_only=True, slots=True)
class Timestamps:
    """Something with times, in epoch milliseconds as a server sends them: of thousands, few are
    ever shown, and making dates of them all takes most of the time that reading them takes."""

    created_ms: int | None
    updated_ms: int | None

    @property
    def created_at(self) -> datetime | None:
        return _moment(self.created_ms)

    @property
    def updated_at(self) -> datetime | None:
        return _moment(self.updated_ms)


def parse_id(value: Any) -> str | None:
    """An id as it came; None for what can't be one."""
    return value if isinstance(value, str) and 0 < len(value) <= MAX_ID else None


def parse_text(value: Any, limit: int) -> str:
    """At most `limit` characters of a text."""
    return value[:limit] if isinstance(value, str) else ""


def take_within(items: Iterable[T], most: int, size: Callable[[T], int]) -> Iterator[T]:
    """Those that fit into `most` characters together, the first ones first.

    Each field has its bound; a list with all of its fields at theirs is still a hundred times as
    long as a real one, and is held, kept and painted.
    """
    left = most
    for item in items:
        length = size(item)
        if length <= left:
            left -= length
            yield item


def parse_times(value: Any) -> tuple[int | None, int | None]:
    """When something was created and last updated, out of a server's `time`."""
    value = value if isinstance(value, dict) else {}
    created = parse_milliseconds(value.get("created"))
    updated = parse_milliseconds(value.get("updated"))
    return created, created if updated is None else updated


def parse_milliseconds(value: Any) -> int | None:
    """Epoch milliseconds, whole and of a year that there is."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return round(value) if _EARLIEST <= value <= _LATEST else None


def _moment(milliseconds: int | None) -> datetime | None:
    return None if milliseconds is None else _EPOCH + milliseconds * _MILLISECOND
