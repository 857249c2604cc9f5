"""One page of a long list, and the query of its address."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar
from urllib.parse import urlencode

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class ListPage(Generic[T]):
    """A page of `all_items`, with `size` of them; the last page where a later one is requested."""

    all_items: Sequence[T]
    requested: int
    size: int

    @property
    def offset(self) -> int:
        """The number of items before this page."""
        last_offset = max(0, len(self.all_items) - 1) // self.size * self.size
        return min((self.requested - 1) * self.size, last_offset)

    @property
    def number(self) -> int:
        """The number of this page, from 1."""
        return self.offset // self.size + 1

    @property
    def items(self) -> Sequence[T]:
        return self.all_items[self.offset : self.offset + self.size]

    @property
    def is_last(self) -> bool:
        return self.offset + self.size >= len(self.all_items)


def encode_query(values: Mapping[str, str | int | None]) -> str:
    """Return the values as the query of an address, with its `?`; empty without values."""
    return f"?{urlencode(values)}" if values else ""
