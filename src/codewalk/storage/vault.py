"""The vault: passwords encrypted at rest.

AES-256-GCM with a random nonce; the owner (a server's id, or a hook's) is authenticated too, so
that a stored password can't be moved to another row. The cipher's key is derived by scrypt from the
text that `codewalk.storage.vault_key` finds; the same text gives the same key wherever it is
stored, so it can be moved from one place to another.

A sealed password reads `v1.<key id>.<base64>`. The key id tells a wrong key from damaged data.
"""

import asyncio
import base64
import binascii
import hashlib
import os
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Final

from codewalk.errors import StorageError
from codewalk.secret import Secret
from codewalk.settings import Settings
from codewalk.storage.keyring import Keyring
from codewalk.storage.sqlite import make_private
from codewalk.storage.vault_key import KeySource, KeyStore, StoredKey

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

FAILURE_REUSE_SECONDS: Final = 10.0
"""Seconds for which a failure to unlock answers further attempts.

A hanging keyring takes seconds each time, and each check of a server is an attempt.
"""

_VERSION: Final = "v1"
_NONCE_BYTES: Final = 12
_SALT: Final = b"codewalk password vault v1"
"""Fixed: a shared database is opened on several machines that have nothing but the key's text."""

_HOW_TO_RESTORE: Final = (
    "Set CODEWALK_SECRET_KEY to the former key, "
    "or enter the password again with `codewalk server edit`."
)


class UnreadableSecret(StorageError):
    """A sealed text is damaged, or was sealed with another key than the vault has."""


class KeyMissing(StorageError):
    """Each place was read and has no key: what is sealed can't be read until one is put there."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Key:
    id: str
    cipher: "AESGCM" = field(repr=False)


class Vault:
    """Seals and unseals the passwords of one data folder.

    Args:
        settings: Name the data folder, and the key where the environment has it.
        keyring: The keyring to use; by default the system's.
        clock: Counts seconds.
        read_only: Leave the mode of the key's file as it is; by default it is made private.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        keyring: Keyring | None = None,
        clock: Callable[[], float] = monotonic,
        read_only: bool = False,
    ) -> None:
        self._key_store = KeyStore(settings, keyring=keyring)
        self._clock = clock
        self._read_only = read_only
        self._key: _Key | None = None
        self._attempt: asyncio.Future[_Key] | None = None
        self._failure: StorageError | None = None
        self._failed_at = 0.0
        self._creation = asyncio.Lock()

    @property
    def unlocked(self) -> bool:
        """Whether the key is loaded, so that `seal` and `unseal` can be called."""
        return self._key is not None

    async def unlock(self, *, retry: bool = False) -> None:
        """Load the key, so that what is sealed can be read. Never creates one.

        Takes 50 ms, with a keyring up to some seconds, in a thread. Concurrent callers share one
        attempt, which goes on when a caller is cancelled.

        Args:
            retry: Make a new attempt even where one has just failed.

        Raises:
            StorageError: There is no key, or it can't be read; the text says what helps.
        """
        if self._key is not None:
            return
        if self._attempt is None:
            failed_lately = self._clock() - self._failed_at < FAILURE_REUSE_SECONDS
            if self._failure is not None and failed_lately and not retry:
                raise _copy(self._failure)
            loop = asyncio.get_running_loop()
            self._attempt = loop.run_in_executor(None, self._load_key)
            self._attempt.add_done_callback(self._finish_attempt)
        # Not left to the attempt's callback: a caller that comes just as the attempt ends doesn't
        # wait here, and would go on before the callback runs.
        self._key = await asyncio.shield(self._attempt)

    async def unlock_to_seal(self, stored: Collection[str]) -> None:
        """Load the key, so that something can be sealed; create it where there is none yet.

        Args:
            stored: The sealed texts that are in the store and stay there. Where their key is
                missing, no second one is created beside it.

        Raises:
            StorageError: The key can't be read or created, or that of `stored` is missing.
        """
        try:
            await self.unlock(retry=True)
        except KeyMissing as exc:
            if stored:
                raise self._stored_key_missing(stored) from exc
        else:
            return
        async with self._creation:
            if self._key is None:
                self._key = await asyncio.to_thread(self._create_key)

    def seal(self, text: Secret, owner: str) -> str:
        """Return the encrypted form of `text`, which can be unsealed for this owner alone."""
        key = self._require_key()
        nonce = os.urandom(_NONCE_BYTES)
        plain = text.reveal().encode("utf-8", "surrogatepass")
        data = nonce + key.cipher.encrypt(nonce, plain, owner.encode())
        return f"{_VERSION}.{key.id}.{base64.urlsafe_b64encode(data).decode('ascii')}"

    def unseal(self, sealed: str, owner: str) -> str:
        """Return the text that was sealed for this owner.

        Raises:
            UnreadableSecret: It is damaged, or was sealed with another key.
            StorageError: The key could not be loaded.
        """
        from cryptography.exceptions import InvalidTag

        key = self._require_key()
        version, key_id, encoded = _split(sealed)
        if version != _VERSION:
            raise _unreadable(
                owner, f"is sealed in a way this CodeWalk doesn't know. {_HOW_TO_RESTORE}"
            )
        if key_id != key.id:
            raise _unreadable(
                owner,
                f"was stored under another key ({key_id[:8]}, this one is {key.id}). "
                f"{_HOW_TO_RESTORE}",
            )
        try:
            data = base64.b64decode(encoded, altchars=b"-_", validate=True)
            nonce, body = data[:_NONCE_BYTES], data[_NONCE_BYTES:]
            plain = key.cipher.decrypt(nonce, body, owner.encode())
            return plain.decode("utf-8", "surrogatepass")
        except (InvalidTag, binascii.Error, ValueError) as exc:
            raise _unreadable(
                owner, "is damaged. Enter it again with `codewalk server edit`."
            ) from exc

    def _require_key(self) -> _Key:
        if self._key is not None:
            return self._key
        if self._failure is not None:
            raise _copy(self._failure)
        raise RuntimeError("the vault is locked: await unlock() first")

    def _finish_attempt(self, attempt: "asyncio.Future[_Key]") -> None:
        self._attempt = None
        if attempt.cancelled():
            return
        error = attempt.exception()
        if error is None:
            self._key = attempt.result()
        elif isinstance(error, StorageError):
            self._failure, self._failed_at = error, self._clock()

    def _load_key(self) -> _Key:
        stored = self._key_store.find()
        if stored is None:
            raise KeyMissing(
                f"The key for stored passwords is missing: {self._searched()}. Put the file back, "
                "unlock the keyring, or set CODEWALK_SECRET_KEY to the former key.",
                value=str(self._key_store.path),
            )
        if stored.source is KeySource.FILE and not self._read_only:
            make_private(self._key_store.path)
        return _derive(stored)

    def _create_key(self) -> _Key:
        return _derive(self._key_store.create())

    def _stored_key_missing(self, stored: Collection[str]) -> StorageError:
        key_ids = ", ".join(sorted({_split(sealed)[1][:8] for sealed in stored}))
        return StorageError(
            f"The store has passwords under a key ({key_ids}) that is missing: "
            f"{self._searched()}. Unlock the keyring, or set CODEWALK_SECRET_KEY to that key; "
            "if it is lost, set it to a new one and enter the passwords again.",
            value=str(self._key_store.path),
        )

    def _searched(self) -> str:
        return f"there is no {self._key_store.path}, and no keyring of this session has it"


def _split(sealed: str) -> tuple[str, str, str]:
    """Return version, key id and data of a sealed text."""
    version, _, rest = sealed.partition(".")
    key_id, _, encoded = rest.partition(".")
    return version, key_id, encoded


def _derive(stored: StoredKey) -> _Key:
    # Imported here: most commands touch no password.
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    material = stored.text.reveal().strip().encode("utf-8", "surrogateescape")
    key = hashlib.scrypt(material, salt=_SALT, n=2**14, r=8, p=1, dklen=32)
    key_id = hashlib.sha256(b"codewalk key id" + key).hexdigest()[:8]
    return _Key(id=key_id, cipher=AESGCM(key))


def _copy(error: StorageError) -> StorageError:
    """Return the error anew: raised again and again, the old one's traceback would only grow."""
    return type(error)(error.message, value=error.value)


def _unreadable(owner: str, problem: str) -> UnreadableSecret:
    return UnreadableSecret(f"The password of server {owner} {problem}", value=owner)
