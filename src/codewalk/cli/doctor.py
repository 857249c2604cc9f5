"""`codewalk doctor`: what is installed, where data lies, what looks wrong."""

from typing import Any

import typer

from codewalk.cli.errors import EXIT_FAILED
from codewalk.cli.options import BuildOptions, Json, build_command
from codewalk.cli.output import print_result
from codewalk.cli.tables import doctor_table


def command(build_options: BuildOptions) -> Any:
    """The command, ready to be run."""
    return build_command(build_options, "doctor", _doctor, example="codewalk doctor")


def _doctor(as_json: Json = False) -> None:
    """Say what is installed, where data lies, and what looks wrong. Changes nothing."""
    # Imported here: it brings the core.
    from codewalk.cli.examining import run_checks

    checks = run_checks(as_json=as_json)
    document = {"checks": [check.to_json() for check in checks]}
    rows = [(check.name, check.ok, check.detail) for check in checks]
    print_result(document, as_json=as_json, text=lambda: doctor_table(rows))
    if not all(check.ok for check in checks):
        raise typer.Exit(EXIT_FAILED)
