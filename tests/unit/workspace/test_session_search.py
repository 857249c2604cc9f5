"""A search in a list of sessions."""

from random import Random
from time import thread_time
from unicodedata import normalize

from hypothesis import given
from hypothesis import strategies as st

from codewalk.opencode.session import Session
from codewalk.workspace.session_search import MAX_QUERY, find_sessions

TEXT = st.text() | st.text("aAßéÉİ \u0301\n/x")
WORD = st.text("abcßÉİéx/.", min_size=1, max_size=5)


def session(title: str, directory: str = "/p") -> Session:
    return Session(id=title, title=title, directory=directory, created_ms=None, updated_ms=None)


def find(query: str, *titles: str) -> list[str]:
    return [s.title for s in find_sessions(map(session, titles), query)]


def test_words_are_found_in_any_order_and_any_case() -> None:
    titles = ("Fix the flaky login test", "Login page", "Straße")
    assert find("LOGIN fix", *titles) == ["Fix the flaky login test"]
    assert find("login", *titles) == ["Fix the flaky login test", "Login page"]
    assert find("STRASSE", *titles) == ["Straße"]
    assert find("login nothing", *titles) == []


def test_a_word_may_be_in_the_directory() -> None:
    sessions = [session("Fix", "/srv/shop"), session("Fix", "/srv/docs")]
    assert find_sessions(sessions, "shop fix") == (sessions[0],)


def test_a_letter_with_an_accent_is_found_however_it_is_written() -> None:
    one, two = normalize("NFC", "Café"), normalize("NFD", "Café")
    assert one != two
    for title in (one, two):
        assert find(one.upper(), title) == find(two.lower(), title) == [title]


@given(st.lists(TEXT, max_size=8), st.text(" \t\n", max_size=3))
def test_an_empty_query_finds_all_in_their_order(titles: list[str], query: str) -> None:
    assert find(query, *titles) == titles


@given(st.lists(TEXT, max_size=8), TEXT)
def test_what_is_found_is_in_the_list_in_its_order(titles: list[str], query: str) -> None:
    sessions = [session(title) for title in titles]
    hits = find_sessions(sessions, query)
    assert [s for s in sessions if s in hits] == list(hits)


@given(st.lists(WORD, min_size=1, max_size=4), st.randoms())
def test_a_title_is_found_by_its_words_in_any_order_and_case(
    words: list[str], random: Random
) -> None:
    query = [word.swapcase() if len(word) % 2 else word for word in words]
    random.shuffle(query)
    assert find(" ".join(query), " ".join(words)) == [" ".join(words)]


@given(st.lists(TEXT, max_size=8), TEXT, WORD)
def test_another_word_never_adds_results(titles: list[str], query: str, word: str) -> None:
    wide = find(query[: MAX_QUERY - 10], *titles)
    assert set(find(f"{query[: MAX_QUERY - 10]} {word}", *titles)) <= set(wide)


def test_ten_thousand_sessions_are_searched_between_two_keystrokes() -> None:
    sessions = [session(f"Session {i} of a project with a longer title") for i in range(10_000)]
    times = []
    for _ in range(5):
        began = thread_time()
        assert len(find_sessions(sessions, "LONGER project 9999 session")) == 1
        times.append(thread_time() - began)
    # Alone it takes 8 ms; whoever reads words anew for each session takes a multiple.
    assert min(times) < 0.05


def test_accents_in_a_row_take_no_long_time() -> None:
    # Normalised, each of them takes some 15 ms: a list of thousands takes minutes.
    row = "a" + "\u0301\u0323" * 2047
    sessions = [session("Fix", f"/{row}/{number}") for number in range(50)]
    for query, hits in (("", 50), ("fix", 50), ("fix 49", 1)):
        began = thread_time()
        assert len(find_sessions(sessions, query)) == hits
        assert thread_time() - began < 0.2


def test_a_long_query_is_truncated() -> None:
    assert find("x " * 100_000, "x") == ["x"]
