"""Passwords and confirmations, from a person or from standard input."""

import sys
from getpass import getpass
from typing import Final

import typer

from codewalk.cli.output import sanitize
from codewalk.errors import InvalidCredentials
from codewalk.secret import Secret

_MAX_LINE_BYTES: Final = 65_536


def read_password() -> Secret:
    """Read a password: one line of standard input, or a prompt without echo on a terminal.

    Raises:
        InvalidCredentials: It is empty or isn't UTF-8.
    """
    if sys.stdin.isatty():
        text = getpass("Password: ")
    else:
        line = sys.stdin.buffer.readline(_MAX_LINE_BYTES)
        try:
            text = line.removesuffix(b"\n").removesuffix(b"\r").decode()
        except UnicodeDecodeError:
            # Not `from exc`: its text quotes what was read.
            raise InvalidCredentials("The password on standard input isn't UTF-8.") from None
    if not text:
        raise InvalidCredentials(
            "There is no password on standard input; "
            "give it as one line, as in `printf '%s\\n' \"$PASSWORD\" | codewalk …`."
        )
    return Secret(text)


def is_interactive() -> bool:
    """Return whether a person can be asked: standard input and stderr are terminals."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def confirm(question: str) -> bool:
    """Ask a person a yes-or-no question and return whether the answer is yes.

    Raises:
        typer.Abort: There was no answer.
    """
    return typer.confirm(sanitize(question), err=True)
