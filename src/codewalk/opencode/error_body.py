"""The words of an error response's body, in the shapes of OpenCode's releases."""

import re
from collections.abc import Iterator
from typing import Any, Final

from codewalk.opencode.bounded_json import decode_small
from codewalk.opencode.fields import parse_text

MAX_BODY: Final = 64 * 1024
"""Bytes of a body that is read; that of a real error has less than a tenth."""

MAX_WORDS: Final = 300
"""Characters that are returned."""

MAX_ISSUES: Final = 3
"""Issues of an invalid configuration that are named."""

_JSON_INPUT: Final = "--- JSONC Input ---"
_JSON_ERROR: Final = re.compile(r"^\w{1,60} at line \d+, column \d+$", re.ASCII | re.MULTILINE)
"""One error of a configuration that isn't JSON; the rest repeats the file, with its secrets."""


def parse_error_words(body: bytes) -> str:
    """Return what an error response says, on one line and without its last full stop.

    A file, the place in it and the reference into the server's log are included:
    `Unrecognized key: providers (in /home/dev/.config/opencode/opencode.jsonc)`.

    Returns:
        The empty text for a body that isn't JSON of a known shape.
    """
    if len(body) > MAX_BODY:
        return ""
    try:
        error = decode_small(body)
    except ValueError:
        return ""
    if not isinstance(error, dict):
        return ""
    data = error.get("data")
    data = data if isinstance(data, dict) else {}
    words = _message(data) or _message(error) or _to_line(error.get("name"))
    if not words:
        return ""
    places = (("in ", data.get("path")), ("", data.get("ref")))
    notes = [f"({prefix}{text})" for prefix, value in places if (text := _to_line(value))]
    return " ".join([words.removesuffix("."), *notes])


def _message(error: dict[str, Any]) -> str:
    issues = error.get("issues") or error.get("errors") or error.get("error")
    if isinstance(issues, list):
        named = [words for issue in issues[:MAX_ISSUES] if (words := _issue(issue))]
        if named:
            return "; ".join(named)
    return _text(error.get("message")) or _text(issues)


def _text(value: Any) -> str:
    if isinstance(value, str) and _JSON_INPUT in value:
        return _to_line("; ".join(_JSON_ERROR.findall(value)[:MAX_ISSUES]))
    return _to_line(value)


def _issue(issue: Any) -> str:
    if not isinstance(issue, dict):
        return ""
    path = issue.get("path")
    place = ".".join(_keys(path)) if isinstance(path, list) else ""
    words = _to_line(issue.get("message"))
    return f"{words} at {_to_line(place)}" if words and place else words


def _keys(path: list[Any]) -> Iterator[str]:
    return (str(key) for key in path[:10] if isinstance(key, str | int))


def _to_line(value: Any) -> str:
    text = parse_text(value, MAX_WORDS)
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
