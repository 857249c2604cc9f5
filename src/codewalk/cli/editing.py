"""`codewalk server add`, `edit` and `remove`."""

from typing import TYPE_CHECKING, Annotated

import typer

from codewalk.cli.asking import can_ask, confirm, read_password
from codewalk.cli.errors import Declined, UsageMistake
from codewalk.cli.options import Group, Json, Label, NoCheck, PasswordStdin, Ref, Username
from codewalk.cli.output import answer
from codewalk.cli.people import server_line
from codewalk.cli.running import run

if TYPE_CHECKING:
    from codewalk.app import App
    from codewalk.view import Removed, Server

_CHECKING = "checking the server"
_CONFIRM = (
    "Removing a server forgets its password and all that is kept for it; confirm it with `--yes`."
)


def add_commands(group: Group) -> None:
    """Adds the three to `codewalk server`."""
    group.add("add", _add, example="codewalk server add devbox:4096 --label Devbox")
    group.add("edit", _edit, example="codewalk server edit devbox --url http://devbox:4097")
    group.add("remove", _remove, example="codewalk server remove devbox --yes")


def _add(
    url: Annotated[
        str, typer.Argument(metavar="URL", help="Where it answers, as http://devbox:4096.")
    ],
    label: Label = None,
    username: Username = None,
    password_stdin: PasswordStdin = False,
    default: Annotated[
        bool, typer.Option("--default", help="Make it the one that is active after a start.")
    ] = False,
    use: Annotated[bool, typer.Option("--use", help="Make it active now.")] = False,
    no_check: NoCheck = False,
    as_json: Json = False,
) -> None:
    """Check a server, then save it. The first one becomes active."""
    password = read_password() if password_stdin else None

    async def work(app: "App") -> "Server":
        return await app.add_server(
            url,
            label=label,
            username=username,
            password=password,
            default=default,
            use=use,
            check=not no_check,
        )

    server = run(work, doing=_CHECKING, as_json=as_json)
    answer(server.to_json(), as_json=as_json, people=f"Added {server_line(server)}")


def _edit(
    ref: Ref,
    url: Annotated[
        str | None, typer.Option("--url", metavar="URL", help="Where it answers now.")
    ] = None,
    label: Label = None,
    username: Username = None,
    password_stdin: PasswordStdin = False,
    no_auth: Annotated[
        bool, typer.Option("--no-auth", help="Forget its user name and password.")
    ] = False,
    no_check: NoCheck = False,
    as_json: Json = False,
) -> None:
    """Change what is named of a server, leave the rest. An empty label removes the label."""
    if not (password_stdin or no_auth) and url is label is username is None:
        raise UsageMistake("Name what to change, such as `--label` or `--url`.")
    # Imported here: with it comes the core, and `--help` has no need of that.
    from codewalk.servers.draft import Change

    password = read_password() if password_stdin else None
    change = Change(url=url, label=label, username=username, password=password, no_auth=no_auth)

    async def work(app: "App") -> "Server":
        return await app.edit_server(ref, change, check=not no_check)

    server = run(work, doing=_CHECKING, as_json=as_json)
    answer(server.to_json(), as_json=as_json, people=f"Saved {server_line(server)}")


def _remove(
    ref: Ref,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
    as_json: Json = False,
) -> None:
    """Remove a server, its password and all that is kept for it."""
    if not yes:
        ref = _ask(ref, as_json=as_json)

    async def work(app: "App") -> "tuple[Removed, Server | None]":
        return await app.remove_server(ref), app.active()

    removed, active = run(work, as_json=as_json)
    now = f"Active now: {active.name}." if active else "No server is active now."
    answer(removed.to_json(), as_json=as_json, people=f"Removed. {now}")


def _ask(ref: str, *, as_json: bool) -> str:
    """The id of the server, once a person agreed to remove it."""
    if not can_ask():
        raise UsageMistake(_CONFIRM)

    async def work(app: "App") -> "Server":
        return app.server(ref)

    server = run(work, as_json=as_json)
    what = f"{server.name} ({server.profile.url}), its password and all that is kept for it"
    if not confirm(f"Remove {what}?"):
        raise Declined("Nothing was removed.")
    return server.id
