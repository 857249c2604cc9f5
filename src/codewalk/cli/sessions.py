"""`codewalk session`: the active server's sessions."""

from datetime import UTC, datetime
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
    """Return the Click command."""
    group = Group(build_options, "Show the active server's sessions.")
    group.add("list", _list, example="codewalk session list --directory /home/me/project")
    return group.command()


def _list(
    directory: Annotated[
        str | None,
        typer.Option(
            "--directory",
            metavar="D",
            help="A directory on the server; by default, the one that it runs in.",
        ),
    ] = None,
    cached: Annotated[
        bool, typer.Option("--cached", help="Show the cached list, without a request.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show the active server's sessions, newest first."""

    async def work(app: "App") -> "SessionList":
        return await app.work.sessions(directory, cached=cached)

    session_list = run_with_app(work, progress="fetching the sessions", as_json=as_json)
    if as_json or session_list.sessions:
        print_result(
            session_list.to_json(), as_json=as_json, text=lambda: session_table(session_list)
        )
    if not as_json:
        print_message(_summary(session_list))


def _summary(session_list: "SessionList") -> str:
    count = len(session_list.sessions)
    sessions = f"{count} session{'' if count == 1 else 's'}" if count else "No sessions"
    if session_list.source == "live":
        return f"{sessions}."
    if session_list.fetched_at is None:
        return "Nothing is cached yet; leave out `--cached` to fetch the sessions."
    return f"{sessions}, fetched {format_age(session_list.fetched_at, datetime.now(UTC))}."
