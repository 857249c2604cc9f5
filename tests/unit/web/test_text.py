"""Values of a server, as text for pages."""

import pytest

from codewalk.opencode.session import Session
from codewalk.web.text import session_title, short_path, visible


@pytest.mark.parametrize(
    ("title", "shown"),
    [
        ("Fix the parser", "Fix the parser"),
        ("", "Untitled"),
        ("  \n\t ", "Untitled"),
        ("\u200b\ufeff", "Untitled"),
        ("two\nlines\tand  more", "two lines and more"),
        ("invoice \u202etxt.exe", "invoice \ufffdtxt.exe"),
        ("\u2066\u2067\u2068\u2069\u202a\u202b\u202c\u202d", "\ufffd" * 8),
        ("\x1b[31mred\x00\x9b", "\ufffd[31mred\ufffd\ufffd"),
        ("مرحبا \u200f!", "مرحبا \u200f!"),
        ("🏳️\u200d🌈", "🏳️\u200d🌈"),
    ],
)
def test_a_title_is_one_line_without_control_characters(title: str, shown: str) -> None:
    session = Session(id="s", title=title, directory="/", created_ms=None, updated_ms=None)
    assert session_title(session) == shown


def test_half_a_character_is_shown_as_a_sign() -> None:
    visible("half \ud83d").encode()


@pytest.mark.parametrize(
    ("directory", "short"),
    [
        ("/", "/"),
        ("/home", "/home"),
        ("/home/me", "/home/me"),
        ("/home/me/repo", "…/me/repo"),
        ("/home/me/repo/", "…/me/repo"),
        ("C:\\Users\\me\\repo", "…\\me\\repo"),
        ("C:\\Users\\me\\repo\\", "…\\me\\repo"),
        ("C:/Users/me/repo", "…\\me\\repo"),
        ("C:\\repo", "C:\\repo"),
        ("\\\\host\\share\\me\\repo", "…\\me\\repo"),
        ("/odd\\name/a/b", "…/a/b"),
        ("", ""),
    ],
)
def test_a_path_is_shortened_to_its_last_two_folders(directory: str, short: str) -> None:
    assert short_path(directory) == short
