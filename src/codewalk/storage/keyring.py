"""The keyring of the desktop or the operating system, which may be locked, hang or be missing."""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from time import monotonic
from typing import Final, Generic, Protocol, TypeVar

from codewalk.secret import Secret

T = TypeVar("T")

SERVICE: Final = "codewalk"

KEYRING_TIMEOUT: Final = 5.0
"""Seconds to wait for the keyring: a locked one may ask a person who isn't there."""

MAX_PENDING_SECONDS: Final = 60.0
"""Seconds until a question that the keyring left unanswered is asked anew.

Until then, who asks again waits for the same answer: otherwise each attempt would open one more
prompt on the user's desktop, and hold one more thread.
"""

_MIN_PRIORITY: Final = 1
"""Backends below this priority store nothing, or plain text: a 0600 file is better."""

_log = logging.getLogger(__name__)


class KeyringUnavailable(Exception):
    """The keyring can't say what it holds: it is locked, fails, or doesn't answer.

    The text completes "The system keyring …".
    """


class Keyring(Protocol):
    """Stores one text for each account. Both methods block, for seconds at most."""

    def get(self, account: str) -> Secret | None:
        """Return the text; None where the keyring has none, or where there is no keyring.

        Raises:
            KeyringUnavailable: There may be one, but it can't be read now.
        """

    def set(self, account: str, text: Secret) -> None:
        """Store the text; nothing where there is no keyring.

        Raises:
            KeyringUnavailable: It can't be written now.
        """


class Backend(Protocol):
    """A backend of the `keyring` package. Each call may hang or raise anything."""

    @property
    def priority(self) -> float: ...
    def get_password(self, service: str, username: str) -> str | None: ...
    def set_password(self, service: str, username: str, password: str) -> None: ...


class SystemKeyring:
    """The keyring that the `keyring` package finds on this machine.

    Args:
        find_backend: Returns the backend to use; by default the package's own choice.
        timeout: Seconds to wait for each answer.
    """

    def __init__(
        self,
        *,
        find_backend: Callable[[], Backend] | None = None,
        timeout: float = KEYRING_TIMEOUT,
    ) -> None:
        self._find_backend = find_backend or _find_backend
        self._timeout = timeout
        self._lock = threading.Lock()
        self._unanswered: dict[str, _Call[str | None]] = {}

    def get(self, account: str) -> Secret | None:
        with self._lock:
            call = self._unanswered.pop(account, None)
        if call is None or call.age > MAX_PENDING_SECONDS:
            call = _Call(lambda: self._read(account))
        try:
            text = call.result(self._timeout)
        except TimeoutError as exc:
            with self._lock:
                self._unanswered[account] = call
            raise self._no_answer() from exc
        return Secret(text) if text else None

    def set(self, account: str, text: Secret) -> None:
        try:
            _Call(lambda: self._write(account, text)).result(self._timeout)
        except TimeoutError as exc:
            raise self._no_answer() from exc

    def _read(self, account: str) -> str | None:
        backend = self._find_backend()
        return backend.get_password(SERVICE, account) if _is_usable(backend) else None

    def _write(self, account: str, text: Secret) -> None:
        backend = self._find_backend()
        if _is_usable(backend):
            backend.set_password(SERVICE, account, text.reveal())

    def _no_answer(self) -> KeyringUnavailable:
        return KeyringUnavailable(f"didn't answer within {self._timeout:g} s")


class _Call(Generic[T]):
    """A call of the keyring, in a daemon thread of its own.

    One that hangs can't be ended, and must not keep the program from ending either.
    """

    def __init__(self, work: Callable[[], T]) -> None:
        self._started = monotonic()
        self._outcome: Future[T] = Future()
        threading.Thread(
            target=self._run, args=(work,), name="codewalk keyring", daemon=True
        ).start()

    @property
    def age(self) -> float:
        """Seconds since the call began."""
        return monotonic() - self._started

    def result(self, timeout: float) -> T:
        """Wait for what the call returns.

        Raises:
            TimeoutError: It has not ended within `timeout` seconds.
            KeyringUnavailable: It failed.
        """
        return self._outcome.result(timeout)

    def _run(self, work: Callable[[], T]) -> None:
        try:
            self._outcome.set_result(work())
        except Exception as exc:  # noqa: BLE001 - backends raise whatever their system raises
            _log.debug("The keyring failed: %s", type(exc).__name__)
            # Without its text, which may quote what was to be stored.
            self._outcome.set_exception(KeyringUnavailable(_explain(exc)))


def _explain(exc: Exception) -> str:
    from keyring.errors import KeyringLocked

    return "is locked" if isinstance(exc, KeyringLocked) else f"failed ({type(exc).__name__})"


def _is_usable(backend: Backend) -> bool:
    return backend.priority >= _MIN_PRIORITY


def _find_backend() -> Backend:
    import keyring

    return keyring.get_keyring()
