"""The event parser against the specification, written down plainly."""

import re
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from codewalk.opencode.sse import EventParser

LIMIT = 40

PIECES = st.sampled_from(
    [
        *(b"\n", b"\r", b"\r\n", b"\n\n", b"data", b"data:", b"data: ", b":", b" ", b": ping"),
        *(b"id: 1", b"event: x", b"\xef\xbb\xbf", "ü🙂".encode(), b"\xf0\x9f", b'{"a":1}'),
        *(b"datax: no", b"\0", b"long" * 12),
    ]
)
STREAMS = st.lists(PIECES | st.binary(max_size=8), max_size=40).map(b"".join)


def reference(stream: bytes, limit: int) -> tuple[list[bytes], int]:
    """All events of a whole stream, and how many were too long."""
    lines = re.split(rb"\r\n|\n|\r", stream)[:-1]
    events: list[bytes] = []
    dropped, data, too_long = 0, b"", False
    for number, line in enumerate(lines):
        too_long = too_long or len(line) > limit
        text = line.removeprefix(b"\xef\xbb\xbf") if number == 0 else line
        if not text:
            dropped += too_long
            if data and not too_long:
                events.append(data[:-1])
            data, too_long = b"", False
        elif re.fullmatch(rb"data(:.*)?", text, re.DOTALL):
            data += text[5:].removeprefix(b" ") + b"\n"
            too_long = too_long or len(data) > limit
    return events, dropped


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    bounds = sorted({0, len(stream), *(place % (len(stream) + 1) for place in places)})
    return [stream[a:b] for a, b in pairwise(bounds)]


@given(STREAMS, st.lists(st.integers(min_value=0), max_size=20))
def test_events_are_those_of_the_specification_wherever_the_stream_is_cut(
    stream: bytes, places: list[int]
) -> None:
    parser = EventParser(LIMIT)
    events = [event for chunk in cut(stream, places) for event in parser.feed(chunk)]
    assert (events, parser.dropped) == reference(stream, LIMIT)


@given(STREAMS)
def test_a_stream_fed_byte_by_byte_gives_the_same_events(stream: bytes) -> None:
    whole, single = EventParser(LIMIT), EventParser(LIMIT)
    events = [event for byte in stream for event in single.feed(bytes([byte]))]
    assert events == whole.feed(stream)
    assert single.dropped == whole.dropped


def test_data_lines_are_joined_and_comments_and_other_fields_ignored() -> None:
    stream = b"\xef\xbb\xbf: hello\r\nevent: x\r\ndata: one\r\ndata:two\r\nid: 7\r\n\r\ndata\n\n"
    assert EventParser().feed(stream) == [b"one\ntwo", b""]


def test_an_event_without_its_blank_line_isnt_one() -> None:
    assert EventParser().feed(b"data: cut off\n") == []


def test_a_character_cut_in_two_is_whole_again() -> None:
    parser = EventParser()
    head, tail = b"data: \xf0\x9f", b"\x99\x82\n\n"
    assert parser.feed(head) + parser.feed(tail) == ["🙂".encode()]


def test_an_overlong_event_is_dropped_and_the_next_one_read() -> None:
    parser = EventParser(LIMIT)
    events = [event for _ in range(100) for event in parser.feed(b"x" * 30)]
    events += parser.feed(b"\ndata: still part of it\n\ndata: next\n\n")
    assert events == [b"next"]
    assert parser.dropped == 1


def test_data_of_many_short_lines_is_bounded_too() -> None:
    parser = EventParser(LIMIT)
    assert parser.feed(b"data: 0123456789\n" * 10 + b"\n") == []
    assert parser.dropped == 1
