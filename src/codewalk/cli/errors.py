"""Translates each error to a message and an exit status: here and nowhere else.

0 done, 1 refused or failed, 2 wrong usage, 130 interrupted with Ctrl-C.
"""

import errno
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Final

import typer

from codewalk.cli.log_file import write_traceback
from codewalk.cli.output import print_message
from codewalk.errors import CodeWalkError, StorageError
from codewalk.settings import Settings

EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
EXIT_INTERRUPTED: Final = 130


class UsageMistake(CodeWalkError):
    """The command line is wrong by its form; the message says what would be right."""

    code: ClassVar[str] = "usage"


class Declined(CodeWalkError):
    """A person was asked for confirmation and didn't give it."""

    code: ClassVar[str] = "aborted"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Report:
    status: int
    code: str = ""
    message: str = ""


def report_error(error: BaseException, *, as_json: bool, settings: Settings | None = None) -> int:
    """Print an error on stderr, as a line or as JSON, and return the exit status.

    Args:
        error: What the command raised.
        as_json: Whether to print JSON.
        settings: Names the data folder, where the traceback of an unexpected error is logged; by
            default the environment does.
    """
    report = _describe(_select(error), settings)
    if report.message and as_json:
        # ASCII alone is safe on any terminal, and copes with half a character in an argument.
        error_json = {"error": {"code": report.code, "message": report.message}}
        print(json.dumps(error_json), file=sys.stderr, flush=True)
    elif report.message:
        print_message(f"error: {report.message}")
    return report.status


def _describe(error: BaseException, settings: Settings | None) -> _Report:
    match error:
        case UsageMistake():
            return _Report(status=EXIT_USAGE, code=error.code, message=error.message)
        case CodeWalkError():
            return _Report(status=EXIT_FAILED, code=error.code, message=error.message)
        case typer.TyperException():
            return _Report(status=EXIT_USAGE, code=UsageMistake.code, message=_usage(error))
        case KeyboardInterrupt():
            return _Report(status=EXIT_INTERRUPTED)
        case BrokenPipeError():
            return _Report(status=EXIT_FAILED)
        case OSError(errno=errno.ENOSPC):
            message = "The output can't be written: no space is left on the device."
            return _Report(status=EXIT_FAILED, code=StorageError.code, message=message)
        case typer.Abort() | EOFError():
            message = "The question was not answered."
            return _Report(status=EXIT_FAILED, code=Declined.code, message=message)
        case _:
            message = _unexpected(error, settings)
            return _Report(status=EXIT_FAILED, code="internal", message=message)


def _select(error: BaseException) -> BaseException:
    """Return the error of a group to report: one meant for people, else its first one."""
    leaves = list(_leaves(error))
    return next((leaf for leaf in leaves if isinstance(leaf, CodeWalkError)), leaves[0])


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


def _usage(error: typer.TyperException) -> str:
    message = " ".join(error.format_message().split()).replace("?.", "?")
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "codewalk"
    end = "" if message.endswith((".", "?", "!")) else "."
    return f"{message}{end} See `{command} --help`."


def _unexpected(error: BaseException, settings: Settings | None) -> str:
    name = type(error).__name__
    path = write_traceback(error, settings)
    where = f"; see {path} for details" if path else ""
    return f"CodeWalk failed unexpectedly ({name}){where}."
