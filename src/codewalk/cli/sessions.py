"""`codewalk session`: a server's sessions."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from codewalk.cli.options import BuildOptions, Group, Json, ServerOption
from codewalk.cli.output import print_message, print_result
from codewalk.cli.runner import run_with_app
from codewalk.cli.tables import session_table
from codewalk.times import format_age

if TYPE_CHECKING:
    from codewalk.app.app import App
    from codewalk.workspace.session_list import SessionList


def command(build_options: BuildOptions) -> Any:
    """Return the Click command."""
    group = Group(build_options, "Show a server's sessions.")
    group.add("list", _list, example="codewalk session list --directory /home/me/project")
    return group.command()


def _list(
    server: ServerOption = None,
    directory: Annotated[
        str | None,
        typer.Option(
            "--directory",
            metavar="D",
            help="A directory on the server; by default, the one that it runs in.",
        ),
    ] = None,
    archived: Annotated[
        bool, typer.Option("--archived", help="List archived sessions too.")
    ] = False,
    cached: Annotated[
        bool, typer.Option("--cached", help="Show the cached list, without a request.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show a server's sessions, newest first.

    Sessions that another session started are part of it: with --json they are listed too, with its
    id as `parent_id`.
    """

    async def work(app: "App") -> "SessionList":
        on_server = app.work_on(server)
        return await on_server.sessions(directory, archived=archived, cached=cached)

    from codewalk.workspace.session_tree import root_sessions

    session_list = run_with_app(work, progress="fetching the sessions", as_json=as_json)
    roots = replace(session_list, sessions=root_sessions(session_list.sessions))
    if as_json or roots.sessions:
        print_result(session_list.to_json(), as_json=as_json, text=lambda: session_table(roots))
    if not as_json:
        print_message(_summary(roots))


def _summary(session_list: "SessionList") -> str:
    count = len(session_list.sessions)
    sessions = f"{count} session{'' if count == 1 else 's'}" if count else "No sessions"
    if session_list.source == "live":
        return f"{sessions}."
    if session_list.fetched_at is None:
        return "Nothing is cached yet; leave out `--cached` to fetch the sessions."
    return f"{sessions}, fetched {format_age(session_list.fetched_at, datetime.now(UTC))}."
