"""The servers in force, shared with every other process on the same store."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from codewalk.servers import roster as rules
from codewalk.servers.profile import ServerProfile
from codewalk.servers.removal import Removal, Removals
from codewalk.servers.roster import Roster, Rule
from codewalk.tasks import run_to_completion

Changed = Callable[[Roster, Roster], None]


class RosterKeeper(Protocol):
    """Where the roster is kept."""

    async def load(self) -> Roster: ...
    async def revision(self) -> int: ...
    async def update(
        self, known: Roster, decide: Rule, *, undo: Removal | None = None
    ) -> Roster: ...
    async def remove(
        self, known: Roster, server_id: str, decide: Rule
    ) -> tuple[Roster, Removal]: ...


class Registry:
    """The roster as last seen, and the one way to change it.

    `changed(old, new)` is called on the event loop for each change, made here or elsewhere; it must
    not raise.
    """

    def __init__(self, keeper: RosterKeeper, *, changed: Changed) -> None:
        self._keeper = keeper
        self._changed = changed
        self._lock = asyncio.Lock()
        self._removals = Removals()
        self.roster = Roster()

    async def load(self) -> None:
        """Reads the roster. Raises `StorageError`."""
        self.roster = await self._keeper.load()

    async def change(self, decide: Rule) -> Roster:
        """Applies a rule of `codewalk.servers.roster` to what the store holds at that moment.

        Returns the roster once it is on disk. Raises what `decide` raises, and `StorageError`.
        """
        async with self._lock:
            # What is on disk is in force here too, though the caller be cancelled meanwhile.
            return await run_to_completion(self._change(decide))

    async def remove(self, server_id: str, decide: Rule) -> Roster:
        """`change` by a rule that removes this server, which `restore` can undo for a while."""
        async with self._lock:
            return await run_to_completion(self._remove(server_id, decide))

    def removed(self, server_id: str) -> ServerProfile | None:
        """The profile that `restore` would bring back; None where there is nothing to undo."""
        removal = self._removals.get(server_id)
        return removal.before.get(server_id) if removal else None

    async def restore(self, server_id: str) -> Roster:
        """Undoes a removal; one that is undone already stays so. Raises `ServerNotFound` where that
        can't be done any more, `DuplicateServer`, and `StorageError`."""
        async with self._lock:
            if self.roster.get(server_id):
                return self.roster
            return await run_to_completion(self._restore(self._removals.require(server_id)))

    async def refresh(self) -> None:
        """Takes over what other processes changed. Raises `StorageError`."""
        async with self._lock:
            if await self._keeper.revision() != self.roster.revision:
                self._adopt(await self._keeper.load())

    async def _change(self, decide: Rule) -> Roster:
        return self._adopt(await self._keeper.update(self.roster, decide))

    async def _remove(self, server_id: str, decide: Rule) -> Roster:
        roster, removal = await self._keeper.remove(self.roster, server_id, decide)
        self._removals.add(removal)
        return self._adopt(roster)

    async def _restore(self, removal: Removal) -> Roster:
        roster = await self._keeper.update(
            self.roster,
            lambda roster: rules.restore(roster, removal.server_id, removal.before),
            undo=removal,
        )
        self._removals.discard(removal.server_id)
        return self._adopt(roster)

    def _adopt(self, roster: Roster) -> Roster:
        old = self.roster
        self.roster = _with_known_profiles(old, roster)
        if self.roster != old:
            self._changed(old, self.roster)
        return self.roster


def _with_known_profiles(old: Roster, new: Roster) -> Roster:
    """`new` with the old objects for unchanged profiles.

    Two sealed passwords can't be compared without opening them, so a profile read again would look
    edited; `updated_at` tells what really was.
    """
    known = {(p.id, p.url, p.updated_at): p for p in old.profiles}
    profiles = tuple(known.get((p.id, p.url, p.updated_at), p) for p in new.profiles)
    return replace(new, profiles=profiles)
