"""The rows behind a roster: how a difference is written, and a removed server's rows restored."""

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Column, Table, bindparam, delete, func, insert, or_, select, update
from sqlalchemy.engine import Connection

from codewalk.servers.health_check import DEFAULT_SETTINGS, HealthCheckSettings
from codewalk.servers.profile import NotifySetting, ServerProfile
from codewalk.servers.removal import Rows
from codewalk.servers.roster import Roster
from codewalk.storage.roster_diff import RosterDiff
from codewalk.storage.tables import METADATA, pointers, server_state, servers, to_micros
from codewalk.workspace.scope import FETCHED_STATE, SEPARATOR

_NEXT_POSITION: Final = select(func.coalesce(func.max(servers.c.position) + 1, 0))
_DELETE_SERVER: Final = delete(servers).where(servers.c.id == bindparam("row_id"))
_UPDATE_SERVER: Final = update(servers).where(servers.c.id == bindparam("row_id"))
_DELETE_FETCHED: Final = delete(server_state).where(
    server_state.c.server_id == bindparam("row_id"),
    or_(
        *(
            server_state.c.key.startswith(name.value + SEPARATOR, autoescape=True)
            for name in FETCHED_STATE
        )
    ),
)
_UPDATE_POINTER: Final = update(pointers).where(pointers.c.key == bindparam("row_key"))
# Locked, so that what is read is all that the removal deletes: PostgreSQL would let another process
# store something more in between. SQLite's write transaction is the lock.
_SEALED: Final = (
    select(servers.c.basic_auth_password)
    .where(servers.c.id == bindparam("server_id"))
    .with_for_update()
)


def _owned_tables() -> tuple[tuple[Table, Column[Any]], ...]:
    """Return the tables whose rows go with their server, and the column that names it."""
    return tuple(
        (table, key.parent)
        for table in METADATA.sorted_tables
        for key in table.foreign_keys
        if key.column.table is servers and key.ondelete == "CASCADE"
    )


_OWNED_ROWS: Final = {
    table: select(table).where(column == bindparam("server_id"))
    for table, column in _owned_tables()
}


def read_removed(connection: Connection, server_id: str) -> tuple[str | None, Rows]:
    """Return a server's sealed password, and the rows that go with it, by table."""
    parameters = {"server_id": server_id}
    sealed: str | None = connection.scalar(_SEALED, parameters)
    return sealed, {
        table.name: [dict(row) for row in connection.execute(query, parameters).mappings()]
        for table, query in _OWNED_ROWS.items()
    }


def write_diff(
    connection: Connection, diff: RosterDiff, sealed: Mapping[str, str], wanted: Roster
) -> None:
    """Write what leads to the `wanted` roster; `sealed` has the sealed passwords by server id."""
    # Removed first: what comes after may have a removed one's URL or label.
    if diff.removed:
        connection.execute(_DELETE_SERVER, [{"row_id": i} for i in diff.removed])
    _write_changed(connection, diff, sealed)
    for server_id in diff.moved:
        # In this transaction: nothing of what was at the old URL may be shown as the new one's.
        connection.execute(_DELETE_FETCHED, {"row_id": server_id})
    if diff.inserted:
        position = connection.scalar(_NEXT_POSITION) or 0
        connection.execute(
            insert(servers),
            [
                _profile_row(p) | {"position": n, "basic_auth_password": sealed.get(p.id)}
                for n, p in enumerate(diff.inserted, position)
            ],
        )
    if diff.reordered:
        connection.execute(
            _UPDATE_SERVER, [{"row_id": p.id, "position": n} for n, p in enumerate(wanted.profiles)]
        )
    connection.execute(
        _UPDATE_POINTER, [{"row_key": key, "value": value} for key, value in diff.pointers.items()]
    )


def _write_changed(connection: Connection, diff: RosterDiff, sealed: Mapping[str, str]) -> None:
    same_password, new_password = [], []
    for profile in diff.changed:
        row = _profile_row(profile)
        row["row_id"] = row.pop("id")
        if profile.id in diff.resealed:
            new_password.append(row | {"basic_auth_password": sealed.get(profile.id)})
        else:
            same_password.append(row)
    for rows in (same_password, new_password):
        if rows:
            connection.execute(_UPDATE_SERVER, rows)


def insert_owned(connection: Connection, rows: Rows) -> None:
    """Insert the rows that a removal read; the server's own row has to be there again."""
    for table in _OWNED_ROWS:
        if owned := rows.get(table.name):
            connection.execute(insert(table), [dict(row) for row in owned])


def _profile_row(profile: ServerProfile) -> dict[str, Any]:
    """Return the profile's row of the servers table, without password and position."""
    return {
        "id": profile.id,
        "url": profile.url,
        "label": profile.label,
        "label_key": profile.label.casefold() if profile.label else None,
        "basic_auth_enabled": profile.basic_auth_enabled,
        "basic_auth_username": profile.basic_auth_username,
        "managed": profile.managed,
        **_check_columns(profile.health_check),
        "snoozed_until": None
        if profile.snoozed_until is None
        else to_micros(profile.snoozed_until),
        "notify": None if profile.notify is NotifySetting.DEFAULT else profile.notify.value,
        "created_at": to_micros(profile.created_at),
        "updated_at": to_micros(profile.updated_at),
    }


def _check_columns(settings: HealthCheckSettings) -> dict[str, float | None]:
    """Return the check's settings, NULL for a default: a later default then applies."""
    return {
        f"check_{name}": None if value == getattr(DEFAULT_SETTINGS, name) else value
        for name, value in settings.items()
    }
