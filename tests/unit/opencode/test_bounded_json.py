"""JSON from a hostile server: what is taken, what is refused, and on which side of the limit."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codewalk.opencode.bounded_json import MAX_INLINE_BYTES, MAX_VALUES, decode

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def large(body: bytes) -> bytes:
    """The same document, past the size that is parsed on the event loop."""
    return body + b" " * MAX_INLINE_BYTES


@given(value=JSON)
async def test_what_was_encoded_comes_back_small_or_large(value: Any) -> None:
    body = json.dumps(value, ensure_ascii=False).encode()
    assert await decode(body) == value
    assert await decode(large(body)) == value


@pytest.mark.parametrize("size", ["small", "large"])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[1,",
        b"{}{}",
        b"NaN",
        b"[Infinity]",
        b"<!doctype html>",
        b'"\xff"',
        b'"\xed\xa0\x80"',
        b"\xef\xbb\xbf{}",
        b"[" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
    ],
    ids=lambda body: body[:12].decode("latin-1") + f" ({len(body)})",
)
async def test_what_is_no_json_in_utf8_of_sane_depth_is_refused(body: bytes, size: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  whatever the parser says of it
        await decode(body if size == "small" else large(body))


@pytest.mark.parametrize("unit", [b"{}", b"[]", b"1", b'{"a":1}'])
async def test_too_many_values_are_refused_before_they_fill_the_memory(unit: bytes) -> None:
    body = b"[" + b",".join([unit] * (MAX_VALUES + 1)) + b"]"
    with pytest.raises(ValueError, match="too many values"):
        await decode(body)


@pytest.mark.parametrize("size", ["small", "large"])
@pytest.mark.parametrize(
    ("body", "value"),
    [
        (rb'"cut \ud83d"', "cut �"),
        (rb'"\ude00 cut"', "� cut"),
        (rb'"\uD83D\uDE00"', "😀"),
        (rb'"\ud83d\ud83d\ude00"', "�😀"),
        (rb'["\\ud83d", "\ud83d"]', ["\\ud83d", "�"]),
    ],
)
async def test_half_an_emoji_spoils_only_itself(body: bytes, value: Any, size: str) -> None:
    # JavaScript cuts strings between the halves of a character, as in a session's title.
    assert await decode(body if size == "small" else large(body)) == value
