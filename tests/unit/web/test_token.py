"""The access token: the user's own, or one made once and kept private."""

import stat
from dataclasses import replace

import pytest

from codewalk.errors import StorageError
from codewalk.secret import Secret
from codewalk.settings import Settings
from codewalk.web.token import load_token, token_file


def test_the_token_file_is_made_once_and_private(settings: Settings) -> None:
    token = load_token(settings)
    assert len(token.reveal()) >= 43
    assert load_token(settings).reveal() == token.reveal()
    assert stat.S_IMODE(token_file(settings).stat().st_mode) == 0o600


def test_the_user_s_own_counts_and_is_written_nowhere(settings: Settings) -> None:
    assert load_token(replace(settings, token=Secret("mine"))).reveal() == "mine"
    assert not settings.data_dir.exists()


def test_a_file_that_others_may_read_is_made_private(settings: Settings) -> None:
    token = load_token(settings)
    token_file(settings).chmod(0o644)
    assert load_token(settings).reveal() == token.reveal()
    assert stat.S_IMODE(token_file(settings).stat().st_mode) == 0o600


@pytest.mark.parametrize("content", [b"", b"\n", b"short", b"\xff" * 40, b"two words of a token"])
def test_a_file_without_a_token_gets_one(settings: Settings, content: bytes) -> None:
    settings.make_data_dir()
    token_file(settings).write_bytes(content)
    token = load_token(settings).reveal()
    assert len(token) >= 43
    assert token_file(settings).read_text().strip() == token


def test_a_file_that_can_t_be_read_is_named(settings: Settings) -> None:
    token_file(settings).mkdir(parents=True)
    with pytest.raises(StorageError, match="CODEWALK_TOKEN"):
        load_token(settings)
