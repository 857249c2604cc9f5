"""The sealed texts that the store holds: passwords of servers, targets of hooks."""

from collections.abc import Collection

from sqlalchemy import select
from sqlalchemy.engine import Connection

from codewalk.storage.tables import hooks, servers


def read_sealed(connection: Connection, *, replaced: Collection[str] = ()) -> list[str]:
    """Return every sealed text, but for the passwords of the servers whose ids are `replaced`."""
    password = servers.c.basic_auth_password
    passwords = select(servers.c.id, password).where(password.is_not(None))
    return [
        *(
            sealed
            for server_id, sealed in connection.execute(passwords)
            if server_id not in replaced
        ),
        *connection.scalars(select(hooks.c.target)),
    ]
