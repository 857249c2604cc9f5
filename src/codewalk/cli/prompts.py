"""What a command asks a person, or reads from standard input."""

import sys
from getpass import getpass
from typing import Final

import typer

from codewalk.cli.output import sanitize
from codewalk.errors import InvalidCredentials
from codewalk.secret import Secret

_LIMIT: Final = 65_536


def read_password() -> Secret:
    """One line of standard input without its newline; a terminal is asked, and shows nothing.

    Raises `InvalidCredentials` for an empty or unreadable one.
    """
    if sys.stdin.isatty():
        text = getpass("Password: ")
    else:
        line = sys.stdin.buffer.readline(_LIMIT)
        try:
            text = line.removesuffix(b"\n").removesuffix(b"\r").decode()
        except UnicodeDecodeError:
            # Without the cause, which quotes what was read.
            raise InvalidCredentials("The password on standard input isn't UTF-8.") from None
    if not text:
        raise InvalidCredentials(
            "No password came on standard input; "
            "give it as one line, as in `printf '%s\\n' \"$PASSWORD\" | codewalk …`."
        )
    return Secret(text)


def is_interactive() -> bool:
    """Whether a person is there to answer."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def confirm(question: str) -> bool:
    """Whether a person says yes. Raises `typer.Abort` where they say nothing."""
    return typer.confirm(sanitize(question), err=True)
