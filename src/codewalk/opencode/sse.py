"""A parser of server-sent events: bounded in memory, fed with bytes however they are cut."""

from typing import Final

MAX_EVENT: Final = 2**20
"""Bytes of one line, and of one event's data; what is longer is dropped and counted."""

_BOM: Final = b"\xef\xbb\xbf"


class EventParser:
    """Parses the bytes of an event stream into the data of its events.

    It works on bytes alone, so that a character cut in two is whole again before anyone decodes
    it. Of the fields only `data` counts: OpenCode sends no other.

    Args:
        limit: Bytes that a line or an event's data may have; at most twice that is held.

    Attributes:
        dropped: How many events were longer.
    """

    def __init__(self, limit: int = MAX_EVENT) -> None:
        self.dropped = 0
        self._limit = limit
        self._line = bytearray()
        self._data: list[bytes] = []
        self._data_bytes = 0
        self._is_too_long = False
        self._is_first_line = True
        self._after_cr = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the data of the events that `chunk` completes; data lines are joined by LF."""
        if not chunk:
            return []
        # A CR ends its line at once, so that the LF after it may be the next chunk's first byte.
        if self._after_cr and chunk.startswith(b"\n"):
            chunk = chunk[1:]
        self._after_cr = chunk.endswith(b"\r")
        if b"\r" in chunk:
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        first, *others = chunk.split(b"\n")
        self._extend_line(first)
        events: list[bytes] = []
        for part in others:
            self._end_line(events)
            self._extend_line(part)
        return events

    def _extend_line(self, part: bytes) -> None:
        if len(self._line) + len(part) > self._limit:
            self._drop_event()
        elif part:
            self._line += part

    def _drop_event(self) -> None:
        """Drop the event in progress; the rest of its line is skipped, up to the limit again."""
        self._is_too_long = True
        self._line.clear()
        self._data.clear()
        # No field's name begins so: the rest of this line can't be taken for one.
        self._line += b":"

    def _end_line(self, events: list[bytes]) -> None:
        line = bytes(self._line)
        self._line.clear()
        if self._is_first_line:
            self._is_first_line = False
            line = line.removeprefix(_BOM)
        if not line:
            self._end_event(events)
        elif not self._is_too_long:
            self._add_field(line)

    def _add_field(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        if name != b"data":
            return
        value = value.removeprefix(b" ")
        self._data_bytes += len(value) + 1
        if self._data_bytes > self._limit:
            self._is_too_long = True
            self._data.clear()
        else:
            self._data.append(value)

    def _end_event(self, events: list[bytes]) -> None:
        if self._is_too_long:
            self.dropped += 1
        elif self._data:
            events.append(b"\n".join(self._data))
        self._data = []
        self._data_bytes = 0
        self._is_too_long = False
