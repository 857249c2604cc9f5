"""The hooks in the store. What they run or call is sealed, as passwords are: a URL often has a
token in it, and nobody who can write the database alone can have a program run."""

from typing import Any

from sqlalchemy import delete, func, insert, select

from codewalk.errors import InvalidValue, StorageError
from codewalk.notifications.hook import ALL_EVENTS, MAX_HOOKS, Hook, HookKind
from codewalk.notifications.notice import NoticeKind
from codewalk.secret import Secret
from codewalk.storage.database import Database
from codewalk.storage.tables import from_micros, hooks, to_micros
from codewalk.storage.vault import Vault
from codewalk.tasks import run_to_completion


class HookStore:
    """Keeps the hooks, in the order in which they were added. Each method raises `StorageError`."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database = database
        self._vault = vault

    async def list(self) -> tuple[Hook, ...]:
        """All hooks; their targets can be revealed."""
        query = select(hooks).order_by(hooks.c.created_at, hooks.c.id)
        rows = await self._database.read(lambda c: c.execute(query).all())
        if rows:
            await self._vault.unlock()
        return tuple(hook for row in rows if (hook := self._hook(row)))

    async def add(self, hook: Hook) -> None:
        """Keeps a hook. Raises `InvalidValue` where there are too many."""
        await self._vault.unlock()
        row = {
            "id": hook.id,
            "kind": hook.kind.value,
            "target": self._vault.seal(hook.target, _owner(hook.id)),
            "events": " ".join(sorted(hook.events)),
            "created_at": to_micros(hook.created_at),
        }

        def write(connection: Any) -> None:
            if (connection.scalar(select(func.count()).select_from(hooks)) or 0) >= MAX_HOOKS:
                raise InvalidValue(f"There are {MAX_HOOKS} hooks already; remove one first.")
            connection.execute(insert(hooks), row)

        await run_to_completion(self._database.write(write))

    async def remove(self, hook_id: str) -> None:
        """Forgets a hook."""
        await run_to_completion(
            self._database.write(lambda c: c.execute(delete(hooks).where(hooks.c.id == hook_id)))
        )

    def _hook(self, row: Any) -> Hook | None:
        try:
            kind = HookKind(row.kind)
        except ValueError:
            return None  # another release's
        known = {what.value for what in NoticeKind}
        return Hook(
            id=row.id,
            kind=kind,
            target=Secret(lambda: self._open(row.target, row.id)),
            events=frozenset(NoticeKind(e) for e in row.events.split() if e in known) or ALL_EVENTS,
            created_at=from_micros(row.created_at),
        )

    def _open(self, sealed: str, hook_id: str) -> str:
        try:
            return self._vault.unseal(sealed, _owner(hook_id))
        except StorageError as exc:
            raise StorageError(
                f"Hook {hook_id} can't be read: it was stored under another key, or is damaged. "
                "Remove it and add it again.",
                value=hook_id,
            ) from exc


def _owner(hook_id: str) -> str:
    """What a hook's target is sealed for: never good as a password, nor the other way round."""
    return f"hook {hook_id}"
