"""Keyrings that a test holds in its hands: they answer, hang, fail or forget when it says so."""

import threading

from codewalk.secret import Secret
from codewalk.storage.keyring import SERVICE, KeyringUnavailable


class NoKeyring:
    """The keyring of a machine that has none; stores nothing."""

    def get(self, account: str) -> Secret | None:
        return None

    def set(self, account: str, text: Secret) -> None:
        return None


class FakeKeyring:
    """A keyring in memory.

    `forgetful` stores nothing that it is given; `unavailable` raises that text for each call;
    `gate` holds `get` back until it is set, and `entered` tells that one waits.
    """

    def __init__(self, *, forgetful: bool = False) -> None:
        self.entries: dict[str, Secret] = {}
        self.reads = 0
        self.unavailable: str | None = None
        self.read_only = False
        self.gate: threading.Event | None = None
        self.entered = threading.Event()
        self._forgetful = forgetful

    def get(self, account: str) -> Secret | None:
        self.reads += 1
        self.entered.set()
        if self.gate:
            assert self.gate.wait(60)
        if self.unavailable:
            raise KeyringUnavailable(self.unavailable)
        return self.entries.get(account)

    def set(self, account: str, text: Secret) -> None:
        if self.unavailable or self.read_only:
            raise KeyringUnavailable(self.unavailable or "is read-only")
        if not self._forgetful:
            self.entries[account] = text


class FakeBackend:
    """A backend in memory, whose calls wait for `gate` and raise `failure`."""

    def __init__(self, *, priority: float = 5) -> None:
        self.priority = priority
        self.entries: dict[str, str] = {}
        self.calls = 0
        self.gate = threading.Event()
        self.gate.set()
        self.failure: Exception | None = None

    def get_password(self, service: str, username: str) -> str | None:
        self._begin(service)
        return self.entries.get(username)

    def set_password(self, service: str, username: str, password: str) -> None:
        self._begin(service)
        self.entries[username] = password

    def _begin(self, service: str) -> None:
        assert service == SERVICE
        self.calls += 1
        assert self.gate.wait(60)
        if self.failure:
            raise self.failure


def wait_for_keyring_threads() -> None:
    """Returns once every call of a keyring has ended."""
    for thread in threading.enumerate():
        if thread.name == "codewalk keyring":
            thread.join(60)


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now
