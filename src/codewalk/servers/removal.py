"""Removals that can still be undone."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from codewalk.errors import ServerNotFound
from codewalk.servers.roster import Roster

UNDO_SECONDS: Final = 10.0
"""Seconds after a removal in which it can be undone."""

MAX_REMOVALS: Final = 10
"""Removals remembered at once; each holds all that was kept for a server."""

Rows = Mapping[str, Sequence[Mapping[str, Any]]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Removal:
    """A server that was removed, and all that it takes to bring it back as it was.

    `before` is the roster that it was removed from. `sealed` is its password as the store had it,
    `rows` what lay there beside it, by table: both mean something to the store alone.
    """

    server_id: str
    before: Roster
    sealed: str | None = field(repr=False)
    rows: Rows = field(repr=False)


class Removals:
    """The last removals of this process, in memory alone and for `UNDO_SECONDS` seconds.

    What is removed is gone from the disk at once, so that it stays so whatever happens next; a
    removal made by another process is that one's to undo.
    """

    def __init__(self) -> None:
        self._kept: dict[str, tuple[Removal, asyncio.TimerHandle]] = {}

    def add(self, removal: Removal) -> None:
        """Remembers a removal, and forgets the oldest where there are too many."""
        self.discard(removal.server_id)
        loop = asyncio.get_running_loop()
        # By its id: until the timer is over, it must hold nothing of the server.
        timer = loop.call_later(UNDO_SECONDS, self.discard, removal.server_id)
        self._kept[removal.server_id] = removal, timer
        while len(self._kept) > MAX_REMOVALS:
            self.discard(next(iter(self._kept)))

    def get(self, server_id: str) -> Removal | None:
        """The removal of this server, if it can still be undone."""
        kept = self._kept.get(server_id)
        return kept[0] if kept else None

    def require(self, server_id: str) -> Removal:
        """The removal of this server. Raises `ServerNotFound` where it can't be undone."""
        removal = self.get(server_id)
        if removal is None:
            raise ServerNotFound(
                f"No removal of a server with the id {server_id!r} can be undone now; "
                f"that goes for {UNDO_SECONDS:g} s after it.",
                value=server_id,
            )
        return removal

    def discard(self, server_id: str) -> None:
        """Drops a removal, if it is known."""
        if kept := self._kept.pop(server_id, None):
            kept[1].cancel()
