"""What a command prints can't be anything but text."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codewalk.cli.output import json_text, sanitize

# Half characters too: a file name or an argument may hold them.
ANYTHING = st.text(st.characters(), max_size=50)


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("\x1b[2J\x1b]0;gone\x07", "\ufffd[2J\ufffd]0;gone\ufffd"),
        ("\x9b31mred", "\ufffd31mred"),
        ("abc\u202etxt.exe", "abc\ufffdtxt.exe"),
        ("one\r\ntwo\tthree", "one  two three"),
        ("zero\u200bwidth\ufeff", "zero\ufffdwidth\ufffd"),
        ("half \ud83d", "half \ufffd"),
    ],
)
def test_what_a_terminal_would_obey_is_replaced(hostile: str, shown: str) -> None:
    assert sanitize(hostile) == shown


@pytest.mark.parametrize(
    "text", ["Dev box", "Größe", "開発", "می‌خواهم", "👩‍💻 at work", "[bold]x[/bold]"]
)
def test_words_of_any_script_stay_as_they_are(text: str) -> None:
    assert sanitize(text) == text


@given(ANYTHING)
def test_sanitized_text_is_one_line_of_visible_characters(text: str) -> None:
    shown = sanitize(text)
    assert all(c.isprintable() or c in "\u200c\u200d" for c in shown)
    assert sanitize(shown) == shown


@given(
    st.recursive(ANYTHING | st.none() | st.integers(), lambda inner: st.lists(inner, max_size=4))
)
def test_json_means_the_same_and_hides_nothing(document: object) -> None:
    text = json_text(document)
    assert json.loads(text) == json.loads(json.dumps(document))
    text.encode()
    assert not set(text) & set("\x1b\x7f\x9b\u202e\u2066\ufeff\u2028")
