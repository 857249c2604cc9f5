"""`codewalk state`: the state stored for each server."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from codewalk.cli.completion import complete_server
from codewalk.cli.options import BuildOptions, Group, Json, Ref
from codewalk.cli.output import print_message, print_result
from codewalk.cli.runner import run_with_app
from codewalk.cli.tables import state_table
from codewalk.times import rfc3339

if TYPE_CHECKING:
    from collections.abc import Sequence

    from codewalk.app.app import App
    from codewalk.storage.state import StateSize


def command(build_options: BuildOptions) -> Any:
    """Return the Click command."""
    group = Group(build_options, "Show and clear the state stored for servers.")
    group.add("list", _list, example="codewalk state list --server devbox")
    group.add("clear", _clear, example="codewalk state clear devbox")
    return group.command()


def _list(
    server: Annotated[
        str | None,
        typer.Option(
            "--server",
            metavar="REF",
            autocompletion=complete_server,
            help="Show only this server's.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show the keys stored for each server."""

    async def work(app: "App") -> "Sequence[StateSize]":
        return await app.stored_state(server)

    entries = run_with_app(work, as_json=as_json)
    if as_json or entries:
        document = [_to_json(entry) for entry in entries]
        print_result(document, as_json=as_json, text=lambda: state_table(entries))
    else:
        print_message("No state is stored.")


def _clear(ref: Ref, as_json: Json = False) -> None:
    """Delete all state stored for a server, but not the server."""

    async def work(app: "App") -> int:
        return await app.clear_state(ref)

    count = run_with_app(work, as_json=as_json)
    keys = "1 key" if count == 1 else f"{count} keys"
    print_result({"cleared": count}, as_json=as_json, text=f"Deleted {keys}.")


def _to_json(entry: "StateSize") -> dict[str, Any]:
    return {
        "key": entry.key,
        "server_id": entry.server_id,
        "bytes": entry.bytes,
        "updated_at": rfc3339(entry.updated_at),
    }
