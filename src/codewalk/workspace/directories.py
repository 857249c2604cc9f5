"""Directories on a server: valid names, the server's own one, those that users are viewing."""

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
    """The directories viewed last, on one server at a time."""

    def __init__(self, max_directories: int = MAX_VIEWED_DIRECTORIES) -> None:
        self._max_directories = max_directories
        self._server_id: str | None = None
        self._directories: list[str] = []
        self._times: dict[str | None, float] = {}

    def add(self, server_id: str, directory: str | None) -> None:
        """Record that somebody views a directory; None is the server's own."""
        if server_id != self._server_id:
            self._server_id, self._directories, self._times = server_id, [], {}
        self._times[directory] = monotonic()
        if directory is not None:
            others = [other for other in self._directories if other != directory]
            self._directories = [directory, *others][: self._max_directories]
            kept = (None, *self._directories)
            self._times = {key: time for key, time in self._times.items() if key in kept}

    def since(self, server_id: str, seconds: float) -> tuple[str | None, ...]:
        """Return the directories viewed within the last so many seconds."""
        if server_id != self._server_id:
            return ()
        now = monotonic()
        return tuple(key for key, time in self._times.items() if now - time <= seconds)

    def get(self, server_id: str) -> tuple[str | None, ...]:
        """Return None, for the own directory, which always counts as viewed, and the others."""
        return (None, *self._directories) if server_id == self._server_id else (None,)
