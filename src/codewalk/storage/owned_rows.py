"""What lies in the store beside a server's own row: read before a removal, put back by its undo."""

from typing import Any, Final

from sqlalchemy import Column, Table, bindparam, insert, select
from sqlalchemy.engine import Connection

from codewalk.servers.removal import Rows
from codewalk.storage.tables import METADATA, servers


def _owned() -> tuple[tuple[Table, Column[Any]], ...]:
    """The tables whose rows go with their server, and the column that names it."""
    return tuple(
        (table, key.parent)
        for table in METADATA.sorted_tables
        for key in table.foreign_keys
        if key.column.table is servers and key.ondelete == "CASCADE"
    )


_ROWS: Final = {
    table: select(table).where(column == bindparam("server_id")) for table, column in _owned()
}
# Locked, so that what is read is all that the removal takes along: PostgreSQL would let another
# process keep something more in between. SQLite's write transaction is the lock.
_SEALED: Final = (
    select(servers.c.basic_auth_password)
    .where(servers.c.id == bindparam("server_id"))
    .with_for_update()
)


def take(connection: Connection, server_id: str) -> tuple[str | None, Rows]:
    """A server's sealed password, and the rows kept for it, by table."""
    named = {"server_id": server_id}
    sealed: str | None = connection.scalar(_SEALED, named)
    return sealed, {
        table.name: [dict(row) for row in connection.execute(query, named).mappings()]
        for table, query in _ROWS.items()
    }


def put_back(connection: Connection, rows: Rows) -> None:
    """Writes what `take` read; the server's own row has to be there again."""
    for table in _ROWS:
        if found := rows.get(table.name):
            connection.execute(insert(table), [dict(row) for row in found])
