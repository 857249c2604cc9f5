"""The rules for a server's label and credentials."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codewalk.errors import InvalidCredentials, InvalidValue
from codewalk.secret import Secret
from codewalk.servers.profile import MAX_LABEL, check_credentials, clean_label
from tests.fakes import profile
from tests.unit.servers.leaks import visible_text


@pytest.mark.parametrize(
    ("typed", "cleaned"),
    [(None, None), ("", None), (" \t\n", None), ("  Dev box ", "Dev box"), ("ß 日本", "ß 日本")],
)
def test_a_label_is_trimmed(typed: str | None, cleaned: str | None) -> None:
    assert clean_label(typed) == cleaned


@pytest.mark.parametrize("label", ["a\nb", "a\x00b", "a\x7fb", "a\x85b", "a\u2028b", "a\x1b[31mb"])
def test_a_label_with_a_control_character_is_refused(label: str) -> None:
    with pytest.raises(InvalidValue, match="control character"):
        clean_label(label)


def test_a_label_that_means_another_server_is_refused() -> None:
    with pytest.raises(InvalidValue, match="previously active"):
        clean_label(" - ")


def test_a_label_that_is_not_valid_unicode_is_refused() -> None:
    # Python represents bytes of a command line that aren't UTF-8 as lone surrogates.
    with pytest.raises(InvalidValue):
        clean_label("dev\udcffbox")


def test_a_label_has_at_most_100_characters() -> None:
    assert clean_label(" " + "é" * 100 + " ") == "é" * 100
    with pytest.raises(InvalidValue, match="101"):
        clean_label("é" * 101)


@pytest.mark.parametrize(
    "password", ["a:b", "::", "пароль", "日本", "💥", " ", "a b", "\u2028", "x" * 1024]
)
def test_a_password_may_have_any_character_that_basic_authentication_carries(password: str) -> None:
    check_credentials("opencode", Secret(password))


@pytest.mark.parametrize("password", ["a\nb", "\x00", "\x7f", "\ud800"])
def test_a_password_that_it_cannot_carry_is_refused_without_repeating_it(password: str) -> None:
    with pytest.raises(InvalidCredentials) as refused:
        check_credentials("opencode", Secret(f"s3cr3t{password}"))
    assert "s3cr3t" not in visible_text(refused.value)


@pytest.mark.parametrize("username", ["", "a:b", "a\nb", "\x00", "\ud800", "x" * 1025])
def test_a_user_name_that_it_cannot_carry_is_refused(username: str) -> None:
    with pytest.raises(InvalidCredentials):
        check_credentials(username, None)


def test_a_user_name_may_be_of_any_script() -> None:
    check_credentials("юзер", None)


def test_a_server_is_called_by_its_label_else_by_its_url_without_the_scheme() -> None:
    assert profile(1, label="Dev box").name == "Dev box"
    assert profile(1, url="https://h:1/x").name == "h:1/x"


@given(st.text() | st.text("a-_ \x85\ud800") | st.text(min_size=90, max_size=110))
def test_a_label_is_kept_trimmed_or_refused(text: str) -> None:
    try:
        label = clean_label(text)
    except InvalidValue as refused:
        refused.message.encode()
        (refused.value or "").encode()
        return
    assert clean_label(label) == label
    assert label is None or 0 < len(label) <= MAX_LABEL
    assert (label or "") == text.strip()
    (label or "").encode()


@given(st.text(max_size=1100), st.text(max_size=1100))
def test_credentials_are_refused_exactly_where_basic_authentication_cannot_carry_them(
    user: str, secret: str
) -> None:
    fits = all(re.fullmatch(r"[^\x00-\x1f\x7f\ud800-\udfff]{0,1024}", t) for t in (user, secret))
    try:
        check_credentials(user, Secret(secret))
    except InvalidCredentials:
        assert not (fits and user and ":" not in user)
    else:
        assert fits
        assert user
        assert ":" not in user
