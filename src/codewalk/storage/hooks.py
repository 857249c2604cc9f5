"""The hooks in the store.

What a hook runs or calls is sealed, as passwords are: a URL often has a token in it, and nobody who
can only write the database can have a program run.
"""

from contextlib import suppress
from typing import Any

from sqlalchemy import delete, func, insert, select
from sqlalchemy.engine import Connection

from codewalk.errors import InvalidValue, StorageError
from codewalk.notifications.hook import ALL_EVENTS, MAX_HOOKS, Hook, HookKind
from codewalk.notifications.notice import NoticeKind
from codewalk.secret import Secret
from codewalk.storage.database import Database
from codewalk.storage.sealed import read_sealed
from codewalk.storage.tables import from_micros, hooks, to_micros
from codewalk.storage.vault import KeyMissing, UnreadableSecret, Vault
from codewalk.tasks import run_to_completion


class HookStore:
    """Stores the hooks, in the order in which they were added.

    Each method raises `StorageError` where the store can't be read or written.
    """

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database = database
        self._vault = vault

    async def list(self) -> tuple[Hook, ...]:
        """Return all hooks.

        A hook whose key is missing is among them, so that it can be removed; revealing its target
        raises `StorageError`.

        Raises:
            StorageError: The key can't be read now, as in a locked keyring, either.
        """
        query = select(hooks).order_by(hooks.c.created_at, hooks.c.id)
        rows = await self._database.read(lambda c: c.execute(query).all())
        if rows:
            with suppress(KeyMissing):
                await self._vault.unlock()
        return tuple(hook for row in rows if (hook := self._hook(row)))

    async def add(self, hook: Hook) -> None:
        """Store a hook.

        Raises:
            InvalidValue: There are too many already.
            StorageError: The key of the vault can't be read or created either.
        """
        if not self._vault.unlocked:
            await self._vault.unlock_to_seal(await self._database.read(read_sealed))
        row = {
            "id": hook.id,
            "kind": hook.kind.value,
            "target": self._vault.seal(hook.target, _owner(hook.id)),
            "events": " ".join(sorted(hook.events)),
            "created_at": to_micros(hook.created_at),
        }

        def write(connection: Connection) -> None:
            if (connection.scalar(select(func.count()).select_from(hooks)) or 0) >= MAX_HOOKS:
                raise InvalidValue(f"There are {MAX_HOOKS} hooks already; remove one first.")
            connection.execute(insert(hooks), row)

        await run_to_completion(self._database.write(write))

    async def remove(self, hook_id: str) -> None:
        """Delete a hook."""
        statement = delete(hooks).where(hooks.c.id == hook_id)
        await run_to_completion(self._database.write(lambda c: c.execute(statement)))

    def _hook(self, row: Any) -> Hook | None:
        try:
            kind = HookKind(row.kind)
        except ValueError:
            return None  # a kind of another release
        kinds = {kind.value for kind in NoticeKind}
        return Hook(
            id=row.id,
            kind=kind,
            target=Secret(lambda: self._unseal(row.target, row.id)),
            events=frozenset(NoticeKind(e) for e in row.events.split() if e in kinds) or ALL_EVENTS,
            created_at=from_micros(row.created_at),
        )

    def _unseal(self, sealed: str, hook_id: str) -> str:
        try:
            return self._vault.unseal(sealed, _owner(hook_id))
        except UnreadableSecret as exc:
            raise StorageError(
                f"Hook {hook_id} can't be read: it was stored under another key, or is damaged. "
                "Remove it and add it again.",
                value=hook_id,
            ) from exc


def _owner(hook_id: str) -> str:
    """Return what a target is sealed for: unusable as a server's password, and vice versa."""
    return f"hook {hook_id}"
