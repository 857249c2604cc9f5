"""A text that never shows itself."""

import copy
import json
import logging
import pickle
import sys
import traceback
from dataclasses import asdict, dataclass
from io import StringIO

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.pretty import pretty_repr

from codewalk.errors import StorageError
from codewalk.secret import Secret

TEXT = "s3cr3t:pässword"


@dataclass(frozen=True)
class Holder:
    secret: Secret


@given(st.text())
def test_only_reveal_gives_the_text(text: str) -> None:
    assert Secret(text).reveal() == text


def test_every_rendering_is_three_stars() -> None:
    secret = Secret(TEXT)
    renderings = [
        str(secret),
        repr(secret),
        f"{secret}",
        f"{secret!r}",
        f"{secret!s}",
        f"{secret:>40}",
        "%s" % secret,  # noqa: UP031 - the very rendering that is tested
        "{}".format(secret),  # noqa: UP032 - the very rendering that is tested
        ascii(secret),
    ]
    assert set(renderings) == {"***"}


def test_a_rendering_of_a_value_with_a_secret_does_not_show_it() -> None:
    holder = Holder(Secret(TEXT))
    for text in (repr(holder), str([holder]), str({"a": holder.secret}), pretty_repr(holder)):
        assert "***" in text
        assert TEXT not in text


def test_a_log_line_and_a_traceback_do_not_show_it(caplog: pytest.LogCaptureFixture) -> None:
    secret = Secret(TEXT)
    try:
        raise StorageError(f"with {secret}")
    except StorageError:
        logging.getLogger("codewalk").exception("It broke: %s", secret)
        locals_too = StringIO()
        Console(file=locals_too).print_exception(show_locals=True)
        plain = traceback.format_exc()
    for text in (caplog.text, plain, locals_too.getvalue()):
        assert "***" in text
        assert TEXT not in text


def test_a_secret_cannot_be_serialised() -> None:
    secret = Secret(TEXT)
    for writing in (
        lambda: pickle.dumps(secret),
        lambda: copy.copy(secret),
        lambda: copy.deepcopy(secret),
        lambda: asdict(Holder(secret)),
        lambda: json.dumps(secret),
        lambda: orjson.dumps(secret),
        lambda: orjson.dumps(Holder(secret)),
        lambda: vars(secret),
    ):
        with pytest.raises(TypeError) as refused:
            writing()
        assert TEXT not in str(refused.value)
    assert json.dumps(secret, default=str) == '"***"'


def test_a_secret_does_not_behave_like_text() -> None:
    secret = Secret(TEXT)
    with pytest.raises(TypeError):
        "prefix" + secret  # type: ignore[operator] # that it can't be is the test
    assert not hasattr(secret, "__dict__")


def test_an_empty_secret_is_truthy() -> None:
    assert bool(Secret("")) is True


def test_a_sealed_secret_is_unsealed_for_each_reveal_and_not_before() -> None:
    opened: list[str] = []

    def unseal() -> str:
        opened.append("once")
        return TEXT

    secret = Secret.sealed("v1.k.abc", unseal)
    assert str(secret) == "***"
    assert opened == []
    assert secret.reveal() == secret.reveal() == TEXT
    assert len(opened) == 2


def test_a_sealed_secret_that_cannot_be_unsealed_raises_and_shows_nothing() -> None:
    def unseal() -> str:
        raise StorageError("It was stored under another key.")

    secret = Secret.sealed("v1.k.abc", unseal)
    assert repr(secret) == "***"
    with pytest.raises(StorageError, match="another key"):
        secret.reveal()


def test_the_interpreters_excepthook_does_not_show_it(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        Secret(TEXT).reveal().index("nowhere")
    except ValueError as exc:
        sys.excepthook(type(exc), exc, exc.__traceback__)
    assert TEXT not in capsys.readouterr().err


def test_only_secrets_with_one_sealed_text_are_equal() -> None:
    def unseal() -> str:
        raise AssertionError("nothing is unsealed to compare it")

    first, again = (Secret.sealed("v1.k.abc", unseal) for _ in range(2))
    assert first == again
    assert hash(first) == hash(again)
    assert first not in (Secret.sealed("v1.k.def", unseal), Secret("v1.k.abc"), "v1.k.abc", None)
    plain = Secret(TEXT)
    assert plain == plain  # noqa: PLR0124 - that is the test
    assert plain != Secret(TEXT)
