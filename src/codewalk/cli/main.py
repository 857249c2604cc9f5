"""The entry point: takes arguments, returns an exit status."""

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

_PROGRAM: Final = "codewalk"
_HELP_OPTIONS: Final = frozenset({"--help", "-h"})
_COMMAND_MODULES: Final = {
    "up": "codewalk.cli.up",
    "server": "codewalk.cli.servers",
    "session": "codewalk.cli.sessions",
    "model": "codewalk.cli.models",
    "state": "codewalk.cli.state",
    "hook": "codewalk.cli.hooks",
    "attach": "codewalk.cli.attach",
    "doctor": "codewalk.cli.doctor",
}
"""The commands in the order of `--help`, each with the module whose `command()` builds it."""


def main() -> NoReturn:
    """Run the `codewalk` command and exit."""
    _exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit status."""
    _replace_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # A character that the terminal's encoding lacks must not end a command.
            stream.reconfigure(errors="replace")
    log_uncaught_errors()
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    as_json = "--json" in options
    try:
        root = _build_root(_choose_build_options(options), first=options[0] if options else "")
        result = root.main(list(arguments), prog_name=_PROGRAM, standalone_mode=False)
        return result if isinstance(result, int) else 0
    except SystemExit as exc:  # as Typer ends its own options, and on a closed pipe
        return exc.code if isinstance(exc.code, int) else EXIT_FAILED
    except BaseException as exc:  # noqa: BLE001 - every error is reported here
        return report_error(exc, as_json=as_json)


class _LazyCommands(MutableMapping[str, Any]):
    """The commands by name. Each is built when it is first used: most are not in one run."""

    def __init__(self, build_options: BuildOptions) -> None:
        self._build_options = build_options
        self._built: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._built:
            module = import_module(_COMMAND_MODULES[name])
            self._built[name] = module.command(self._build_options)
        return self._built[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._built[name] = command

    def __delitem__(self, name: str) -> None:
        del self._built[name]

    def __iter__(self) -> Iterator[str]:
        return iter(_COMMAND_MODULES)

    def __len__(self) -> int:
        return len(_COMMAND_MODULES)


def _replace_closed_streams() -> None:
    """Open the null device for each standard stream that was closed, as by `>&-`: it is None."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115 - for the whole run


def _build_root(build_options: BuildOptions, *, first: str) -> TyperGroup:
    # The root's options stand before the command's name, those for completion and help included.
    with_help = first in _HELP_OPTIONS or "-completion" in first or _is_completing()
    own = replace(build_options, with_help=with_help)
    app = typer.Typer(**own.typer_settings(completion=True))
    app.callback(
        invoke_without_command=True,
        add_help_option=own.with_help,
        epilog="Example: codewalk server add devbox:4096 --label Devbox",
    )(_codewalk)
    root = typer.main.get_command(app)
    if not isinstance(root, TyperGroup):
        raise TypeError("Typer built no group of commands")
    root.commands = _LazyCommands(build_options)
    return root


def _codewalk(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Manage several OpenCode servers: store them, check them, switch between them.

    `codewalk up` starts the app in the browser; the other commands work with or without it.
    """
    if version:
        print_line(f"codewalk {__version__}")
        raise typer.Exit
    require_subcommand(context)


def _choose_build_options(options: Sequence[str]) -> BuildOptions:
    wants_help = not _HELP_OPTIONS.isdisjoint(options)
    # Rich is for people; where a pipe reads the help text, loading it would only take time.
    markup: Literal["rich"] | None = "rich" if wants_help and is_terminal(sys.stdout) else None
    return BuildOptions(markup=markup, with_help=wants_help or _is_completing())


def _is_completing() -> bool:
    return f"_{_PROGRAM.upper()}_COMPLETE" in os.environ


def _exit(status: int) -> NoReturn:
    """End the process without Python's own clean-up.

    Everything is closed and on disk by now. An ordinary exit also frees every object, which takes
    75 ms of the 400 that `server list` may take, and waits for threads that are in a system call.
    (Switching the garbage collector off, by comparison, saves nothing that can be measured.)
    """
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    logging.shutdown()
    os._exit(status)
