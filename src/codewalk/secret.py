"""A text that never shows itself."""

from collections.abc import Callable
from typing import NoReturn


class Secret:
    """Holds a password or token; every rendering of it is `***`.

    A type rather than a logging filter: a filter has to recognise the text in each place where it
    could leak, a type leaks in none. Only `reveal()` gives the text.

    >>> str(Secret("hunter2")), repr([Secret("hunter2")]), f"{Secret('x'):>5}"
    ('***', '[***]', '***')
    """

    __slots__ = ("_reveal", "_sealed")

    def __init__(self, text: str | Callable[[], str], *, sealed: str | None = None) -> None:
        self._reveal = text if callable(text) else lambda: text
        self._sealed = sealed

    @classmethod
    def sealed(cls, sealed: str, unseal: Callable[[], str]) -> "Secret":
        """A secret that stays encrypted, as `sealed`, until `unseal` is needed, which may raise."""
        return cls(unseal, sealed=sealed)

    def reveal(self) -> str:
        """The text itself.

        Raises `StorageError` for one that was stored under another key.
        """
        return self._reveal()

    def __eq__(self, other: object) -> bool:
        """Whether it is certainly the same text: what was read twice from one place is.

        Nothing is unsealed for it, so that two may hold one text and not be equal.
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
