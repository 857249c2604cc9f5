"""Server-sent events out of bytes, however a network cut them: pure, and bounded in memory."""

from typing import Final

MAX_EVENT: Final = 2**20
"""Bytes of one line, and of one event's data; what is longer is dropped and counted."""

_BOM: Final = b"\xef\xbb\xbf"


class EventParser:
    """Takes the bytes of an event stream as they come; gives the data of each event once it is
    complete.

    It works on bytes alone, so that a character cut in two is whole again before anyone decodes
    it. Of the fields only `data` counts: OpenCode sends no other. `dropped` counts the events that
    were longer than `limit` bytes; at most twice that is held.
    """

    def __init__(self, limit: int = MAX_EVENT) -> None:
        self.dropped = 0
        self._limit = limit
        self._line = bytearray()
        self._data: list[bytes] = []
        self._size = 0
        self._overlong = False
        self._fresh = True
        self._after_cr = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """The data of the events that `chunk` completes; several data lines are joined by LF."""
        if not chunk:
            return []
        # A CR ends its line at once, so that the LF after it may be the next chunk's first byte.
        if self._after_cr and chunk.startswith(b"\n"):
            chunk = chunk[1:]
        self._after_cr = chunk.endswith(b"\r")
        if b"\r" in chunk:
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        first, *others = chunk.split(b"\n")
        self._extend(first)
        events: list[bytes] = []
        for part in others:
            self._end_line(events)
            self._extend(part)
        return events

    def _extend(self, part: bytes) -> None:
        if len(self._line) + len(part) > self._limit:
            self._give_up()
        elif part:
            self._line += part

    def _give_up(self) -> None:
        """Drops the event under way; what follows of its line is skipped up to the limit again."""
        self._overlong = True
        self._line.clear()
        self._data.clear()
        # No field's name begins so: the rest of this line can't be taken for one.
        self._line += b":"

    def _end_line(self, events: list[bytes]) -> None:
        line = bytes(self._line)
        self._line.clear()
        if self._fresh:
            self._fresh = False
            line = line.removeprefix(_BOM)
        if not line:
            self._end_event(events)
        elif not self._overlong:
            self._take(line)

    def _take(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        if name != b"data":
            return
        value = value.removeprefix(b" ")
        self._size += len(value) + 1
        if self._size > self._limit:
            self._overlong = True
            self._data.clear()
        else:
            self._data.append(value)

    def _end_event(self, events: list[bytes]) -> None:
        if self._overlong:
            self.dropped += 1
        elif self._data:
            events.append(b"\n".join(self._data))
        self._data = []
        self._size = 0
        self._overlong = False
