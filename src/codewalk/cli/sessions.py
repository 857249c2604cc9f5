"""`codewalk session`: the active server's sessions."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from codewalk.cli.options import BuildOptions, Group, Json
from codewalk.cli.output import print_message, print_result
from codewalk.cli.runner import run_with_app
from codewalk.cli.tables import format_age, session_table

if TYPE_CHECKING:
    from codewalk.app.app import App
    from codewalk.workspace.sessions import SessionList


def command(build_options: BuildOptions) -> Any:
    """The group, ready to be run."""
    group = Group(build_options, "Show the active server's sessions.")
    group.add("list", _list, example="codewalk session list --directory /home/me/project")
    return group.command()


def _list(
    directory: Annotated[
        str | None,
        typer.Option(
            "--directory",
            metavar="D",
            help="A directory on the server; its own project's without.",
        ),
    ] = None,
    cached: Annotated[
        bool, typer.Option("--cached", help="As last fetched; asks no server.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show the active server's sessions, newest first."""

    async def work(app: "App") -> "SessionList":
        return await app.work.sessions(directory, cached=cached)

    found = run_with_app(work, progress="asking the active server", as_json=as_json)
    if as_json or found.sessions:
        print_result(found.to_json(), as_json=as_json, text=lambda: session_table(found))
    if not as_json:
        print_message(_summary(found))


def _summary(found: "SessionList") -> str:
    from datetime import UTC, datetime

    count = len(found.sessions)
    sessions = f"{count} session{'' if count == 1 else 's'}" if count else "No sessions"
    if found.source == "live":
        return f"{sessions}."
    if found.fetched_at is None:
        return "Not fetched yet; without `--cached` they are."
    return f"{sessions}, as fetched: {format_age(found.fetched_at, datetime.now(UTC))}."
