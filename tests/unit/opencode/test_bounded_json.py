"""JSON from a hostile server: what is accepted and refused, on both sides of each limit."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codewalk.opencode.bounded_json import (
    MAX_DEPTH,
    MAX_INLINE_BYTES,
    MAX_VALUES,
    decode,
    is_deeper,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def large(body: bytes) -> bytes:
    """The same document, past the size that is parsed on the event loop."""
    return body + b" " * MAX_INLINE_BYTES


@given(value=JSON)
async def test_an_encoded_value_is_decoded_as_a_small_and_as_a_large_document(value: Any) -> None:
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
async def test_invalid_json_and_invalid_utf8_are_refused(body: bytes, size: str) -> None:
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
async def test_half_an_emoji_becomes_one_replacement_character(
    body: bytes, value: Any, size: str
) -> None:
    # JavaScript cuts strings between the halves of a character, as in a session's title.
    assert await decode(body if size == "small" else large(body)) == value


def nested(depth: int, kind: str) -> bytes:
    """A document of this depth."""
    if kind == "arrays":
        return b"[" * depth + b"]" * depth
    if kind == "objects":
        return b'{"a":' * depth + b"1" + b"}" * depth
    # Closing brackets that are none: in strings, after escaped quotes, before backslashes.
    innermost = b"[]" if depth % 2 else b"0"
    return rb'["]}",{"\"]}\\":' * (depth // 2) + innermost + b"}]" * (depth // 2)


@pytest.mark.parametrize("size", ["small", "large"])
@pytest.mark.parametrize("kind", ["arrays", "objects", "strings"])
async def test_the_bound_on_depth_is_the_same_for_every_size_and_python(
    kind: str, size: str
) -> None:
    async def read(depth: int) -> Any:
        body = nested(depth, kind)
        return await decode(body if size == "small" else large(body))

    assert await read(MAX_DEPTH) == json.loads(nested(MAX_DEPTH, kind))
    for depth in (MAX_DEPTH + 1, MAX_DEPTH + 2, 1_000, 20_000):
        with pytest.raises(ValueError, match="nested too deep"):
            await read(depth)


async def test_brackets_in_a_string_dont_count_as_depth() -> None:
    text = "[{" * MAX_DEPTH + '\\"' + "[" * MAX_DEPTH
    assert await decode(json.dumps([text]).encode()) == [text]


def depth_of(value: Any) -> int:
    match value:
        case list():
            return 1 + max(map(depth_of, value), default=0)
        case dict():
            return 1 + max(map(depth_of, value.values()), default=0)
        case _:
            return 0


TEXTS = st.text(st.sampled_from('[]{}"\\aü,: '), max_size=6)
CONTAINERS = st.recursive(
    TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=20,
)


@given(value=CONTAINERS, chunk_bytes=st.integers(1, 9), indent=st.none() | st.just(1))
def test_the_depth_is_counted_right_wherever_a_document_is_cut(
    value: Any, chunk_bytes: int, indent: int | None
) -> None:
    body = json.dumps(value, indent=indent, ensure_ascii=False).encode()
    depth = depth_of(value)
    assert not is_deeper(body, depth, chunk_bytes=chunk_bytes)
    if depth:
        assert is_deeper(body, depth - 1, chunk_bytes=chunk_bytes)
