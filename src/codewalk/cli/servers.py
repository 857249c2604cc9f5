"""`codewalk server`: which servers there are, and how they are."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from codewalk.cli import history, server_changes, server_snooze
from codewalk.cli.completion import complete_server
from codewalk.cli.errors import EXIT_FAILED, UsageMistake
from codewalk.cli.options import BuildOptions, Group, Json, Ref
from codewalk.cli.output import is_terminal, print_message, print_result
from codewalk.cli.runner import run_with_app
from codewalk.cli.tables import LEGEND, server_details, server_line, server_table
from codewalk.reason import State

if TYPE_CHECKING:
    from codewalk.app.app import App
    from codewalk.server import Server


def command(build_options: BuildOptions) -> Any:
    """The group, ready to be run."""
    group = Group(build_options, "Add, show, check and switch servers.")
    group.add("list", _list, example="codewalk server list --json")
    group.add("show", _show, example="codewalk server show devbox")
    server_changes.add_commands(group)
    group.add("default", _default, example="codewalk server default devbox")
    group.add("use", _use, example="codewalk server use devbox")
    history.add_command(group)
    server_snooze.add_commands(group)
    group.add("check", _check, example="codewalk server check devbox cloud --timeout 1")
    return group.command()


def _list(as_json: Json = False) -> None:
    """Show all servers, with their health as last seen."""

    async def work(app: "App") -> "list[Server]":
        return app.servers()

    _print_all(run_with_app(work, as_json=as_json), as_json=as_json)


def _show(ref: Ref, as_json: Json = False) -> None:
    """Show one server."""

    async def work(app: "App") -> "Server":
        return app.server(ref)

    server = run_with_app(work, as_json=as_json)
    print_result(server.to_json(), as_json=as_json, text=lambda: server_details(server))


def _default(
    ref: Annotated[
        str | None,
        typer.Argument(
            metavar="REF", autocompletion=complete_server, help="The server to begin with."
        ),
    ] = None,
    clear: Annotated[bool, typer.Option("--clear", help="Have no default.")] = False,
    as_json: Json = False,
) -> None:
    """Set the server that is active after a start."""
    if (ref is None) is not clear:
        raise UsageMistake("Name a server or give `--clear`, one of both.")

    async def work(app: "App") -> "Server | None":
        if ref is not None:
            return await app.set_default(ref)
        await app.clear_default()
        return None

    server = run_with_app(work, as_json=as_json)
    if server is None:
        print_result({"default": None}, as_json=as_json, text="No server is the default now.")
    else:
        line = f"Default now: {server_line(server)}"
        print_result(server.to_json(), as_json=as_json, text=line)


def _use(
    ref: Annotated[
        str,
        typer.Argument(
            metavar="REF",
            autocompletion=complete_server,
            help="The server, or - for the one that was active before.",
        ),
    ],
    force: Annotated[
        bool, typer.Option("--force", help="Switch even where it is unhealthy.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Switch to a server: it becomes the active one."""

    async def work(app: "App") -> "Server":
        return await app.switch_to(ref, force=force)

    server = run_with_app(work, progress="checking the server", as_json=as_json)
    line = f"Active now: {server_line(server)}"
    print_result(server.to_json(), as_json=as_json, text=line)


def _check(
    refs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="REF", autocompletion=complete_server, help="The servers; all without any."
        ),
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(
            "--timeout",
            metavar="S",
            min=0.1,
            max=60,
            help="Seconds for each check; without it each server's own, 3 unless set.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Check servers now, all at once; fails where any isn't healthy."""

    async def work(app: "App") -> "list[Server]":
        return await app.check_all(refs or None, budget=timeout)

    servers = run_with_app(work, progress="checking servers", as_json=as_json)
    _print_all(servers, as_json=as_json)
    if any(server.health.state is not State.HEALTHY for server in servers):
        raise typer.Exit(EXIT_FAILED)


def _print_all(servers: "Sequence[Server]", *, as_json: bool) -> None:
    import sys

    document = [server.to_json() for server in servers]
    if not (as_json or servers):
        print_message("There are no servers yet; add one with `codewalk server add URL`.")
        return
    print_result(document, as_json=as_json, text=lambda: server_table(servers))
    if not as_json and is_terminal(sys.stdout):
        print_message(LEGEND)
