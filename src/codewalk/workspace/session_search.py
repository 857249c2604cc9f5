"""The search in a list of sessions."""

from collections.abc import Iterable
from typing import Final
from unicodedata import normalize

from codewalk.opencode.session import Session
from codewalk.workspace.session_list import Sessions

MAX_QUERY: Final = 500
"""Characters of a search."""


def find_sessions(sessions: Iterable[Session], query: str) -> Sessions:
    """Return the sessions that have every word of the query in title or directory.

    Words match in any order and in any case, anywhere in a word.
    """
    words = [_spellings(word) for word in set(query[:MAX_QUERY].casefold().split())]
    if not words:  # as for most pages: no session needs to be looked at
        return tuple(sessions)
    return tuple(
        session
        for session in sessions
        if _has_all(words, f"{session.title}\n{session.directory}".casefold())
    )


def _spellings(word: str) -> frozenset[str]:
    """Return the ways to write a word: an `é` is one character or two, as in macOS's file names.

    Only the query is normalised: for a text that takes time in proportion to the square of the
    number of accents in a row, and that number is a server's choice.
    """
    return frozenset({word, normalize("NFC", word), normalize("NFD", word)})


def _has_all(words: Iterable[Iterable[str]], text: str) -> bool:
    return all(any(map(text.__contains__, spellings)) for spellings in words)
