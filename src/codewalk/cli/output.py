"""What a command says: one JSON document for programs, text for people.

Titles, labels and details come from servers and files. Whatever they hold, it is text here: it
can't move the cursor, change colours or turn the writing direction.
"""

import json
import os
import re
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TextIO

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

_JOINERS: Final = "\u200c\u200d"
"""Invisible, yet a part of words in several scripts and of emoji."""

_HIDDEN: Final = re.compile(
    "[\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff"
    "\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
"""What JSON allows in a string as it is, and a terminal may obey or hide."""

DROPPABLE_COLUMNS: Final = ("CHECKED", "LATENCY", "VERSION")
"""The columns of the servers' table that go first where a terminal is narrow."""

_WIDE: Final = 100_000
"""Characters; wider than any table."""


def sanitize(text: str) -> str:
    """`text` on one line and without anything that a terminal would obey instead of show.

    >>> sanitize("a\\x1b[31mb\\u202ec\\nd")
    'a�[31mb�c d'
    """
    if text.isprintable():
        return text
    return "".join(_sanitize(character) for character in text)


def _sanitize(character: str) -> str:
    if character.isprintable() or character in _JOINERS:
        return character
    return " " if character.isspace() else "\ufffd"


def json_text(document: Any) -> str:
    """`document` as JSON that is safe to show on a terminal, and the same to a program."""
    text = json.dumps(document, indent=2, ensure_ascii=False)
    return _HIDDEN.sub(lambda match: json.dumps(match.group())[1:-1], text)


def print_json(document: Any) -> None:
    """The one JSON document of a command, on stdout, in UTF-8 whatever the locale says."""
    sys.stdout.flush()
    sys.stdout.buffer.write(json_text(document).encode() + b"\n")
    sys.stdout.buffer.flush()


def print_line(text: str) -> None:
    """One line on stdout."""
    print(sanitize(text), flush=True)


def print_message(text: str) -> None:
    """One line on stderr, for what isn't the command's answer."""
    # On a terminal the last line may hold a sign of life, which this one takes the place of.
    start = "\r\x1b[K" if is_terminal(sys.stderr) else ""
    print(f"{start}{sanitize(text)}", file=sys.stderr, flush=True)


def print_renderable(build: "Callable[[], RenderableType]") -> None:
    """Something of Rich's on stdout; without colour, borders and padding where that is piped."""
    console = make_console()
    if console.is_terminal:
        console.print(fit_to_width(build(), console))
        return
    with console.capture() as capture:
        console.print(build())
    print("\n".join(line.rstrip() for line in capture.get().splitlines()), flush=True)


def fit_to_width(shown: "RenderableType", console: "Console") -> "RenderableType":
    """A table without the columns that matter least, where the terminal is too narrow for all.

    An address without its port, or half an id, is of no use to anybody.
    """
    from rich.measure import Measurement
    from rich.table import Table

    if not isinstance(shown, Table):
        return shown
    for header in DROPPABLE_COLUMNS:
        natural = Measurement.get(console, console.options.update(max_width=_WIDE), shown)
        if natural.maximum <= console.width:
            break
        shown.columns = [column for column in shown.columns if column.header != header]
    return shown


def make_console() -> "Console":
    """Rich's console on stdout. It respects `NO_COLOR`."""
    # Imported here: `--json` and `--help` have no need of it, and start-up time is felt.
    from rich.console import Console

    terminal = is_terminal(sys.stdout)
    return Console(
        file=sys.stdout,
        width=None if terminal else _WIDE,
        force_terminal=terminal,
        markup=False,
        emoji=False,
        highlight=False,
        soft_wrap=not terminal,
    )


def is_terminal(stream: TextIO) -> bool:
    """Whether a person looks at this stream, on something that can move its cursor."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def print_result(
    document: Any, *, as_json: bool, text: "Callable[[], RenderableType] | str"
) -> None:
    """A command's answer: the document for a program, or a line or more for people."""
    if as_json:
        print_json(document)
    elif isinstance(text, str):
        print_line(text)
    else:
        print_renderable(text)
