"""Decoded state in memory, and the order of fetches."""

from dataclasses import dataclass
from datetime import datetime
from itertools import count
from typing import Any, Final

MAX_CACHE_BYTES: Final = 4 * 2**20
"""Encoded bytes of the values in memory, which take some four times as much once they are decoded.
Twenty servers with a thousand sessions each fit in."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FetchStart:
    """The start of a fetch. `sequence` only grows, even if the clock is set back."""

    at: datetime
    sequence: int


class StateCache:
    """The values that one app last read from the store or wrote to it, decoded.

    Decoding a long list takes several times as long as reading its bytes, and most of the time
    they are the same as before. `sequence` numbers the fetches.
    """

    def __init__(self, max_bytes: int = MAX_CACHE_BYTES) -> None:
        self.sequence = count(1)
        self._max_bytes = max_bytes
        self._size = 0
        self._values: dict[str, tuple[bytes, Any]] = {}
        self._newest: dict[str, int] = {}
        self._stored: dict[str, int] = {}
        self._epochs: dict[str, int] = {}
        self._in_flight: dict[str, tuple[FetchStart, Any]] = {}

    def get(self, key: str, raw: bytes) -> Any:
        """Return the value that these very bytes encode, None where it isn't in memory."""
        raw_and_value = self._values.get(key)
        if raw_and_value is None or raw_and_value[0] != raw:
            return None
        self.put(key, *raw_and_value)
        return raw_and_value[1]

    def peek(self, key: str) -> Any:
        """Return the value last put under `key`, None where it isn't in memory."""
        return self._values.get(key, (b"", None))[1]

    def put(self, key: str, raw: bytes, value: Any) -> None:
        """Remember a value; drop the least recently used ones where there are too many bytes."""
        self._drop(key)
        self._values[key] = raw, value
        self._size += len(raw)
        while self._size > self._max_bytes and len(self._values) > 1:
            self._drop(next(iter(self._values)))

    def is_newest(self, key: str, sequence: int) -> bool:
        """Return whether no later fetch has ended before; if so, this one counts as ended."""
        if sequence < self._newest.get(key, 0):
            return False
        self._newest[key] = sequence
        return True

    def newest(self, key: str) -> int:
        """Return the number of the last fetch that counted as ended, 0 before the first."""
        return self._newest.get(key, 0)

    def set_stored(self, key: str, sequence: int) -> None:
        """Record that the answer to this fetch, or to a later one, is in the store."""
        self._stored[key] = max(sequence, self._stored.get(key, 0))

    def stored(self, key: str) -> int:
        """Return the number of a fetch whose answer, or a later one, is in the store; 0 if none."""
        return self._stored.get(key, 0)

    def begin_write(self, key: str, start: FetchStart, value: Any) -> None:
        """Record that the answer to a fetch is being written to the store."""
        self._in_flight[key] = start, value

    def end_write(self, key: str, start: FetchStart) -> None:
        """Record that the write of this answer has ended, however."""
        if key in self._in_flight and self._in_flight[key][0] is start:
            del self._in_flight[key]

    def in_flight(self, key: str) -> tuple[FetchStart, Any] | None:
        """Return the answer that is being written, None where there is none."""
        return self._in_flight.get(key)

    def begin_epoch(self, server_id: str) -> None:
        """Refuse what fetches that began before bring: another server may be at the address."""
        self._epochs[server_id] = next(self.sequence)

    def epoch(self, server_id: str) -> int:
        """Return the number of the last `begin_epoch`, 0 before the first."""
        return self._epochs.get(server_id, 0)

    def _drop(self, key: str) -> None:
        raw, _ = self._values.pop(key, (b"", None))
        self._size -= len(raw)
