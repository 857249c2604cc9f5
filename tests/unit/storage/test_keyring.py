"""The system keyring: absent, locked, hanging or failing, each is told apart and none hangs us."""

from collections.abc import Callable

import pytest
from keyring.errors import KeyringLocked, PasswordSetError

from codewalk.secret import Secret
from codewalk.storage.keyring import KeyringUnavailable, SystemKeyring
from tests.fake_keyring import FakeBackend, wait_for_keyring_threads

SHORT = 0.01
"""Seconds, where the answer can't come."""


def on(backend: FakeBackend, *, timeout: float = 60.0) -> SystemKeyring:
    return SystemKeyring(find_backend=lambda: backend, timeout=timeout)


def test_get_returns_what_set_has_stored() -> None:
    backend = FakeBackend()
    keyring = on(backend)
    assert keyring.get("a") is None
    keyring.set("a", Secret("text"))
    read = keyring.get("a")
    assert read
    assert read.reveal() == "text"
    assert keyring.get("b") is None


def test_a_backend_that_stores_plain_text_or_nothing_counts_as_no_keyring() -> None:
    backend = FakeBackend(priority=0.5)
    keyring = on(backend)
    keyring.set("a", Secret("text"))
    assert keyring.get("a") is None
    assert backend.calls == 0


@pytest.mark.parametrize(
    ("failure", "problem"),
    [
        (KeyringLocked("Failed to unlock the collection!"), "is locked"),
        (PasswordSetError("s3cret"), "failed (PasswordSetError)"),
        (TimeoutError("D-Bus"), "failed (TimeoutError)"),
        (RuntimeError("anything"), "failed (RuntimeError)"),
    ],
)
def test_a_keyring_that_fails_is_unavailable_and_not_empty(
    failure: Exception, problem: str
) -> None:
    backend = FakeBackend()
    backend.failure = failure
    keyring = on(backend)
    calls: tuple[Callable[[], object], ...] = (
        lambda: keyring.get("a"),
        lambda: keyring.set("a", Secret("text")),
    )
    for call in calls:
        with pytest.raises(KeyringUnavailable) as unavailable:
            call()
        assert str(unavailable.value) == problem
    backend.failure = None
    assert keyring.get("a") is None


def test_a_keyring_that_hangs_is_unavailable_after_the_timeout() -> None:
    backend = FakeBackend()
    backend.gate.clear()
    keyring = on(backend, timeout=SHORT)
    with pytest.raises(KeyringUnavailable, match=r"^didn't answer within 0\.01 s$"):
        keyring.get("a")
    with pytest.raises(KeyringUnavailable, match=r"^didn't answer within 0\.01 s$"):
        keyring.set("a", Secret("text"))
    backend.gate.set()
    wait_for_keyring_threads()


def test_an_unanswered_question_is_not_asked_again_meanwhile() -> None:
    # Each one would open one more prompt on the user's desktop.
    backend = FakeBackend()
    backend.entries["a"] = "text"
    backend.gate.clear()
    keyring = on(backend, timeout=SHORT)
    for _ in range(3):
        with pytest.raises(KeyringUnavailable):
            keyring.get("a")
    backend.gate.set()
    wait_for_keyring_threads()
    assert backend.calls == 1
    # The late answer still counts, once: it may be out of date after that.
    read = keyring.get("a")
    assert read
    assert read.reveal() == "text"
    assert backend.calls == 1
    backend.entries["a"] = "newer"
    read = on(backend).get("a")
    assert read
    assert read.reveal() == "newer"


def test_without_a_usable_backend_nothing_is_stored_and_nothing_raised() -> None:
    keyring = SystemKeyring()
    keyring.set("codewalk tests", Secret("x"))
    assert keyring.get("codewalk tests") is None
