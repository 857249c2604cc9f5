"""`codewalk attach`: OpenCode's own terminal interface on one of the servers."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NoReturn

import typer
from typer.core import TyperCommand

from codewalk.cli.completion import complete_server
from codewalk.cli.options import BuildOptions, build_command
from codewalk.cli.runner import run_with_app
from codewalk.errors import NoActiveServer, OpenCodeMissing
from codewalk.settings import environment_without_secrets

if TYPE_CHECKING:
    from codewalk.app.app import App
    from codewalk.servers.profile import ServerProfile

_REST: Final = "codewalk.cli.attach.rest"
_USERNAME: Final = "OPENCODE_SERVER_USERNAME"
_PASSWORD: Final = "OPENCODE_SERVER_PASSWORD"  # noqa: S105 - the variable's name


class _Command(TyperCommand):
    """Takes what follows `--` as it is: without this, its first word would be the REF."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        return [*super().collect_usage_pieces(ctx), "[-- ARGS]..."]

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        cut = args.index("--") if "--" in args else len(args)
        ctx.meta[_REST] = args[cut + 1 :]
        return super().parse_args(ctx, args[:cut])


def command(build_options: BuildOptions) -> Any:
    """The command, ready to be run."""
    return build_command(
        build_options,
        "attach",
        _attach,
        example="codewalk attach devbox -- --continue",
        cls=_Command,
    )


def _attach(
    context: typer.Context,
    ref: Annotated[
        str | None,
        typer.Argument(
            metavar="REF",
            autocompletion=complete_server,
            help="The server; the active one without. What follows -- goes to `opencode attach`.",
        ),
    ] = None,
) -> int:
    """Run `opencode attach` on a server.

    It is given the server's credentials through its environment.
    """
    executable, environment, url = run_with_app(lambda app: _prepare(app, ref))
    return _become(executable, ["attach", url, *context.meta[_REST]], environment)


async def _prepare(app: "App", ref: str | None) -> tuple[Path, dict[str, str], str]:
    from codewalk.local.server import find_executable, missing_message

    server = app.server(ref) if ref is not None else app.active()
    if server is None:
        raise NoActiveServer("There is no active server; name one: `codewalk attach REF`.")
    executable = find_executable(app.settings)
    if executable is None:
        raise OpenCodeMissing(missing_message(app.settings))
    if server.profile.basic_auth_password is not None:
        await app.unlock()
    return executable, _environment(os.environ, server.profile), server.profile.url


def _environment(surrounding: Mapping[str, str], profile: "ServerProfile") -> dict[str, str]:
    """The surroundings, with this server's credentials and nobody else's."""
    kept = environment_without_secrets(surrounding)
    # The user's variables are the credentials of another server.
    for name in (_USERNAME, _PASSWORD):
        kept.pop(name, None)
    if profile.basic_auth_enabled and profile.basic_auth_password is not None:
        kept[_USERNAME] = profile.basic_auth_username
        kept[_PASSWORD] = profile.basic_auth_password.reveal()
    return kept


def _become(executable: Path, arguments: Sequence[str], environment: dict[str, str]) -> int:
    """Runs OpenCode in place of this process, so that the terminal and its signals are its own."""
    line = [str(executable), *arguments]
    try:
        if sys.platform == "win32":
            return subprocess.run(line, env=environment, check=False).returncode
        return _exec(line, environment)
    except OSError as exc:
        raise OpenCodeMissing(
            f"{executable} can't be run: {exc.strerror}. CODEWALK_OPENCODE names another."
        ) from exc


def _exec(line: list[str], environment: dict[str, str]) -> NoReturn:
    # Python ignores this one, and a new program inherits what is ignored.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.execve(line[0], line, environment)  # noqa: S606 - no shell is what is wanted
