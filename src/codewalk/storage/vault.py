"""The vault: passwords encrypted at rest.

AES-256-GCM with a random nonce; the server's id is authenticated too, so that a stored password
can't be moved to another server's row. The key comes from a text, through scrypt: the one in
`CODEWALK_SECRET_KEY`, in the data folder's `secret.key`, or in the OS keyring. The same text gives
the same key wherever it stands, so it can be moved from one place to another.

A sealed password reads `v1.<key id>.<base64>`. The key id tells a wrong key from damaged data.
"""

import asyncio
import base64
import binascii
import hashlib
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from codewalk.errors import StorageError
from codewalk.secret import Secret
from codewalk.settings import FILE_MODE, Settings, write_private
from codewalk.storage.keyring import Keyring, SystemKeyring
from codewalk.storage.sqlite import make_private

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_VERSION: Final = "v1"
_NONCE_BYTES: Final = 12
_LOCK_SECONDS: Final = 30.0
_SALT: Final = b"codewalk password vault v1"
"""Fixed: a shared database is opened on several machines that have nothing but the key's text."""

_AGAIN: Final = (
    "Set CODEWALK_SECRET_KEY to the former key, "
    "or enter the password again with `codewalk server edit`."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Key:
    id: str
    cipher: "AESGCM" = field(repr=False)


class Vault:
    """Seals and opens the passwords of one data folder."""

    def __init__(self, settings: Settings, *, keyring: Keyring | None = None) -> None:
        self._settings = settings
        self._keyring = keyring or SystemKeyring()
        self._key: _Key | None = None
        self._turn = asyncio.Lock()

    @property
    def unlocked(self) -> bool:
        """Whether `seal` and `open` can be called."""
        return self._key is not None

    async def unlock(self) -> None:
        """Finds the key, or makes one; once, however often and concurrently it is called.

        Takes 50 ms, with a keyring up to some seconds, in a thread. Raises `StorageError`.
        """
        async with self._turn:
            if self._key is None:
                self._key = await asyncio.to_thread(self._find_key)

    def seal(self, text: Secret, server_id: str) -> str:
        """The encrypted form of `text`, good for this server alone."""
        key = self._require_key()
        nonce = os.urandom(_NONCE_BYTES)
        plain = text.reveal().encode("utf-8", "surrogatepass")
        data = nonce + key.cipher.encrypt(nonce, plain, server_id.encode())
        return f"{_VERSION}.{key.id}.{base64.urlsafe_b64encode(data).decode('ascii')}"

    def unseal(self, sealed: str, server_id: str) -> str:
        """The text that was sealed for this server. Raises `StorageError`."""
        from cryptography.exceptions import InvalidTag

        key = self._require_key()
        version, _, rest = sealed.partition(".")
        key_id, _, encoded = rest.partition(".")
        if version != _VERSION:
            raise _unreadable(server_id, f"is sealed in a way this CodeWalk doesn't know. {_AGAIN}")
        if key_id != key.id:
            raise _unreadable(
                server_id,
                f"was stored under another key ({key_id[:8]}, this one is {key.id}). {_AGAIN}",
            )
        try:
            data = base64.b64decode(encoded, altchars=b"-_", validate=True)
            nonce, body = data[:_NONCE_BYTES], data[_NONCE_BYTES:]
            plain = key.cipher.decrypt(nonce, body, server_id.encode())
            return plain.decode("utf-8", "surrogatepass")
        except (InvalidTag, binascii.Error, ValueError) as exc:
            raise _unreadable(
                server_id, "is damaged. Enter it again with `codewalk server edit`."
            ) from exc

    def _require_key(self) -> _Key:
        if self._key is None:
            raise RuntimeError("the vault is locked: await unlock() first")
        return self._key

    def _find_key(self) -> _Key:
        if self._settings.secret_key is not None:
            return _derive(self._settings.secret_key)
        return _derive(self._kept() or self._make())

    def _kept(self) -> Secret | None:
        # The file first: once a start without a desktop has made it, one with a desktop must not
        # prefer a keyring that has another key.
        return _read_file(self._key_file) or self._keyring.get(self._owner)

    def _make(self) -> Secret:
        # Imported here: only the first password of a data folder needs it.
        from filelock import FileLock, Timeout

        self._settings.make_data_dir()
        lock = FileLock(f"{self._key_file}.lock", mode=FILE_MODE, timeout=_LOCK_SECONDS)
        try:
            with lock:
                # Another process may have made it while this one waited.
                return self._kept() or self._create()
        except (Timeout, OSError) as exc:
            raise StorageError(
                f"The key for stored passwords, {self._key_file}, can't be made: {exc}. "
                "Set CODEWALK_SECRET_KEY, or make the data folder writable.",
                value=str(self._key_file),
            ) from exc

    def _create(self) -> Secret:
        key = Secret(secrets.token_urlsafe(32))
        self._keyring.set(self._owner, key)
        kept = self._keyring.get(self._owner)
        if kept is not None and kept.reveal() == key.reveal():
            return key
        write_private(self._key_file, f"{key.reveal()}\n")
        _sync_directory(self._key_file.parent)
        return key

    @property
    def _key_file(self) -> Path:
        return self._settings.data_dir / "secret.key"

    @property
    def _owner(self) -> str:
        return str(self._settings.data_dir.resolve())


def _derive(text: Secret) -> _Key:
    # Imported here: most commands touch no password.
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    material = text.reveal().strip().encode("utf-8", "surrogateescape")
    key = hashlib.scrypt(material, salt=_SALT, n=2**14, r=8, p=1, dklen=32)
    name = hashlib.sha256(b"codewalk key id" + key).hexdigest()[:8]
    return _Key(id=name, cipher=AESGCM(key))


def _read_file(path: Path) -> Secret | None:
    try:
        text = path.read_text(encoding="utf-8").strip()
        make_private(path)
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as exc:
        raise StorageError(
            f"The key for stored passwords, {path}, can't be read: {exc}.", value=str(path)
        ) from exc
    if not text:
        raise StorageError(
            f"The key for stored passwords, {path}, is empty. Put its copy back, "
            "or remove it and enter the passwords again.",
            value=str(path),
        )
    return Secret(text)


def _sync_directory(path: Path) -> None:
    """Makes a new file's name as durable as its content, before a password is sealed with it."""
    if os.name != "posix":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unreadable(server_id: str, problem: str) -> StorageError:
    return StorageError(f"The password of server {server_id} {problem}", value=server_id)
