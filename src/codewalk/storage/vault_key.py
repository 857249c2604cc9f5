"""The places of the vault's key: environment, data folder, or system keyring.

A key that can't be read now, as in a locked keyring, is not an absent one: a second key would take
its place, and whatever was sealed with the first could never be read again. So finding a key never
creates one, and creating one first makes sure that none of the places has one.
"""

import os
import secrets
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from codewalk.errors import StorageError
from codewalk.secret import Secret
from codewalk.settings import FILE_MODE, Settings, write_private
from codewalk.storage.keyring import Keyring, KeyringUnavailable, SystemKeyring

_LOCK_TIMEOUT: Final = 30.0


class KeySource(StrEnum):
    """The places of the key, in the order in which they are tried."""

    ENVIRONMENT = "environment"
    FILE = "file"
    KEYRING = "keyring"


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredKey:
    """The key's text and where it is stored."""

    source: KeySource
    text: Secret


class KeyStore:
    """Finds and creates the key of one data folder. Its methods block.

    Args:
        settings: Name the data folder, and the key where the environment has it.
        keyring: The keyring to use; by default the system's.
    """

    def __init__(self, settings: Settings, *, keyring: Keyring | None = None) -> None:
        self._settings = settings
        self._keyring = keyring or SystemKeyring()
        self.path = settings.data_dir / "secret.key"

    def find(self) -> StoredKey | None:
        """Return the key, None where there is none yet. Changes nothing.

        Raises:
            StorageError: A place can't be read, so that nobody knows whether it has the key.
        """
        if self._settings.secret_key is not None:
            return StoredKey(source=KeySource.ENVIRONMENT, text=self._settings.secret_key)
        # The file before the keyring: once a start without a desktop has created it, one with a
        # desktop must not prefer a keyring that has another key.
        if text := self._read_file():
            return StoredKey(source=KeySource.FILE, text=text)
        try:
            stored = self._keyring.get(self._account())
        except KeyringUnavailable as exc:
            raise StorageError(
                f"The key for stored passwords can't be read: the system keyring {exc}. "
                "Unlock it and try again, or set CODEWALK_SECRET_KEY."
            ) from exc
        return StoredKey(source=KeySource.KEYRING, text=stored) if stored else None

    def create(self) -> StoredKey:
        """Create the key, unless another process has; in the keyring, or else in a file.

        Raises:
            StorageError: A place can't be read, or neither can be written.
        """
        # Imported here: only the first password of a data folder needs it.
        from filelock import FileLock, Timeout

        self._settings.make_data_dir()
        lock = FileLock(f"{self.path}.lock", mode=FILE_MODE, timeout=_LOCK_TIMEOUT)
        try:
            with lock:
                return self.find() or self._create()
        except (Timeout, OSError) as exc:
            raise StorageError(
                f"The key for stored passwords, {self.path}, can't be created: {exc}. "
                "Set CODEWALK_SECRET_KEY, or make the data folder writable.",
                value=str(self.path),
            ) from exc

    def _create(self) -> StoredKey:
        text = Secret(secrets.token_urlsafe(32))
        if self._keyring_takes(text):
            return StoredKey(source=KeySource.KEYRING, text=text)
        write_private(self.path, f"{text.reveal()}\n")
        _sync_directory(self.path.parent)
        return StoredKey(source=KeySource.FILE, text=text)

    def _keyring_takes(self, text: Secret) -> bool:
        """Store the key in the keyring and read it back: some accept a text and forget it."""
        try:
            self._keyring.set(self._account(), text)
            stored = self._keyring.get(self._account())
        except KeyringUnavailable:
            return False
        return stored is not None and stored.reveal() == text.reveal()

    def _account(self) -> str:
        return str(self._settings.data_dir.resolve())

    def _read_file(self) -> Secret | None:
        try:
            text = self.path.read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as exc:
            raise StorageError(
                f"The key for stored passwords, {self.path}, can't be read: {exc}.",
                value=str(self.path),
            ) from exc
        if not text:
            raise StorageError(
                f"The key for stored passwords, {self.path}, is empty. Put its copy back, "
                "or set CODEWALK_SECRET_KEY to the key.",
                value=str(self.path),
            )
        return Secret(text)


def _sync_directory(path: Path) -> None:
    """Make a new file's name as durable as its content, before a password is sealed with it."""
    if os.name != "posix":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
