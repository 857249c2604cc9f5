"""`codewalk server add`, `edit`, `move`, `remove` and `snooze`."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from codewalk.cli.completion import complete_server
from codewalk.cli.errors import Declined, UsageMistake
from codewalk.cli.options import (
    Group,
    Json,
    Label,
    NoCheck,
    PasswordStdin,
    Ref,
    Username,
    number_parser,
)
from codewalk.cli.output import print_message, print_result
from codewalk.cli.prompts import confirm, is_interactive, read_password
from codewalk.cli.runner import run_with_app
from codewalk.cli.tables import server_line
from codewalk.errors import InvalidValue, ServerUnreachable
from codewalk.servers.health_check import SETTING_BOUNDS
from codewalk.times import parse_duration

if TYPE_CHECKING:
    from codewalk.app.app import App
    from codewalk.server import Removed, Server
    from codewalk.servers.profile import NotifySetting, ServerProfile

    _Saved = tuple[Server, ServerProfile | None]
    """A saved server, and another one that may be the same."""

RESET_WORD: Final = "default"
"""Given as a value, it sets the option back to its default."""

_CHECKING: Final = "checking the server"


@dataclass(frozen=True, slots=True)
class SettingValue:
    """The new value of a health check setting; None sets it back to its default."""

    number: float | None


def _setting_parser(
    name: str, *, whole: bool = False, unit: str = ""
) -> Callable[[str], SettingValue]:
    minimum, maximum = SETTING_BOUNDS[name]
    parse_number = number_parser(
        f"--{name}",
        minimum=minimum,
        maximum=maximum,
        whole=whole,
        unit=unit,
        or_else=f"`{RESET_WORD}`",
    )

    def parse(text: str) -> SettingValue:
        is_reset = text.strip().lower() == RESET_WORD
        return SettingValue(None if is_reset else parse_number(text))

    return parse


def _parse_notify(text: str) -> "NotifySetting":
    from codewalk.servers.profile import NotifySetting

    try:
        return NotifySetting(text.strip().lower())
    except ValueError as exc:
        raise UsageMistake(f"--notify takes `on`, `off` or `{RESET_WORD}`, not {text!r}.") from exc


def _parse_snooze(text: str) -> timedelta:
    # Imported here: it loads the core, which `--help` doesn't need.
    from codewalk.servers.rules import MAX_SNOOZE

    try:
        duration = parse_duration(text)
    except InvalidValue:
        duration = timedelta()
    if not timedelta() < duration <= MAX_SNOOZE:
        raise UsageMistake(
            f"--for takes a duration such as 30m, 2h or 7d, of {MAX_SNOOZE.days} days at most, "
            f"not {text!r}."
        )
    return duration


def add_commands(group: Group) -> None:
    """Add the commands to `codewalk server`."""
    group.add("add", _add, example="codewalk server add devbox:4096 --label Devbox")
    group.add("edit", _edit, example="codewalk server edit devbox --url http://devbox:4097")
    group.add("move", _move, example="codewalk server move devbox --before cloud")
    group.add("remove", _remove, example="codewalk server remove devbox --yes")


def add_snooze(group: Group) -> None:
    """Add `snooze` to `codewalk server`."""
    group.add("snooze", _snooze, example="codewalk server snooze devbox --for 2h")


def _add(
    url: Annotated[
        str, typer.Argument(metavar="URL", help="The server's URL, such as http://devbox:4096.")
    ],
    label: Label = None,
    username: Username = None,
    password_stdin: PasswordStdin = False,
    default: Annotated[
        bool, typer.Option("--default", help="Make it active when the app starts.")
    ] = False,
    use: Annotated[bool, typer.Option("--use", help="Make it active now.")] = False,
    no_check: NoCheck = False,
    as_json: Json = False,
) -> None:
    """Check a server, then save it. The first one becomes active."""
    password = read_password() if password_stdin else None

    async def work(app: "App") -> "_Saved":
        server = await app.add_server(
            url,
            label=label,
            username=username,
            password=password,
            default=default,
            use=use,
            check=not no_check,
        )
        return _with_same_loopback(app, server)

    server, other = _run_checked(work, as_json=as_json)
    print_result(server.to_json(), as_json=as_json, text=f"Added {server_line(server)}")
    _print_same_loopback(server, None if as_json else other)


def _edit(  # noqa: PLR0913, PLR0917 - each is an option, which Typer reads here
    ref: Ref,
    url: Annotated[
        str | None, typer.Option("--url", metavar="URL", help="The server's new URL.")
    ] = None,
    label: Label = None,
    username: Username = None,
    password_stdin: PasswordStdin = False,
    no_auth: Annotated[
        bool, typer.Option("--no-auth", help="Forget its user name and password.")
    ] = False,
    interval: Annotated[
        SettingValue | None,
        typer.Option(
            "--interval",
            metavar="S",
            parser=_setting_parser("interval", unit="seconds"),
            help="Seconds between two checks, 10 by default.",
        ),
    ] = None,
    timeout: Annotated[
        SettingValue | None,
        typer.Option(
            "--timeout",
            metavar="S",
            parser=_setting_parser("timeout", unit="seconds"),
            help="Seconds that a check may take, 3 by default.",
        ),
    ] = None,
    rise: Annotated[
        SettingValue | None,
        typer.Option(
            "--rise",
            metavar="N",
            parser=_setting_parser("rise", whole=True),
            help="Successful checks in a row that make it healthy, 1 by default.",
        ),
    ] = None,
    fall: Annotated[
        SettingValue | None,
        typer.Option(
            "--fall",
            metavar="N",
            parser=_setting_parser("fall", whole=True),
            help="Failed checks in a row that make it unhealthy, 2 by default.",
        ),
    ] = None,
    notify: Annotated[
        Any,  # NotifySetting, whose module `--help` doesn't need to load
        typer.Option(
            "--notify",
            metavar="on|off",
            parser=_parse_notify,
            help="`on` keeps a live link to it even in a long list; `off` mutes its notifications.",
        ),
    ] = None,
    no_check: NoCheck = False,
    as_json: Json = False,
) -> None:
    """Change what is given, and leave the rest.

    An empty label removes the label. The word `default` as the value of `--interval`, `--timeout`,
    `--rise`, `--fall` or `--notify` sets it back to its default.
    """
    settings = {"interval": interval, "timeout": timeout, "rise": rise, "fall": fall}
    health_check = {name: value.number for name, value in settings.items() if value is not None}
    is_other_change = password_stdin or no_auth or health_check or notify is not None
    if not is_other_change and url is label is username is None:
        raise UsageMistake("Give at least one option to change, such as `--label` or `--url`.")
    # Imported here: it loads the core, which `--help` doesn't need.
    from codewalk.servers.draft import Change

    password = read_password() if password_stdin else None
    change = Change(
        url=url,
        label=label,
        username=username,
        password=password,
        no_auth=no_auth,
        health_check=health_check,
        notify=notify,
    )

    async def work(app: "App") -> "_Saved":
        return _with_same_loopback(app, await app.edit_server(ref, change, check=not no_check))

    server, other = _run_checked(work, as_json=as_json)
    print_result(server.to_json(), as_json=as_json, text=f"Saved {server_line(server)}")
    _print_same_loopback(server, None if as_json or url is None else other)


def _with_same_loopback(app: "App", server: "Server") -> "_Saved":
    return server, app.drafts.find_same_loopback(server.profile.url, except_id=server.id)


def _print_same_loopback(server: "Server", other: "ServerProfile | None") -> None:
    """Note that another server's URL differs from that of `server` only in this machine's name."""
    if other:
        print_message(
            f"note: {server.profile.url} may be the same server as {other.name} ({other.url})."
        )


def _run_checked(work: "Callable[[App], Awaitable[_Saved]]", *, as_json: bool) -> "_Saved":
    """Run a change that checks the server first; an error says how to save without a check."""
    try:
        return run_with_app(work, progress=_CHECKING, as_json=as_json)
    except ServerUnreachable as exc:
        raise ServerUnreachable(
            f"{exc.message} Use `--no-check` to save it anyway.",
            value=exc.value,
            suggestion=exc.suggestion,
            reason=exc.reason,
        ) from exc


def _move(
    ref: Ref,
    before: Annotated[
        str | None,
        typer.Option(
            "--before",
            metavar="REF",
            autocompletion=complete_server,
            help="The server to place it before; by default it goes to the end of the list.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Move a server in the list."""

    async def work(app: "App") -> "Server":
        return await app.move_server(ref, before=before)

    server = run_with_app(work, as_json=as_json)
    print_result(server.to_json(), as_json=as_json, text=f"Moved {server_line(server)}")


def _remove(
    ref: Ref,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask for confirmation.")] = False,
    as_json: Json = False,
) -> None:
    """Remove a server, its password and everything stored for it."""
    if not yes:
        ref = _confirm_removal(ref, as_json=as_json)

    async def work(app: "App") -> "tuple[Server, Removed, Server | None]":
        server = app.server(ref)
        return server, await app.remove_server(server.id), app.active()

    server, removed, active = run_with_app(work, as_json=as_json)
    now_active = f"Active now: {active.name}." if active else "No server is active now."
    line = f"Removed {server.name} ({server.profile.url}). {now_active}"
    print_result(removed.to_json(), as_json=as_json, text=line)


def _confirm_removal(ref: str, *, as_json: bool) -> str:
    """Ask a person to confirm the removal, and return the server's id."""
    if not is_interactive():
        raise UsageMistake(
            "Removing a server deletes its password and everything stored for it; "
            "confirm with `--yes`."
        )

    async def work(app: "App") -> "Server":
        return app.server(ref)

    server = run_with_app(work, as_json=as_json)
    name = f"{server.name} ({server.profile.url})"
    if not confirm(f"Remove {name}, its password and everything stored for it?"):
        raise Declined("Nothing was removed.")
    return server.id


def _snooze(
    ref: Ref,
    duration: Annotated[
        timedelta | None,
        typer.Option(
            "--for",
            metavar="TIME",
            parser=_parse_snooze,
            help="For how long, such as 30m, 2h or 7d.",
        ),
    ] = None,
    clear: Annotated[bool, typer.Option("--clear", help="Unmute them.")] = False,
    as_json: Json = False,
) -> None:
    """Mute notifications and hooks about a server for a while. Checks go on."""
    if (duration is None) is not clear:
        raise UsageMistake("Give either `--for` or `--clear`.")
    until = None if duration is None else datetime.now(UTC) + duration

    async def work(app: "App") -> "Server":
        return await app.snooze(ref, until)

    server = run_with_app(work, as_json=as_json)
    line = f"Notifications about {server.name} are unmuted."
    if until:
        local = f"{until.astimezone():%Y-%m-%d %H:%M}"
        line = f"Notifications about {server.name} are muted until {local}."
    print_result(server.to_json(), as_json=as_json, text=line)
