"""Reads rows so that one damaged value takes only itself along."""

import logging
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar

from sqlalchemy import Table

T = TypeVar("T")

_DAMAGE: Final = (ValueError, TypeError, OverflowError, OSError)
"""The errors of converting a damaged value: bad text, another type, a time that is no date."""

_log = logging.getLogger(__name__)


class RowReader:
    """Converts rows to values, and drops those that are damaged.

    For what is only history: a disk's fault or another program's write in it must not keep the app
    from starting. The first damage of each table is logged.
    """

    def __init__(self) -> None:
        self._reported: set[str] = set()

    def read(
        self, table: Table, rows: Iterable[Any], convert: Callable[[Any], T | None]
    ) -> list[T]:
        """Return what `convert` makes of each row.

        Args:
            table: Where the rows are from.
            rows: What was selected of it.
            convert: Returns the value; None for one of another release, which is no damage.
        """
        values = []
        for row in rows:
            try:
                value = convert(row)
            except _DAMAGE:
                self.report(table)
                continue
            if value is not None:
                values.append(value)
        return values

    def report(self, table: Table) -> None:
        """Log that a row of this table is damaged, once."""
        if table.name not in self._reported:
            self._reported.add(table.name)
            _log.warning("Damaged rows in the table %s of the store are ignored.", table.name)
