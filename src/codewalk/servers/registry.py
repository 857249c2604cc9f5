"""The roster in force in this process, shared with every other process on the same store."""

import asyncio
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Protocol

from codewalk.servers import rules
from codewalk.servers.profile import ServerProfile
from codewalk.servers.removal import Removal, Removals
from codewalk.servers.roster import Roster, Rule
from codewalk.tasks import run_to_completion

Changed = Callable[[Roster, Roster], None]


class KeyNeeded(Exception):
    """A change has passwords to seal, those of `server_ids`, and the vault is locked.

    Nothing was written. `RosterStorage.unlock` loads the key; then the change can be made.
    """

    def __init__(self, server_ids: Collection[str]) -> None:
        super().__init__("the vault is locked")
        self.server_ids = frozenset(server_ids)


class RosterStorage(Protocol):
    """Stores the roster. All methods raise `StorageError`."""

    async def load(self) -> Roster: ...
    async def revision(self) -> int: ...
    async def update(
        self, cached: Roster, rule: Rule, *, undo: Removal | None = None
    ) -> Roster: ...
    async def remove(
        self, cached: Roster, server_id: str, rule: Rule
    ) -> tuple[Roster, Removal]: ...
    async def unlock(self, needed: KeyNeeded) -> None: ...


class Registry:
    """The roster as last read, and the one way to change it.

    Args:
        storage: Stores the roster.
        changed: Called on the event loop with the old and the new roster at each change, made here
            or by another process. It must not raise.
    """

    def __init__(self, storage: RosterStorage, *, changed: Changed) -> None:
        self._storage = storage
        self._changed = changed
        self._lock = asyncio.Lock()
        self._removals = Removals()
        self.roster = Roster()

    async def load(self) -> None:
        """Read the roster. Raises `StorageError`."""
        self.roster = await self._storage.load()

    async def change(self, rule: Rule) -> Roster:
        """Apply a rule to what the store holds at that moment.

        Returns:
            The new roster, once it is on disk.

        Raises:
            StorageError: The store can't be read or written.
            CodeWalkError: What `rule` raises; then nothing is changed.
        """
        try:
            return await self._change_locked(rule)
        except KeyNeeded as needed:
            # Not under the lock: a keyring may take seconds, and each switch would wait for it.
            await self._storage.unlock(needed)
        return await self._change_locked(rule)

    async def remove(self, server_id: str, rule: Rule) -> Roster:
        """Apply a rule that removes this server, which `restore` can undo for a while."""
        async with self._lock:
            return await run_to_completion(self._remove(server_id, rule))

    def removed(self, server_id: str) -> ServerProfile | None:
        """Return the profile that `restore` would bring back, None without one."""
        removal = self._removals.get(server_id)
        return removal.before.get(server_id) if removal else None

    async def restore(self, server_id: str) -> Roster:
        """Undo a removal; one that was undone already changes nothing.

        Raises:
            ServerNotFound: It can't be undone any more.
            DuplicateServer: Another server has its URL or label now.
            StorageError: The store can't be read or written.
        """
        async with self._lock:
            if self.roster.get(server_id):
                return self.roster
            return await run_to_completion(self._restore(self._removals.require(server_id)))

    async def refresh(self) -> None:
        """Adopt what other processes changed. Raises `StorageError`."""
        async with self._lock:
            if await self._storage.revision() != self.roster.revision:
                self._adopt(await self._storage.load())

    async def _change_locked(self, rule: Rule) -> Roster:
        async with self._lock:
            # A write that has begun is finished and adopted, though the caller be cancelled.
            return await run_to_completion(self._change(rule))

    async def _change(self, rule: Rule) -> Roster:
        return self._adopt(await self._storage.update(self.roster, rule))

    async def _remove(self, server_id: str, rule: Rule) -> Roster:
        roster, removal = await self._storage.remove(self.roster, server_id, rule)
        self._removals.add(removal)
        return self._adopt(roster)

    async def _restore(self, removal: Removal) -> Roster:
        roster = await self._storage.update(
            self.roster,
            lambda roster: rules.restore(roster, removal.server_id, removal.before),
            undo=removal,
        )
        self._removals.discard(removal.server_id)
        return self._adopt(roster)

    def _adopt(self, roster: Roster) -> Roster:
        old, new = self.roster, _with_same_profiles(self.roster, roster)
        if new != old:
            # Where this fails, the revision here stays the old one: the next refresh tries again.
            self._changed(old, new)
        self.roster = new
        return new


def _with_same_profiles(old: Roster, new: Roster) -> Roster:
    """Return `new` with the objects of `old` for profiles that haven't changed.

    Two sealed passwords can't be compared without unsealing them, so a profile that was read again
    would look edited; `updated_at` tells whether it was.
    """
    same = {(p.id, p.url, p.updated_at): p for p in old.profiles}
    profiles = tuple(same.get((p.id, p.url, p.updated_at), p) for p in new.profiles)
    return replace(new, profiles=profiles)
