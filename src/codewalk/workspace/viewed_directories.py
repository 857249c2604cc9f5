"""Which directories of the active server are looked at: their lists are kept fresh."""

from typing import Final

MAX_VIEWED_DIRECTORIES: Final = 3
"""Directories besides the server's own project; each costs a request where something changes."""


class ViewedDirectories:
    """The directories that were looked at last, on one server at a time."""

    def __init__(self, most: int = MAX_VIEWED_DIRECTORIES) -> None:
        self._most = most
        self._server_id: str | None = None
        self._directories: list[str] = []

    def add(self, server_id: str, directory: str | None) -> None:
        """Tells that a directory is looked at, None for the server's own project."""
        if server_id != self._server_id:
            self._server_id, self._directories = server_id, []
        if directory is not None:
            others = [known for known in self._directories if known != directory]
            self._directories = [directory, *others][: self._most]

    def get(self, server_id: str) -> tuple[str | None, ...]:
        """The server's own project, which always counts as looked at, and the directories."""
        return (None, *self._directories) if server_id == self._server_id else (None,)
