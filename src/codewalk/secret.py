"""A text that no rendering shows."""

import hashlib
from collections.abc import Callable
from typing import NoReturn


class Secret:
    """A password or token; every rendering of it is `***`, and only `reveal` returns the text.

    A type rather than a logging filter: a filter has to recognise the text in each place where it
    could leak, a type leaks in none.

    >>> str(Secret("hunter2")), repr([Secret("hunter2")]), f"{Secret('x'):>5}"
    ('***', '[***]', '***')
    """

    __slots__ = ("_reveal", "_sealed")

    def __init__(self, text: str | Callable[[], str], *, sealed: str | None = None) -> None:
        self._reveal = text if callable(text) else lambda: text
        self._sealed = sealed

    @classmethod
    def sealed(cls, sealed: str, unseal: Callable[[], str]) -> "Secret":
        """Return a secret that stays encrypted until it is revealed.

        Args:
            sealed: The encrypted form.
            unseal: Returns the text, or raises; called for each `reveal`.
        """
        return cls(unseal, sealed=sealed)

    @property
    def is_sealed(self) -> bool:
        """Whether the vault's key is needed to reveal it."""
        return self._sealed is not None

    def reveal(self) -> str:
        """Return the text itself.

        Raises:
            StorageError: It is sealed and can't be unsealed.
        """
        return self._reveal()

    @property
    def fingerprint(self) -> str:
        """A hash that identifies a stored secret, also in other processes; empty if not stored.

        It is computed from the encrypted form, which has a random nonce: it reveals nothing about
        the text.
        """
        if self._sealed is None:
            return ""
        return hashlib.sha256(self._sealed.encode()).hexdigest()[:16]

    def __eq__(self, other: object) -> bool:
        """Compare without unsealing: what was read twice from one place is equal.

        So two may hold the same text and not be equal.
        """
        if self is other or not isinstance(other, Secret):
            return self is other
        return self._sealed is not None and self._sealed == other._sealed

    def __hash__(self) -> int:
        return hash(self._sealed) if self._sealed is not None else id(self)

    def __str__(self) -> str:
        return "***"

    __repr__ = __str__

    def __format__(self, spec: str) -> str:
        return "***"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret can't be pickled or copied out of the process")
