"""The roster in the store: read whole, changed by writing the difference."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

from codewalk.errors import DuplicateServer, InvalidValue
from codewalk.secret import Secret
from codewalk.servers.health_check import DEFAULT_SETTINGS, SETTING_BOUNDS, HealthCheckSettings
from codewalk.servers.profile import NotifySetting, ServerProfile
from codewalk.servers.registry import KeyNeeded
from codewalk.servers.removal import Removal
from codewalk.servers.roster import Roster, Rule
from codewalk.storage import tables
from codewalk.storage.database import Database
from codewalk.storage.roster_diff import diff_rosters
from codewalk.storage.roster_rows import insert_owned, read_removed, write_diff
from codewalk.storage.sealed import read_sealed
from codewalk.storage.tables import from_micros, pointers, servers
from codewalk.storage.vault import Vault

_REVISION: Final = select(pointers.c.value).where(pointers.c.key == tables.REVISION)
# SQLite knows no row locks and leaves this out: its write transaction is the lock.
_LOCK: Final = _REVISION.with_for_update()
_POINTERS: Final = select(pointers.c.key, pointers.c.value)
_SERVERS: Final = select(servers).order_by(servers.c.position, servers.c.id)


class RosterStore:
    """Stores the roster. Several processes may change one store at once.

    A change that is cancelled may have been committed all the same: who has to know runs it to
    completion, as `Registry` does.
    """

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database = database
        self._vault = vault

    async def load(self) -> Roster:
        """Return the roster as it is now.

        Passwords stay encrypted until they are revealed, which needs the vault unlocked.

        Raises:
            StorageError: The store can't be read.
        """
        return await self._database.read(self._read)

    async def revision(self) -> int:
        """Return the revision alone: one row, cheap enough for several times a second.

        Raises:
            StorageError: The store can't be read.
        """
        return await self._database.read(lambda c: int(c.scalar(_REVISION) or 0))

    async def update(self, cached: Roster, rule: Rule, *, undo: Removal | None = None) -> Roster:
        """Change the roster in one transaction, from what is really there; return the new one.

        Args:
            cached: The caller's roster as it came from here. It saves the reading when nobody else
                changed anything.
            rule: Gets the current roster and returns the wanted one; one that equals the current
                isn't written. Called in another thread, and again where the key was needed first.
                What it raises passes through, with nothing changed.
            undo: The removal of a server that `rule` brings back: its password and all that was
                stored for it come back as they were.

        Raises:
            KeyNeeded: There are passwords to seal, and the vault is locked.
            DuplicateServer: `rule` let two servers have the same URL or label.
            StorageError: The store can't be written.
        """
        return await self._database.write(partial(self._update, cached, rule, undo))

    async def remove(self, cached: Roster, server_id: str, rule: Rule) -> tuple[Roster, Removal]:
        """Call `update` with a rule that removes this server; also return what an undo needs."""
        return await self._database.write(partial(self._remove, cached, server_id, rule))

    async def unlock(self, needed: KeyNeeded) -> None:
        """Load the vault's key, so that a change which raised `needed` can be made.

        Takes up to some seconds, where a keyring has to be asked.

        Raises:
            StorageError: The key can't be read or created.
        """
        stored = await self._database.read(partial(read_sealed, replaced=needed.server_ids))
        await self._vault.unlock_to_seal(stored)

    def _remove(
        self, cached: Roster, server_id: str, rule: Rule, connection: Connection
    ) -> tuple[Roster, Removal]:
        before = self._current(cached, connection)
        sealed, rows = read_removed(connection, server_id)
        after = self._update(before, rule, None, connection)
        return after, Removal(server_id=server_id, before=before, sealed=sealed, rows=rows)

    def _current(self, cached: Roster, connection: Connection) -> Roster:
        """Return the roster as it is; nobody else can change it until this transaction ends."""
        revision = int(connection.scalar(_LOCK) or 0)
        return cached if revision == cached.revision else self._read(connection)

    def _update(
        self, cached: Roster, rule: Rule, undo: Removal | None, connection: Connection
    ) -> Roster:
        current = self._current(cached, connection)
        wanted = rule(current)
        if wanted is current or wanted == current:
            return current
        wanted = replace(wanted, revision=current.revision + 1)
        diff = diff_rosters(current, wanted)
        restored = {undo.server_id: undo.sealed} if undo and undo.sealed else {}
        to_seal = {i: text for i, text in diff.to_seal.items() if i not in restored}
        if to_seal and not self._vault.unlocked:
            # Raised, not done here: a keyring may take seconds, and others wait for this lock.
            raise KeyNeeded(to_seal)
        sealed = restored | {i: self._vault.seal(text, i) for i, text in to_seal.items()}
        try:
            write_diff(connection, diff, sealed, wanted)
            if undo:
                insert_owned(connection, undo.rows)
        except IntegrityError as exc:
            raise DuplicateServer("Another server has this URL or label.") from exc
        return self._with_sealed(wanted, sealed)

    def _read(self, connection: Connection) -> Roster:
        values: dict[str, str | None] = {
            row.key: row.value for row in connection.execute(_POINTERS)
        }
        rows = connection.execute(_SERVERS).all()
        return Roster(
            profiles=tuple(self._profile(row) for row in rows),
            active_id=values.get(tables.ACTIVE_SERVER_ID),
            default_id=values.get(tables.DEFAULT_SERVER_ID),
            previous_id=values.get(tables.PREVIOUS_SERVER_ID),
            generation=int(values.get(tables.GENERATION) or 0),
            revision=int(values.get(tables.REVISION) or 0),
            legacy_imported=values.get(tables.LEGACY_IMPORTED) is not None,
        )

    def _profile(self, row: Any) -> ServerProfile:
        sealed: str | None = row.basic_auth_password
        return ServerProfile(
            id=row.id,
            url=row.url,
            label=row.label,
            basic_auth_enabled=row.basic_auth_enabled,
            basic_auth_username=row.basic_auth_username,
            basic_auth_password=None if sealed is None else self._secret(sealed, row.id),
            managed=row.managed,
            health_check=_health_check(row),
            snoozed_until=None if row.snoozed_until is None else from_micros(row.snoozed_until),
            notify=_notify(row.notify),
            created_at=from_micros(row.created_at),
            updated_at=from_micros(row.updated_at),
        )

    def _secret(self, sealed: str, server_id: str) -> Secret:
        return Secret.sealed(sealed, lambda: self._vault.unseal(sealed, server_id))

    def _with_sealed(self, roster: Roster, sealed: Mapping[str, str]) -> Roster:
        """Return the roster without the plain texts: they are held no longer than the write."""
        if not sealed:
            return roster
        return replace(
            roster,
            profiles=tuple(
                replace(p, basic_auth_password=self._secret(sealed[p.id], p.id))
                if p.id in sealed
                else p
                for p in roster.profiles
            ),
        )


def _health_check(row: Any) -> HealthCheckSettings:
    stored = {name: getattr(row, f"check_{name}") for name in SETTING_BOUNDS}
    try:
        return DEFAULT_SETTINGS.with_changes(
            {name: value for name, value in stored.items() if value is not None}
        )
    except InvalidValue:
        # Written by something else. How it is checked is no reason to have no servers at all.
        return DEFAULT_SETTINGS


def _notify(stored: str | None) -> NotifySetting:
    try:
        return NotifySetting.DEFAULT if stored is None else NotifySetting(stored)
    except ValueError:
        return NotifySetting.DEFAULT  # a value of another release
