"""`codewalk doctor`: what is installed, where data lies, what looks wrong."""

from typing import Any

import typer

from codewalk.cli.errors import FAILED
from codewalk.cli.options import Json, Make, make_command
from codewalk.cli.output import answer
from codewalk.cli.tables import check_table


def command(make: Make) -> Any:
    """The command, ready to be run."""
    return make_command(make, "doctor", _doctor, example="codewalk doctor")


def _doctor(as_json: Json = False) -> None:
    """Say what is installed, where data lies, and what looks wrong. Changes nothing."""
    # Imported here: it brings the core.
    from codewalk.cli.examining import examine

    checks = examine(as_json=as_json)
    document = {"checks": [check.to_json() for check in checks]}
    rows = [(check.name, check.ok, check.detail) for check in checks]
    answer(document, as_json=as_json, people=lambda: check_table(rows))
    if not all(check.ok for check in checks):
        raise typer.Exit(FAILED)
