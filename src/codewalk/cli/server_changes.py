"""`codewalk server add`, `edit`, `move` and `remove`."""

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Final

import typer

from codewalk.cli.completion import complete_server
from codewalk.cli.errors import Declined, UsageMistake
from codewalk.cli.options import Group, Json, Label, NoCheck, PasswordStdin, Ref, Username
from codewalk.cli.output import print_result
from codewalk.cli.prompts import confirm, is_interactive, read_password
from codewalk.cli.runner import run_with_app
from codewalk.cli.tables import server_line
from codewalk.errors import InvalidValue, ServerUnreachable

if TYPE_CHECKING:
    from codewalk.app.app import App
    from codewalk.server import Removed, Server
    from codewalk.servers.profile import NotifySetting

DEFAULT: Final = "default"
"""The word that sets a setting back."""

_CHECKING: Final = "checking the server"
_CONFIRM: Final = (
    "Removing a server forgets its password and all that is kept for it; confirm it with `--yes`."
)


def add_commands(group: Group) -> None:
    """Adds the four to `codewalk server`."""
    group.add("add", _add, example="codewalk server add devbox:4096 --label Devbox")
    group.add("edit", _edit, example="codewalk server edit devbox --url http://devbox:4097")
    group.add("move", _move, example="codewalk server move devbox --before cloud")
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

    server = _checked(work, as_json=as_json)
    print_result(server.to_json(), as_json=as_json, text=f"Added {server_line(server)}")


def _edit(  # noqa: PLR0913, PLR0917 - each is an option, which Typer reads here
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
    interval: Annotated[
        str | None,
        typer.Option("--interval", metavar="S", help="Seconds between two checks, 10 by default."),
    ] = None,
    timeout: Annotated[
        str | None,
        typer.Option("--timeout", metavar="S", help="Seconds for a check, 3 by default."),
    ] = None,
    rise: Annotated[
        str | None,
        typer.Option(
            "--rise", metavar="N", help="Good checks in a row that make it healthy, 1 by default."
        ),
    ] = None,
    fall: Annotated[
        str | None,
        typer.Option(
            "--fall",
            metavar="N",
            help="Failed checks in a row that make it unhealthy, 2 by default.",
        ),
    ] = None,
    notify: Annotated[
        str | None,
        typer.Option(
            "--notify",
            metavar="on|off",
            help="Whether it has a live link in a long list, too; off: nothing is told of it.",
        ),
    ] = None,
    no_check: NoCheck = False,
    as_json: Json = False,
) -> None:
    """Change what is named of a server, leave the rest. An empty label removes the label; the word
    `default` sets an interval, a timeout, `--rise`, `--fall` or `--notify` back."""
    health_check = _settings(interval=interval, timeout=timeout, rise=rise, fall=fall)
    other = password_stdin or no_auth or health_check or notify is not None
    if not other and url is label is username is None:
        raise UsageMistake("Name what to change, such as `--label` or `--url`.")
    # Imported here: with it comes the core, and `--help` has no need of that.
    from codewalk.servers.draft import Change

    password = read_password() if password_stdin else None
    change = Change(
        url=url,
        label=label,
        username=username,
        password=password,
        no_auth=no_auth,
        health_check=health_check,
        notify=_notify(notify),
    )

    async def work(app: "App") -> "Server":
        return await app.edit_server(ref, change, check=not no_check)

    server = _checked(work, as_json=as_json)
    print_result(server.to_json(), as_json=as_json, text=f"Saved {server_line(server)}")


def _checked(work: "Callable[[App], Awaitable[Server]]", *, as_json: bool) -> "Server":
    """What is saved; a refusal says how it can be saved all the same, as the form does."""
    try:
        return run_with_app(work, progress=_CHECKING, as_json=as_json)
    except ServerUnreachable as exc:
        raise ServerUnreachable(
            f"{exc.message} `--no-check` saves it all the same.",
            value=exc.value,
            suggestion=exc.suggestion,
        ) from exc


def _move(
    ref: Ref,
    before: Annotated[
        str | None,
        typer.Option(
            "--before",
            metavar="REF",
            autocompletion=complete_server,
            help="The server it goes before; the end of the list unless told.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Move a server in the list."""

    async def work(app: "App") -> "Server":
        return await app.move_server(ref, before=before)

    server = run_with_app(work, as_json=as_json)
    print_result(server.to_json(), as_json=as_json, text=f"Moved {server_line(server)}")


def _settings(**given: str | None) -> Mapping[str, float | None]:
    """What was given for the health check, as numbers, None for the default."""
    return {name: _number(name, text) for name, text in given.items() if text is not None}


def _notify(text: str | None) -> "NotifySetting | None":
    from codewalk.servers.profile import NotifySetting

    try:
        return None if text is None else NotifySetting(text.strip().lower())
    except ValueError as exc:
        raise UsageMistake(f"--notify takes `on`, `off` or `{DEFAULT}`, not {text!r}.") from exc


def _number(name: str, text: str) -> float | None:
    if text.strip().lower() == DEFAULT:
        return None
    from codewalk.servers.health_check import parse_setting, setting_type

    try:
        return parse_setting(name, text)
    except InvalidValue as exc:
        raise UsageMistake(
            f"--{name} takes a {setting_type(name)} or `{DEFAULT}`, not {text!r}."
        ) from exc


def _remove(
    ref: Ref,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
    as_json: Json = False,
) -> None:
    """Remove a server, its password and all that is kept for it."""
    if not yes:
        ref = _ask(ref, as_json=as_json)

    async def work(app: "App") -> "tuple[Server, Removed, Server | None]":
        server = app.server(ref)
        return server, await app.remove_server(server.id), app.active()

    server, removed, active = run_with_app(work, as_json=as_json)
    now = f"Active now: {active.name}." if active else "No server is active now."
    gone = f"Removed {server.name} ({server.profile.url})."
    print_result(removed.to_json(), as_json=as_json, text=f"{gone} {now}")


def _ask(ref: str, *, as_json: bool) -> str:
    """The id of the server, once a person agreed to remove it."""
    if not is_interactive():
        raise UsageMistake(_CONFIRM)

    async def work(app: "App") -> "Server":
        return app.server(ref)

    server = run_with_app(work, as_json=as_json)
    what = f"{server.name} ({server.profile.url}), its password and all that is kept for it"
    if not confirm(f"Remove {what}?"):
        raise Declined("Nothing was removed.")
    return server.id
