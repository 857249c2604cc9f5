"""The roster in the store: read whole, changed by writing the difference."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final, TypeVar

from sqlalchemy import bindparam, delete, func, insert, select, update
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

from codewalk.errors import DuplicateServer, InvalidValue
from codewalk.secret import Secret
from codewalk.servers.health_check import DEFAULT_SETTINGS, SETTING_BOUNDS, HealthCheckSettings
from codewalk.servers.profile import NotifySetting, ServerProfile
from codewalk.servers.removal import Removal
from codewalk.servers.roster import Roster, Rule
from codewalk.storage import tables
from codewalk.storage.database import Database
from codewalk.storage.owned_rows import put_back, take
from codewalk.storage.roster_diff import Changes, changes, profile_row
from codewalk.storage.tables import from_micros, pointers, servers
from codewalk.storage.vault import Vault
from codewalk.tasks import run_to_completion

T = TypeVar("T")

_REVISION: Final = select(pointers.c.value).where(pointers.c.key == tables.REVISION)
# SQLite knows no row locks and leaves this out: its write transaction is the lock.
_LOCK: Final = _REVISION.with_for_update()
_POINTERS: Final = select(pointers.c.key, pointers.c.value)
_SERVERS: Final = select(servers).order_by(servers.c.position, servers.c.id)
_NEXT_POSITION: Final = select(func.coalesce(func.max(servers.c.position) + 1, 0))
_DELETE: Final = delete(servers).where(servers.c.id == bindparam("row_id"))
_UPDATE: Final = update(servers).where(servers.c.id == bindparam("row_id"))
_POINT: Final = update(pointers).where(pointers.c.key == bindparam("row_key"))


class RosterStore:
    """Keeps the roster. Several processes may change one store at once."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database = database
        self._vault = vault

    async def load(self) -> Roster:
        """The roster as it is now. Passwords stay encrypted until they are revealed, which needs
        the vault unlocked. Raises `StorageError`."""
        return await self._database.read(self._read)

    async def revision(self) -> int:
        """The revision alone: one row, cheap enough to ask for several times a second."""
        return await self._database.read(lambda c: int(c.scalar(_REVISION) or 0))

    async def update(self, known: Roster, decide: Rule, *, undo: Removal | None = None) -> Roster:
        """Changes the roster in one transaction, from what is really there; returns the new one.

        `known` is the caller's roster as it came from here: it saves the reading when nobody else
        changed anything. `decide` gets the current roster, may be called twice, and in another
        thread. What it raises passes through, with nothing changed; a roster equal to the current
        one isn't written. Once begun, a write lands: cancellation waits for it.

        `undo` is the removal of a server that `decide` brings back: its password and all that was
        kept for it come back as they were.

        Raises `StorageError`, and `DuplicateServer` where `decide` let two servers be the same.
        """
        return await self._unlocked(partial(self._attempt, known, decide, undo))

    async def remove(self, known: Roster, server_id: str, decide: Rule) -> tuple[Roster, Removal]:
        """`update` by a rule that removes this server, with what it takes to undo that."""
        return await self._unlocked(partial(self._remove, known, server_id, decide))

    async def _unlocked(self, attempt: Callable[[Connection], T | None]) -> T:
        """What a transaction returns; tried again, with the vault unlocked, where that is None."""
        updated = await run_to_completion(self._database.write(attempt))
        if updated is None:
            # Not inside the transaction: a keyring may take seconds, and others would wait.
            await self._vault.unlock()
            updated = await run_to_completion(self._database.write(attempt))
        if updated is None:
            raise RuntimeError("an unlocked vault has locked itself")
        return updated

    def _remove(
        self, known: Roster, server_id: str, decide: Rule, connection: Connection
    ) -> tuple[Roster, Removal] | None:
        before = self._current(known, connection)
        sealed, rows = take(connection, server_id)
        after = self._attempt(before, decide, None, connection)
        removal = Removal(server_id=server_id, before=before, sealed=sealed, rows=rows)
        return None if after is None else (after, removal)

    def _current(self, known: Roster, connection: Connection) -> Roster:
        """The roster as it is, which nobody else can change until this transaction ends."""
        revision = int(connection.scalar(_LOCK) or 0)
        return known if revision == known.revision else self._read(connection)

    def _attempt(
        self, known: Roster, decide: Rule, undo: Removal | None, connection: Connection
    ) -> Roster | None:
        """One transaction; None, with nothing written, where it needs the vault unlocked first."""
        current = self._current(known, connection)
        wanted = decide(current)
        if wanted is current or wanted == current:
            return current
        wanted = replace(wanted, revision=current.revision + 1)
        difference = changes(current, wanted)
        kept = {undo.server_id: undo.sealed} if undo and undo.sealed else {}
        to_seal = {i: text for i, text in difference.to_seal.items() if i not in kept}
        if to_seal and not self._vault.unlocked:
            return None
        sealed = kept | {i: self._vault.seal(text, i) for i, text in to_seal.items()}
        try:
            _write(connection, difference, sealed, wanted)
            if undo:
                put_back(connection, undo.rows)
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
        """The plain text that came in isn't held any longer than the write took."""
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
    kept = {name: getattr(row, f"check_{name}") for name in SETTING_BOUNDS}
    try:
        return DEFAULT_SETTINGS.with_changes(
            {name: value for name, value in kept.items() if value is not None}
        )
    except InvalidValue:
        # Written by something else. How it is checked is no reason to have no servers at all.
        return DEFAULT_SETTINGS


def _notify(kept: str | None) -> NotifySetting:
    try:
        return NotifySetting.DEFAULT if kept is None else NotifySetting(kept)
    except ValueError:
        return NotifySetting.DEFAULT  # another release's word


def _write(
    connection: Connection, difference: Changes, sealed: Mapping[str, str], wanted: Roster
) -> None:
    # Removed first: what comes after may have a removed one's URL or label.
    if difference.removed:
        connection.execute(_DELETE, [{"row_id": i} for i in difference.removed])
    _write_changed(connection, difference, sealed)
    if difference.inserted:
        position = connection.scalar(_NEXT_POSITION) or 0
        connection.execute(
            insert(servers),
            [
                profile_row(p) | {"position": n, "basic_auth_password": sealed.get(p.id)}
                for n, p in enumerate(difference.inserted, position)
            ],
        )
    if difference.reordered:
        connection.execute(
            _UPDATE, [{"row_id": p.id, "position": n} for n, p in enumerate(wanted.profiles)]
        )
    connection.execute(
        _POINT, [{"row_key": key, "value": value} for key, value in difference.pointers.items()]
    )


def _write_changed(connection: Connection, difference: Changes, sealed: Mapping[str, str]) -> None:
    kept, renewed = [], []
    for profile in difference.changed:
        row = profile_row(profile)
        row["row_id"] = row.pop("id")
        if profile.id in difference.resealed:
            renewed.append(row | {"basic_auth_password": sealed.get(profile.id)})
        else:
            kept.append(row)
    for rows in (kept, renewed):
        if rows:
            connection.execute(_UPDATE, rows)
