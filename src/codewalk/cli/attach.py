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
from codewalk.errors import NoActiveServer, OpenCodeMissing, ServerUnhealthy
from codewalk.reason import State
from codewalk.settings import environment_without_secrets

if TYPE_CHECKING:
    from codewalk.app.app import App
    from codewalk.servers.profile import ServerProfile

_PASSED_ARGUMENTS: Final = "codewalk.cli.attach.passed_arguments"
"""Key in the context's `meta` of the arguments after `--`."""

_USERNAME_VARIABLE: Final = "OPENCODE_SERVER_USERNAME"
_PASSWORD_VARIABLE: Final = "OPENCODE_SERVER_PASSWORD"  # noqa: S105 - the variable's name


class _AttachCommand(TyperCommand):
    """Keeps the arguments after `--` apart; otherwise the first of them would be the REF."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        return [*super().collect_usage_pieces(ctx), "[-- ARGS]..."]

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        end = args.index("--") if "--" in args else len(args)
        ctx.meta[_PASSED_ARGUMENTS] = args[end + 1 :]
        return super().parse_args(ctx, args[:end])


def command(build_options: BuildOptions) -> Any:
    """Return the Click command."""
    return build_command(
        build_options,
        "attach",
        _attach,
        example="codewalk attach devbox -- --continue",
        cls=_AttachCommand,
    )


def _attach(
    context: typer.Context,
    ref: Annotated[
        str | None,
        typer.Argument(
            metavar="REF",
            autocompletion=complete_server,
            help="The server; by default, the active one. Arguments after -- are passed to "
            "`opencode attach`.",
        ),
    ] = None,
) -> int:
    """Check a server, then run `opencode attach` on it.

    OpenCode gets the server's credentials in its environment.
    """
    executable, environment, url = run_with_app(
        lambda app: _prepare(app, ref), progress="checking the server"
    )
    arguments = ["attach", url, *context.meta[_PASSED_ARGUMENTS]]
    return _run_opencode(executable, arguments, environment)


async def _prepare(app: "App", ref: str | None) -> tuple[Path, dict[str, str], str]:
    from codewalk.health.status import explain
    from codewalk.local.server import find_executable, missing_message

    server = app.server(ref) if ref is not None else app.active()
    if server is None:
        raise NoActiveServer("There is no active server; name one: `codewalk attach REF`.")
    executable = find_executable(app.settings)
    if executable is None:
        raise OpenCodeMissing(missing_message(app.settings))
    # Without a check, OpenCode would fill the terminal and wait for a server that doesn't answer.
    server = await app.check(server.id)
    if server.health.state is State.UNHEALTHY:
        raise ServerUnhealthy(
            f"{server.name} is unhealthy: {explain(server.health)}", value=server.id
        )
    if server.profile.basic_auth_password is not None:
        await app.unlock()
    return executable, _make_environment(os.environ, server.profile), server.profile.url


def _make_environment(environment: Mapping[str, str], profile: "ServerProfile") -> dict[str, str]:
    """Return the environment for OpenCode, with the credentials of this server alone."""
    result = {
        name: value
        for name, value in environment_without_secrets(environment).items()
        # The user may have set these for another server.
        if name not in (_USERNAME_VARIABLE, _PASSWORD_VARIABLE)
    }
    if profile.basic_auth_enabled and profile.basic_auth_password is not None:
        result[_USERNAME_VARIABLE] = profile.basic_auth_username
        result[_PASSWORD_VARIABLE] = profile.basic_auth_password.reveal()
    return result


def _run_opencode(executable: Path, arguments: Sequence[str], environment: dict[str, str]) -> int:
    """Replace this process by OpenCode, so that the terminal and its signals belong to it."""
    command_line = [str(executable), *arguments]
    try:
        if sys.platform == "win32":
            return subprocess.run(command_line, env=environment, check=False).returncode
        return _replace_process(command_line, environment)
    except OSError as exc:
        raise OpenCodeMissing(
            f"{executable} can't be run: {exc.strerror}. Set CODEWALK_OPENCODE to another program."
        ) from exc


def _replace_process(command_line: list[str], environment: dict[str, str]) -> NoReturn:
    # Python ignores this signal, and a new program inherits that.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.execve(command_line[0], command_line, environment)  # noqa: S606 - no shell is intended
