"""Directories on a server: valid names, the server's own one, those that users are viewing."""

from enum import Enum
from http import HTTPStatus
from pathlib import PurePosixPath, PureWindowsPath
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from codewalk.errors import InvalidValue, RequestFailed
from codewalk.opencode.fields import MAX_DIRECTORY
from codewalk.reason import Reason
from codewalk.workspace.scope import Scope, Serializer, StateName
from codewalk.workspace.state_cache import FetchStart

if TYPE_CHECKING:
    from codewalk.opencode.connection import Connection


class AllDirectories(Enum):
    """Stands for all directories of a server, where one directory could be named."""

    ALL = "all"


ALL: Final = AllDirectories.ALL

DirectoryChoice = str | AllDirectories | None
"""The sessions that a list has: those of one directory, of `ALL` of the server's, or, with None, of
the project in which the server was started."""

UNNAMED: Final = ""
"""The own directory of a server that doesn't name it."""

MAX_VIEWED_DIRECTORIES: Final = 3
"""Directories besides the server's own; each costs a request whenever something changes."""

OWN_DIRECTORY_TIMEOUT: Final = 3.0
"""Seconds for `/path`, which a list of sessions that was fetched waits for."""

_MAX_QUOTED: Final = 500
"""Characters of a bad value that an error message repeats."""


def clean_directory(directory: str | None) -> str | None:
    """Return a directory as a server is asked for it, None for the server's own.

    Raises:
        InvalidValue: A URL or a key can't carry the name whole.
    """
    require_utf8("directory", directory or "")
    if directory and len(directory) > MAX_DIRECTORY:
        raise InvalidValue(
            f"The directory has {len(directory):,} characters; at most {MAX_DIRECTORY:,} are "
            "allowed.",
            value=directory[:_MAX_QUOTED],
        )
    return directory or None


def clean_choice(choice: DirectoryChoice) -> DirectoryChoice:
    """Return a choice of directories whose directory is as `clean_directory` returns it.

    Raises:
        InvalidValue: A URL or a key can't carry the directory's name whole.
    """
    return choice if isinstance(choice, AllDirectories) else clean_directory(choice)


def require_absolute_directory(directory: str | None) -> str | None:
    """Return a directory in which a session can be created, None for the server's own.

    Some releases would take a relative path for a directory below one of their own.

    Raises:
        InvalidValue: It isn't an absolute path, or no valid name.
    """
    directory = clean_directory(directory)
    kinds = (PurePosixPath, PureWindowsPath)
    if directory and not any(kind(directory).is_absolute() for kind in kinds):
        raise InvalidValue(
            f"The directory {directory!r} isn't an absolute path, such as /home/me/project.",
            value=directory,
        )
    return directory


def require_utf8(field: str, text: str) -> None:
    """Raise `InvalidValue` for text with a lone surrogate, which can't be sent to a server."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidValue(
            f"The {field} {text[:_MAX_QUOTED]!r} isn't UTF-8; it can't be sent to a server.",
            value=repr(text[:_MAX_QUOTED]),
        ) from None


def parse_directory(value: Any) -> str | None:
    """Return a directory out of a server's answer, None for anything else."""
    # Whole or not at all: the server is asked for it again.
    return value if isinstance(value, str) and 0 < len(value) <= MAX_DIRECTORY else None


async def fetch_own_directory(connection: "Connection") -> str | None:
    """Fetch the directory in which the server was started.

    Returns:
        `UNNAMED` where the server doesn't name it; None where it couldn't be fetched now.
    """
    try:
        path = await connection.get_json("/path", timeout=OWN_DIRECTORY_TIMEOUT)
    except RequestFailed as exc:
        unsupported = exc.reason is Reason.NOT_OPENCODE or exc.status == HTTPStatus.NOT_FOUND
        return UNNAMED if unsupported else None
    return parse_own_directory(path) or UNNAMED


def parse_own_directory(path: Any) -> str | None:
    """Return the own directory out of the answer of `/path`."""
    return parse_directory(path.get("directory")) if isinstance(path, dict) else None


async def put_own_directory(scope: Scope, directory: str, start: FetchStart) -> None:
    """Store the server's own directory."""
    await scope.put_cached(_OWN_DIRECTORY, directory, start)


async def get_own_directory(scope: Scope) -> str | None:
    """Return the server's own directory as last fetched, None where it never was."""
    stored = await scope.get_cached(_OWN_DIRECTORY)
    return stored.value if stored else None


def peek_own_directory(scope: Scope) -> str | None:
    """Return the own directory that this app last saw, without reading the store."""
    return scope.peek(_OWN_DIRECTORY)


def _load(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("not a directory")
    return value


_OWN_DIRECTORY: Final = Serializer(name=StateName.OWN_DIRECTORY, dump=str, load=_load)


class ViewedDirectories:
    """The directories viewed last, on one server at a time.

    None stands for the server's own directory, `ALL` for all of them.
    """

    def __init__(self, max_directories: int = MAX_VIEWED_DIRECTORIES) -> None:
        self._max_directories = max_directories
        self._server_id: str | None = None
        self._times: dict[DirectoryChoice, float] = {}

    def add(self, server_id: str, choice: DirectoryChoice) -> None:
        """Record that somebody views the sessions of a directory, or of all of them."""
        if server_id != self._server_id:
            self._server_id, self._times = server_id, {}
        self._times.pop(choice, None)
        self._times[choice] = monotonic()
        for directory in self._named()[self._max_directories :]:
            del self._times[directory]

    def since(self, server_id: str, seconds: float) -> tuple[DirectoryChoice, ...]:
        """Return what was viewed within the last so many seconds."""
        if server_id != self._server_id:
            return ()
        now = monotonic()
        return tuple(key for key, time in self._times.items() if now - time <= seconds)

    def get(self, server_id: str) -> tuple[DirectoryChoice, ...]:
        """Return what is viewed: first the own directory or all of them, then single ones.

        The own directory counts as viewed, unless only the list of all directories is.
        """
        if server_id != self._server_id:
            return (None,)
        everything: tuple[DirectoryChoice, ...] = (ALL,) if ALL in self._times else ()
        own = (None,) if None in self._times or not everything else ()
        return (*own, *everything, *self._named())

    def _named(self) -> list[str]:
        """Return the single directories, the one viewed last first."""
        return [key for key in reversed(self._times) if isinstance(key, str)]
