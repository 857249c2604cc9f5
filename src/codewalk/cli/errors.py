"""From an error to what is said of it and to the exit status: here and nowhere else.

0 done, 1 refused or failed, 2 wrong usage, 130 stopped by Ctrl-C.
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
    """The command can't be given like this; the message says how it can."""

    code: ClassVar[str] = "usage"


class Declined(CodeWalkError):
    """A person was asked and didn't say yes."""

    code: ClassVar[str] = "aborted"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Verdict:
    status: int
    code: str = ""
    message: str = ""


def report_error(error: BaseException, *, as_json: bool, settings: Settings | None = None) -> int:
    """Says on stderr what went wrong, in a line or as JSON; returns the exit status.

    The traceback of an error that nobody foresaw goes to the log file below `settings`, which are
    the environment's where they aren't given.
    """
    verdict = _judge(_cause(error), settings)
    if verdict.message and as_json:
        # Only ASCII: it is safe on any terminal, and half a character in an argument is no trouble.
        error_json = {"error": {"code": verdict.code, "message": verdict.message}}
        print(json.dumps(error_json), file=sys.stderr, flush=True)
    elif verdict.message:
        print_message(f"error: {verdict.message}")
    return verdict.status


def _judge(error: BaseException, settings: Settings | None) -> _Verdict:
    match error:
        case UsageMistake():
            return _Verdict(status=EXIT_USAGE, code=error.code, message=error.message)
        case CodeWalkError():
            return _Verdict(status=EXIT_FAILED, code=error.code, message=error.message)
        case typer.TyperException():
            return _Verdict(status=EXIT_USAGE, code=UsageMistake.code, message=_usage(error))
        case KeyboardInterrupt():
            return _Verdict(status=EXIT_INTERRUPTED)
        case BrokenPipeError():
            return _Verdict(status=EXIT_FAILED)
        case OSError(errno=errno.ENOSPC):
            message = "The output can't be written: no space is left where it goes to."
            return _Verdict(status=EXIT_FAILED, code=StorageError.code, message=message)
        case typer.Abort() | EOFError():
            return _Verdict(
                status=EXIT_FAILED, code=Declined.code, message="Stopped without an answer."
            )
        case _:
            message = _unexpected(error, settings)
            return _Verdict(status=EXIT_FAILED, code=CodeWalkError.code, message=message)


def _cause(error: BaseException) -> BaseException:
    """What to tell of a group: an error made for a person, else its first one."""
    leaves = list(_leaves(error))
    told = (leaf for leaf in leaves if isinstance(leaf, CodeWalkError))
    return next(told, leaves[0])


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
    return f"{message}{end} `{command} --help` shows how."


def _unexpected(error: BaseException, settings: Settings | None) -> str:
    name = type(error).__name__
    path = write_traceback(error, settings)
    where = f"; {path} has the details" if path else ""
    return f"CodeWalk failed in a way it shouldn't ({name}){where}."
