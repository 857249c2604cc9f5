"""Output of commands is plain text, whatever it contains."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codewalk.cli.output import json_text, sanitize

# Surrogates included: a file name or an argument may contain them.
ANY_TEXT = st.text(st.characters(), max_size=50)


@pytest.mark.parametrize(
    ("hostile", "sanitized"),
    [
        ("\x1b[2J\x1b]0;gone\x07", "\ufffd[2J\ufffd]0;gone\ufffd"),
        ("\x9b31mred", "\ufffd31mred"),
        ("abc\u202etxt.exe", "abc\ufffdtxt.exe"),
        ("one\r\ntwo\tthree", "one  two three"),
        ("zero\u200bwidth\ufeff", "zero\ufffdwidth\ufffd"),
        ("half \ud83d", "half \ufffd"),
    ],
)
def test_characters_that_a_terminal_would_obey_are_replaced(hostile: str, sanitized: str) -> None:
    assert sanitize(hostile) == sanitized


@pytest.mark.parametrize(
    "text", ["Dev box", "Größe", "開発", "می‌خواهم", "👩‍💻 at work", "[bold]x[/bold]"]
)
def test_text_in_any_script_is_unchanged(text: str) -> None:
    assert sanitize(text) == text


@given(ANY_TEXT)
def test_sanitized_text_is_one_line_of_visible_characters(text: str) -> None:
    sanitized = sanitize(text)
    assert all(c.isprintable() or c in "\u200c\u200d" for c in sanitized)
    assert sanitize(sanitized) == sanitized


@given(
    st.recursive(ANY_TEXT | st.none() | st.integers(), lambda inner: st.lists(inner, max_size=4))
)
def test_json_has_the_same_value_and_no_unsafe_characters(document: object) -> None:
    text = json_text(document)
    assert json.loads(text) == json.loads(json.dumps(document))
    text.encode()
    assert not set(text) & set("\x1b\x7f\x9b\u202e\u2066\ufeff\u2028")
