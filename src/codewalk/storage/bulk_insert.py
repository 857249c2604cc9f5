"""One statement that inserts thousands of rows, for SQLite and PostgreSQL.

The rows travel as one JSON text. Row by row, the database's thread would ask for the interpreter's
lock thousands of times, beside an event loop that is busy.
"""

import json
from collections.abc import Sequence

from sqlalchemy import Table, TextClause, text
from sqlalchemy.engine import Connection

BulkRow = Sequence[str | float | int | None]
"""The values of one row, in the order of the table's columns."""


def upsert_statement(table: Table, *, sqlite: bool) -> TextClause:
    """Return the statement that inserts `:rows`, or updates the rows that are there."""
    keys = ", ".join(column.name for column in table.primary_key)
    updates = ", ".join(
        f"{column.name} = excluded.{column.name}"
        for column in table.columns
        if not column.primary_key
    )
    return insert_statement(table, f"ON CONFLICT ({keys}) DO UPDATE SET {updates}", sqlite=sqlite)


def insert_statement(table: Table, on_conflict: str, *, sqlite: bool) -> TextClause:
    """Return the statement that inserts `:rows`, which `execute_bulk` provides.

    Servers that are gone are left out: the join drops their rows, and PostgreSQL's lock keeps the
    others until the commit, as SQLite's write transaction does. All processes write in one order
    of rows, so that two that save at once can't block each other.

    Args:
        table: Has a column `server_id`.
        on_conflict: The `ON CONFLICT` clause; `excluded` is the new row.
        sqlite: Which database the statement is for.
    """
    columns = list(enumerate(table.columns))
    if sqlite:
        values = [f"json_extract(value, '$[{n}]') AS {c.name}" for n, c in columns]
        source, lock = "json_each(:rows)", ""
    else:
        values = [f"CAST(value ->> {n} AS {c.type}) AS {c.name}" for n, c in columns]
        source, lock = "json_array_elements(CAST(:rows AS json))", "FOR KEY SHARE OF servers"
    return text(
        f"""
        INSERT INTO {table.name} ({", ".join(c.name for _, c in columns)})
        SELECT {", ".join(f"new_rows.{c.name}" for _, c in columns)}
        FROM (SELECT {", ".join(values)} FROM {source}) AS new_rows
            JOIN servers ON servers.id = new_rows.server_id
        WHERE true
        ORDER BY {", ".join(f"new_rows.{c.name}" for c in table.primary_key)}
        {lock}
        {on_conflict}
        """  # noqa: S608 - made of the tables' names and clauses of this package alone
    )


def execute_bulk(connection: Connection, statement: TextClause, rows: Sequence[BulkRow]) -> None:
    """Run a statement of this module with these rows; nothing where there are none."""
    if rows:
        connection.execute(statement, {"rows": json.dumps(rows)})


def storable_text(text: str | None) -> str | None:
    """Replace what a server may send and a database can't store: NUL and lone surrogates."""
    if text is None or (text.isascii() and "\0" not in text):
        return text
    return text.replace("\0", "�").encode("utf-8", "replace").decode()
