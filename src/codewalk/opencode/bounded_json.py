"""JSON from a server that may be hostile: bounded in depth and in number of values.

Size alone is no bound: 64 MiB of `{},{},…` is two gigabytes of dictionaries. And a thread alone
doesn't keep the event loop free, since a C parser holds the interpreter lock for the whole document
(measured: 0.16 s for 5 MB, 5 s for 64 MB). So small bodies go through orjson at once, large ones
through the standard library's parser with a hook in Python, which takes about the same time but
lets the event loop in after each object.
"""

import asyncio
import json
import re
from typing import Any, Final, NoReturn

import orjson

MAX_INLINE_BYTES: Final = 256 * 2**10
"""Bytes up to which JSON is parsed on the event loop."""

MAX_VALUES: Final = 2**21
"""Values in one document: several times the largest real answer, some 200 MB in memory."""

MAX_DEPTH: Final = 500
"""Arrays and objects within each other, half of what every supported Python parses."""

# An escaped backslash, a proper pair of surrogates, or half a pair, which alone is group 1.
_SURROGATES: Final = re.compile(
    rb"\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
)

_CHUNK_BYTES: Final = 2**16
_BRACKETS: Final = bytes.maketrans(b"{}", b"[]")
_NEITHER_BRACKET_NOR_QUOTE: Final = bytes(set(range(256)) - set(b'[]{}"'))
_STRING: Final = re.compile(rb'"[^"]*"?')
_BLOCK: Final = 256


async def decode(body: bytes) -> Any:
    """Return the value that `body` holds; half a character (a cut emoji) becomes U+FFFD.

    Raises:
        ValueError: It isn't JSON in UTF-8, is nested deeper than `MAX_DEPTH`, or has more than
            `MAX_VALUES` values.
    """
    if len(body) <= MAX_INLINE_BYTES:
        return decode_small(body)
    return await asyncio.to_thread(_decode_large, body)


def is_deeper(body: bytes, limit: int, *, chunk_bytes: int = _CHUNK_BYTES) -> bool:
    """Return whether a JSON document is nested deeper than `limit`, without parsing it.

    Parsers have limits of their own, but those differ: by release of Python, and by thread. The
    answer for what is no JSON is any: the parser refuses that. For 5 MB this takes 3 ms, or 14 ms
    where every tenth character is escaped; parsing takes 40 to 60 ms, or 11 ms for long texts.
    """
    if body.count(b"[") + body.count(b"{") <= limit:
        return False
    depth = start = 0
    in_string = False
    while start < len(body):
        end = start + chunk_bytes
        chunk = body[start:end]
        if b"\\" in chunk:
            if (len(chunk) - len(chunk.rstrip(b"\\"))) % 2:
                # Not between a backslash and what it escapes.
                chunk += body[end : end + 1]
                end += 1
            chunk = chunk.replace(b"\\\\", b"").replace(b'\\"', b"")
        brackets, in_string = _brackets_outside_strings(chunk, in_string)
        for block in range(0, len(brackets), _BLOCK):
            depth, deepest = _follow(brackets[block : block + _BLOCK], depth, limit)
            if deepest > limit:
                return True
        start = end
    return False


def _brackets_outside_strings(chunk: bytes, in_string: bool) -> tuple[bytes, bool]:
    """The brackets of `chunk`, all of them square, and whether it ends within a string."""
    reduced = chunk.translate(_BRACKETS, _NEITHER_BRACKET_NOR_QUOTE)
    if in_string:
        reduced = b'"' + reduced
    # Most strings have no bracket in them, and are gone now. Where this joins the end of one
    # string with the beginning of the next, it changes nothing outside of them.
    reduced = reduced.replace(b'""', b"")
    quotes = reduced.count(b'"')
    return _STRING.sub(b"", reduced) if quotes else reduced, quotes % 2 == 1


def _follow(brackets: bytes, depth: int, limit: int) -> tuple[int, int]:
    """The depth after these brackets, and the greatest on the way where it is above `limit`."""
    opened = brackets.count(b"[")
    if depth + opened <= limit:
        return depth + 2 * opened - len(brackets), 0
    deepest = depth
    for bracket in brackets:
        depth += 1 if bracket == ord("[") else -1
        deepest = max(depth, deepest)
    return depth, deepest


def decode_small(body: bytes) -> Any:
    """Return the value that `body` holds, as `decode` does; for at most `MAX_INLINE_BYTES`."""
    _refuse_deep(body)
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        if not _may_be_cut(body):
            raise
        return orjson.loads(_replace_half_characters(body))


def _decode_large(body: bytes) -> Any:
    # Every value but the first of its container has a comma before it.
    if sum(map(body.count, (b",", b"[", b"{"))) > MAX_VALUES:
        raise ValueError("too many values")
    _refuse_deep(body)
    text = (_replace_half_characters(body) if _may_be_cut(body) else body).decode()
    return json.loads(text, object_hook=_let_others_run, parse_constant=_refuse_constant)


def _refuse_deep(body: bytes) -> None:
    if is_deeper(body, MAX_DEPTH):
        raise ValueError("nested too deep")


def _let_others_run(value: dict[str, Any]) -> dict[str, Any]:
    return value


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


def _may_be_cut(body: bytes) -> bool:
    return b"\\ud" in body or b"\\uD" in body


def _replace_half_characters(body: bytes) -> bytes:
    return _SURROGATES.sub(lambda match: rb"\ufffd" if match[1] else match[0], body)
