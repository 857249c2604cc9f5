"""JSON from a server that may be hostile: bounded in depth and in number of values.

Size alone is no bound: 64 MiB of `{},{},…` is two gigabytes of dictionaries. And a thread alone
doesn't keep the event loop free, since a C parser holds the interpreter for the whole document
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
"""Most values in one document: several times the largest real answer, some 200 MB in memory."""

# An escaped backslash, a proper pair of surrogates, or half a pair, which alone is group 1.
_SURROGATES: Final = re.compile(
    rb"\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
)


async def decode(body: bytes) -> Any:
    """The value that `body` holds; half a character (a cut emoji) becomes U+FFFD.

    Raises `ValueError` where it isn't JSON in UTF-8, is nested too deep, or has too many values.
    """
    if len(body) <= MAX_INLINE_BYTES:
        return _small(body)
    return await asyncio.to_thread(_large, body)


def _small(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        if not _may_be_cut(body):
            raise
        return orjson.loads(_mended(body))


def _large(body: bytes) -> Any:
    # Every value but the first of its container has a comma before it.
    if sum(map(body.count, (b",", b"[", b"{"))) > MAX_VALUES:
        raise ValueError("too many values")
    text = (_mended(body) if _may_be_cut(body) else body).decode()
    try:
        return json.loads(text, object_hook=_let_others_run, parse_constant=_refuse)
    except RecursionError as exc:
        raise ValueError("nested too deep") from exc


def _let_others_run(value: dict[str, Any]) -> dict[str, Any]:
    return value


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


def _may_be_cut(body: bytes) -> bool:
    return b"\\ud" in body or b"\\uD" in body


def _mended(body: bytes) -> bytes:
    return _SURROGATES.sub(lambda found: rb"\ufffd" if found[1] else found[0], body)
