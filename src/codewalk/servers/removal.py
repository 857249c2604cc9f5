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
"""Removals that can be undone at a time; each holds everything that was stored for a server."""

Rows = Mapping[str, Sequence[Mapping[str, Any]]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Removal:
    """A removed server, and everything that brings it back as it was.

    `before` is the roster from which it was removed. `sealed` is its password as it was stored,
    `rows` are its other rows, by table; both are for the store alone.
    """

    server_id: str
    before: Roster
    sealed: str | None = field(repr=False)
    rows: Rows = field(repr=False)


class Removals:
    """The last removals by this process, in memory alone and for `UNDO_SECONDS`.

    What is removed is gone from the disk at once, and stays so whatever happens next. A removal by
    another process can be undone only there.
    """

    def __init__(self) -> None:
        self._removals: dict[str, tuple[Removal, asyncio.TimerHandle]] = {}

    def add(self, removal: Removal) -> None:
        """Remember a removal, and discard the oldest one where there are too many."""
        self.discard(removal.server_id)
        loop = asyncio.get_running_loop()
        # The timer gets the id alone: until it expires it must hold nothing of the server.
        timer = loop.call_later(UNDO_SECONDS, self.discard, removal.server_id)
        self._removals[removal.server_id] = removal, timer
        while len(self._removals) > MAX_REMOVALS:
            self.discard(next(iter(self._removals)))

    def get(self, server_id: str) -> Removal | None:
        """Return the removal of this server, None where it can't be undone."""
        entry = self._removals.get(server_id)
        return entry[0] if entry else None

    def require(self, server_id: str) -> Removal:
        """Return the removal of this server.

        Raises:
            ServerNotFound: It can't be undone.
        """
        removal = self.get(server_id)
        if removal is None:
            raise ServerNotFound(
                f"The removal of the server {server_id!r} can't be undone. "
                f"A removal can be undone for {UNDO_SECONDS:g} seconds.",
                value=server_id,
            )
        return removal

    def discard(self, server_id: str) -> None:
        """Forget a removal, where there is one."""
        if entry := self._removals.pop(server_id, None):
            entry[1].cancel()
