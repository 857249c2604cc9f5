"""What one app remembers of the kept state: as what it was read, and what was asked for last."""

from dataclasses import dataclass
from datetime import datetime
from itertools import count
from typing import Any, Final

MAX_CACHE_BYTES: Final = 4 * 2**20
"""Bytes as they are kept, of what stays in memory as it was read; that takes some four times as
much. Twenty servers with a thousand sessions each fit in."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FetchStart:
    """When a server was asked for something. `sequence` only grows, whatever the clock does."""

    at: datetime
    sequence: int


class StateCache:
    """What was last read of the store or kept there, by one app.

    Reading a long list from its JSON takes several times as long as getting the bytes, and most of
    the time they are still the same ones. `turns` numbers what servers are asked.
    """

    def __init__(self, max_bytes: int = MAX_CACHE_BYTES) -> None:
        self.sequence = count(1)
        self._max_bytes = max_bytes
        self._size = 0
        self._known: dict[str, tuple[bytes, Any]] = {}
        self._newest: dict[str, int] = {}

    def get(self, key: str, raw: bytes) -> Any:
        """What these very bytes were read as; None where they weren't."""
        known = self._known.get(key)
        if known is None or known[0] != raw:
            return None
        self.put(key, raw, known[1])
        return known[1]

    def put(self, key: str, raw: bytes, value: Any) -> None:
        """Keeps it, and forgets what wasn't asked for the longest where it is too much."""
        self._forget(key)
        self._known[key] = raw, value
        self._size += len(raw)
        while self._size > self._max_bytes and len(self._known) > 1:
            self._forget(next(iter(self._known)))

    def is_newest(self, key: str, sequence: int) -> bool:
        """Whether nothing that was asked for later came first; then this counts as the newest."""
        if sequence < self._newest.get(key, 0):
            return False
        self._newest[key] = sequence
        return True

    def _forget(self, key: str) -> None:
        raw, _ = self._known.pop(key, (b"", None))
        self._size -= len(raw)
