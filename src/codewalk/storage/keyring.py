"""The OS keyring, where there is one that works; never a reason to fail or to hang."""

import logging
import threading
from collections.abc import Callable
from typing import Final, Protocol, TypeVar

from codewalk.secret import Secret

T = TypeVar("T")

SERVICE: Final = "codewalk"

_SECONDS: Final = 5.0
"""A locked keyring may wait for a person who isn't there."""

_log = logging.getLogger(__name__)


class Keyring(Protocol):
    """Keeps one text for each owner. Neither method raises, both end within seconds."""

    def get(self, owner: str) -> Secret | None:
        """The text, or None where there is none or no keyring works."""

    def set(self, owner: str, text: Secret) -> None:
        """Keeps the text if that is possible; `get` tells."""


class SystemKeyring:
    """The keyring of the desktop or the operating system. Blocks."""

    def get(self, owner: str) -> Secret | None:
        text = _bounded(lambda: _get(owner))
        return Secret(text) if text else None

    def set(self, owner: str, text: Secret) -> None:
        _bounded(lambda: _set(owner, text))


class NoKeyring:
    """For machines and tests without one: keeps nothing."""

    def get(self, owner: str) -> Secret | None:  # noqa: ARG002 - the protocol's shape
        return None

    def set(self, owner: str, text: Secret) -> None:  # noqa: ARG002 - the protocol's shape
        return None


def _get(owner: str) -> str | None:
    import keyring

    backend = keyring.get_keyring()
    return backend.get_password(SERVICE, owner) if backend.priority >= 1 else None


def _set(owner: str, text: Secret) -> None:
    import keyring

    # Below 1 are the backends that keep nothing or keep plain text; a 0600 file is better.
    backend = keyring.get_keyring()
    if backend.priority >= 1:
        backend.set_password(SERVICE, owner, text.reveal())


def _bounded(call: Callable[[], T]) -> T | None:
    """What `call` returns; None where it fails or takes too long.

    In a daemon thread: a call that hangs in the keyring can't be ended, and must not keep the
    program from ending either.
    """
    found: list[T] = []

    def run() -> None:
        try:
            found.append(call())
        except Exception as exc:  # noqa: BLE001 - backends raise whatever their system raises
            _log.debug("the keyring failed: %s", type(exc).__name__)

    thread = threading.Thread(target=run, name="codewalk keyring", daemon=True)
    thread.start()
    thread.join(_SECONDS)
    return found[0] if found else None
