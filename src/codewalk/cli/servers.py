"""`codewalk server`: lists, checks and switches servers."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from codewalk.cli import history, server_changes
from codewalk.cli.completion import complete_server
from codewalk.cli.errors import EXIT_FAILED, UsageMistake
from codewalk.cli.options import BuildOptions, Group, Json, Ref, number_parser
from codewalk.cli.output import is_terminal, print_message, print_result
from codewalk.cli.runner import run_with_app
from codewalk.cli.tables import LEGEND, WARNING_MARK, server_details, server_line, server_table
from codewalk.reason import State
from codewalk.servers.health_check import SETTING_BOUNDS

if TYPE_CHECKING:
    from codewalk.app.app import App
    from codewalk.server import Server

_MIN_TIMEOUT, _MAX_TIMEOUT = SETTING_BOUNDS["timeout"]

_parse_timeout: Final = number_parser(
    "--timeout", minimum=_MIN_TIMEOUT, maximum=_MAX_TIMEOUT, unit="seconds"
)


def command(build_options: BuildOptions) -> Any:
    """Return the Click command."""
    group = Group(build_options, "Add, show, check and switch servers.")
    group.add("list", _list, example="codewalk server list --json")
    group.add("show", _show, example="codewalk server show devbox")
    server_changes.add_commands(group)
    group.add("default", _default, example="codewalk server default devbox")
    group.add("use", _use, example="codewalk server use devbox")
    history.add_command(group)
    server_changes.add_snooze(group)
    group.add("check", _check, example="codewalk server check devbox cloud --timeout 1")
    return group.command()


def _list(as_json: Json = False) -> None:
    """Show all servers, with the result of their last checks."""

    async def work(app: "App") -> "list[Server]":
        return app.servers()

    _print_servers(run_with_app(work, as_json=as_json), as_json=as_json)


def _show(ref: Ref, as_json: Json = False) -> None:
    """Show one server."""

    async def work(app: "App") -> "Server":
        return app.server(ref)

    server = run_with_app(work, as_json=as_json)
    print_result(server.to_json(), as_json=as_json, text=lambda: server_details(server))


def _default(
    ref: Annotated[
        str | None,
        typer.Argument(metavar="REF", autocompletion=complete_server, help="The server."),
    ] = None,
    clear: Annotated[bool, typer.Option("--clear", help="Set no default.")] = False,
    as_json: Json = False,
) -> None:
    """Set the server that becomes active when the app starts."""
    if (ref is None) is not clear:
        raise UsageMistake("Give either a server or `--clear`.")

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
            help="The server, or `-` for the previously active one.",
        ),
    ],
    force: Annotated[bool, typer.Option("--force", help="Switch even if it is unhealthy.")] = False,
    as_json: Json = False,
) -> None:
    """Switch to a server: make it the active one."""

    async def work(app: "App") -> "Server":
        return await app.switch_to(ref, force=force)

    server = run_with_app(work, progress="checking the server", as_json=as_json)
    line = f"Active now: {server_line(server)}"
    print_result(server.to_json(), as_json=as_json, text=line)


def _check(
    refs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="REF", autocompletion=complete_server, help="The servers; by default, all."
        ),
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(
            "--timeout",
            metavar="S",
            parser=_parse_timeout,
            help="Seconds that each check may take; by default, each server's own setting.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Check servers now, all at once. Fails if any of them isn't healthy."""

    async def work(app: "App") -> "list[Server]":
        return await app.check_all(refs or None, budget=timeout)

    servers = run_with_app(work, progress="checking servers", as_json=as_json)
    _print_servers(servers, as_json=as_json)
    if any(server.health.state is not State.HEALTHY for server in servers):
        raise typer.Exit(EXIT_FAILED)


def _print_servers(servers: "Sequence[Server]", *, as_json: bool) -> None:
    if not (as_json or servers):
        print_message("There are no servers yet; add one with `codewalk server add URL`.")
        return
    document = [server.to_json() for server in servers]
    print_result(document, as_json=as_json, text=lambda: server_table(servers))
    if as_json:
        return
    if is_terminal(sys.stdout):
        print_message(LEGEND)
    for server in servers:
        for warning in server.warnings:
            print_message(f"{WARNING_MARK} {server.name}: {warning}")
