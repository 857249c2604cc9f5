"""The entry point: arguments in, exit status out."""

import logging
import os
import sys
from collections.abc import Iterator, MutableMapping, Sequence
from contextlib import suppress
from dataclasses import replace
from importlib import import_module
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NoReturn

import typer
from typer.core import TyperGroup

from codewalk import __version__
from codewalk.cli.errors import EXIT_FAILED, report_error
from codewalk.cli.log_file import log_uncaught_errors
from codewalk.cli.options import BuildOptions, require_subcommand
from codewalk.cli.output import is_terminal, print_line

_NAME: Final = "codewalk"
_HELP: Final = frozenset({"--help", "-h"})
_ROOMS: Final = {
    "up": "codewalk.cli.up",
    "server": "codewalk.cli.servers",
    "session": "codewalk.cli.sessions",
    "model": "codewalk.cli.models",
    "state": "codewalk.cli.state",
    "hook": "codewalk.cli.hooks",
    "attach": "codewalk.cli.attach",
    "doctor": "codewalk.cli.doctor",
}
"""The commands in the order of `--help`, and the modules that build them."""


def main() -> NoReturn:
    """The `codewalk` command."""
    _leave(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Runs one command line; returns its exit status."""
    _open_what_is_closed()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # A title in any script must not end a command on a terminal that can't show it.
            stream.reconfigure(errors="replace")
    log_uncaught_errors()
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    as_json = "--json" in options
    try:
        root = _root(_build_options(options), first=options[0] if options else "")
        result = root.main(list(arguments), prog_name=_NAME, standalone_mode=False)
        return result if isinstance(result, int) else 0
    except SystemExit as exc:  # Typer ends its own options and a closed pipe so
        return exc.code if isinstance(exc.code, int) else EXIT_FAILED
    except BaseException as exc:  # noqa: BLE001 - this is where every error is told
        return report_error(exc, as_json=as_json)


class _Commands(MutableMapping[str, Any]):
    """The commands by name, each made when it is first asked for: most are never."""

    def __init__(self, build_options: BuildOptions) -> None:
        self._build_options = build_options
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            self._made[name] = import_module(_ROOMS[name]).command(self._build_options)
        return self._made[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._made[name] = command

    def __delitem__(self, name: str) -> None:
        del self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(_ROOMS)

    def __len__(self) -> int:
        return len(_ROOMS)


def _open_what_is_closed() -> None:
    """Python has None for a stream that was closed before it began, as by `>&-`."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115 - for good


def _root(build_options: BuildOptions, *, first: str) -> TyperGroup:
    # Its options stand before the command's name, those for completion and help too.
    own = replace(build_options, with_help=first in _HELP or "-completion" in first or _completes())
    app = typer.Typer(**own.typer_settings(completion=True))
    app.callback(
        invoke_without_command=True,
        add_help_option=own.with_help,
        epilog="Example: codewalk server add devbox:4096 --label Devbox",
    )(_codewalk)
    root = typer.main.get_command(app)
    if not isinstance(root, TyperGroup):
        raise TypeError("Typer made no group of commands")
    root.commands = _Commands(build_options)
    return root


def _codewalk(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """One client for many OpenCode servers: keep them, check them, switch between them.

    `codewalk up` starts the app in the browser; the other commands work beside it or alone.
    """
    if version:
        print_line(f"codewalk {__version__}")
        raise typer.Exit
    require_subcommand(context)


def _build_options(options: Sequence[str]) -> BuildOptions:
    wants_help = not _HELP.isdisjoint(options)
    # For people; loading Rich for a pipe would only take time.
    markup: Literal["rich"] | None = "rich" if wants_help and is_terminal(sys.stdout) else None
    return BuildOptions(markup=markup, with_help=wants_help or _completes())


def _completes() -> bool:
    return f"_{_NAME.upper()}_COMPLETE" in os.environ


def _leave(status: int) -> NoReturn:
    """Ends the process without taking it apart.

    Everything is closed and on disk here. What an ordinary exit still does is free every object,
    75 ms of the 400 that `server list` would take, and wait for threads that are in a system call.
    (Switching the garbage collector off, by comparison, saves nothing that can be measured.)
    """
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    logging.shutdown()
    os._exit(status)
