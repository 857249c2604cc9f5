"""Output of commands: one JSON document for programs, text for people.

Titles, labels and details come from servers and files. Whatever they contain is printed as plain
text: it can't move the cursor, change colours or reverse the writing direction.
"""

import json
import os
import re
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TextIO

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

DROPPABLE_COLUMNS: Final = ("CHECKED", "LATENCY", "VERSION")
"""Columns of a table that a narrow terminal leaves out, the first one first."""

_JOINERS: Final = "\u200c\u200d"
"""Zero-width characters that are part of words in several scripts, and of emoji."""

_UNSAFE_IN_JSON: Final = re.compile(
    "[\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff"
    "\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
"""Characters that JSON allows unescaped in a string, and a terminal may obey or hide."""

_UNLIMITED_WIDTH: Final = 100_000
"""A width in characters that is greater than any table's."""


def sanitize(text: str) -> str:
    r"""Return `text` on one line, with `�` for each character that a terminal would obey.

    >>> sanitize("a\x1b[31mb\u202ec\nd")
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
    """Return `document` as JSON in which everything that a terminal may obey is escaped."""
    text = json.dumps(document, indent=2, ensure_ascii=False)
    return _UNSAFE_IN_JSON.sub(lambda match: json.dumps(match.group())[1:-1], text)


def print_json(document: Any) -> None:
    """Print the command's one JSON document on stdout, in UTF-8 in any locale."""
    sys.stdout.flush()
    sys.stdout.buffer.write(json_text(document).encode() + b"\n")
    sys.stdout.buffer.flush()


def print_line(text: str) -> None:
    """Print one line of the command's result on stdout."""
    print(sanitize(text), flush=True)


def print_message(text: str) -> None:
    """Print one line on stderr, for what isn't part of the command's result."""
    # On a terminal the last line may hold a spinner, which this line replaces.
    start = "\r\x1b[K" if is_terminal(sys.stderr) else ""
    print(f"{start}{sanitize(text)}", file=sys.stderr, flush=True)


def print_renderable(build: "Callable[[], RenderableType]") -> None:
    """Print a table or text of Rich's on stdout; into a pipe without colour or padding."""
    console = make_console()
    if console.is_terminal:
        console.print(fit_to_width(build(), console))
        return
    with console.capture() as capture:
        console.print(build())
    print("\n".join(line.rstrip() for line in capture.get().splitlines()), flush=True)


def print_result(
    document: Any, *, as_json: bool, text: "Callable[[], RenderableType] | str"
) -> None:
    """Print the result of a command.

    Args:
        document: The result as JSON values.
        as_json: Whether to print `document` and nothing else.
        text: The result for people: a line, or a function that builds a table. It is called only
            where it is used, since building one loads Rich.
    """
    if as_json:
        print_json(document)
    elif isinstance(text, str):
        print_line(text)
    else:
        print_renderable(text)


def fit_to_width(renderable: "RenderableType", console: "Console") -> "RenderableType":
    """Return a table without `DROPPABLE_COLUMNS`, as far as the terminal is too narrow for it.

    Otherwise Rich would shorten every column, and a URL without its port or half an id is useless.
    """
    from rich.measure import Measurement
    from rich.table import Table

    if not isinstance(renderable, Table):
        return renderable
    for header in DROPPABLE_COLUMNS:
        options = console.options.update(max_width=_UNLIMITED_WIDTH)
        if Measurement.get(console, options, renderable).maximum <= console.width:
            break
        renderable.columns = [column for column in renderable.columns if column.header != header]
    return renderable


def make_console() -> "Console":
    """Return Rich's console on stdout, which respects `NO_COLOR`."""
    # Imported here: `--json` and `--help` don't need it, and it would slow every command down.
    from rich.console import Console

    terminal = is_terminal(sys.stdout)
    return Console(
        file=sys.stdout,
        width=None if terminal else _UNLIMITED_WIDTH,
        force_terminal=terminal,
        markup=False,
        emoji=False,
        highlight=False,
        soft_wrap=not terminal,
    )


def is_terminal(stream: TextIO) -> bool:
    """Return whether `stream` is a terminal that can move its cursor."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"
