"""What Alembic runs around the migrations: on the connection and in the transaction it is given."""

from alembic import context
from sqlalchemy.engine import Connection

from codewalk.storage.tables import METADATA


def run() -> None:
    connection = context.config.attributes.get("connection")
    if not isinstance(connection, Connection):
        raise TypeError("migrations run when CodeWalk opens its store, on its connection")
    context.configure(
        connection=connection,
        target_metadata=METADATA,
        # SQLite can't change a constraint in place: Alembic then makes the table anew.
        render_as_batch=True,
        # SQLite rolls back its DDL too, since the transaction is begun by hand.
        transactional_ddl=True,
    )
    with context.begin_transaction():
        context.run_migrations()


run()
