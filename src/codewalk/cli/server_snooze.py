"""`codewalk server snooze`."""

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Final

import typer

from codewalk.cli.errors import UsageMistake
from codewalk.cli.options import Group, Json, Ref
from codewalk.cli.output import print_result
from codewalk.cli.runner import run_with_app

if TYPE_CHECKING:
    from codewalk.app.app import App
    from codewalk.server import Server

_SPAN: Final = re.compile(r"(\d{1,6})(min|m|h|d)")
_UNITS: Final = {
    "min": timedelta(minutes=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
}


def add_commands(group: Group) -> None:
    """Adds it to `codewalk server`."""
    group.add("snooze", _snooze, example="codewalk server snooze devbox --for 2h")


def _snooze(
    ref: Ref,
    span: Annotated[
        str | None,
        typer.Option("--for", metavar="TIME", help="For how long, as 30min, 2h or 7d."),
    ] = None,
    clear: Annotated[bool, typer.Option("--clear", help="Tell of it again.")] = False,
    as_json: Json = False,
) -> None:
    """Have nothing told of a server for a while: no notification, no hook. It is checked on."""
    if (span is None) is not clear:
        raise UsageMistake("Give `--for` or `--clear`, one of both.")
    until = None if span is None else datetime.now(UTC) + _parse(span)

    async def work(app: "App") -> "Server":
        return await app.snooze(ref, until)

    server = run_with_app(work, as_json=as_json)
    line = f"All is told of {server.name} again."
    if until:
        line = f"Nothing is told of {server.name} until {until.astimezone():%Y-%m-%d %H:%M}."
    print_result(server.to_json(), as_json=as_json, text=line)


def _parse(text: str) -> timedelta:
    found = _SPAN.fullmatch(text.strip().lower())
    if found is None:
        raise UsageMistake(f"--for takes a time such as 30min, 2h or 7d, not {text!r}.")
    return int(found[1]) * _UNITS[found[2]]
