"""The sessions of one server, fetched or as last fetched."""

import asyncio
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from pathlib import PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any, Final, Literal
from unicodedata import normalize

from codewalk.errors import InvalidValue, RequestFailed
from codewalk.opencode.fields import (
    MAX_DIRECTORY,
    Timestamps,
    parse_id,
    parse_milliseconds,
    parse_text,
    parse_times,
    take_within,
)
from codewalk.reason import Reason
from codewalk.times import rfc3339
from codewalk.workspace.scope import Scope, Serializer, StateName
from codewalk.workspace.state_cache import FetchStart

if TYPE_CHECKING:
    from codewalk.opencode.connection import Connection

MAX_TITLE: Final = 500
"""Characters of a title that are kept; a list of thousands is held in memory and painted."""

MAX_SESSIONS: Final = 10_000
"""Sessions asked for and kept; current releases send 100 unless they are asked for more."""

MAX_TEXT: Final = 4 * 2**20
"""Characters of a list's titles and directories; those of ten thousand real sessions are half."""

MAX_QUERY: Final = 500

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")

_INLINE: Final = 1000
"""Sessions up to which an answer is read on the event loop: a few milliseconds."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Session(Timestamps):
    """One session. Its title is whatever a server sent: text, never markup."""

    id: str
    title: str
    directory: str

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "title": self.title,
            "directory": self.directory,
            "created_at": rfc3339(self.created_at),
            "updated_at": rfc3339(self.updated_at),
        }


Sessions = tuple[Session, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionList:
    """The sessions of `directory`, or of the server's own project where it is None, newest first.

    `fetched_at` is when the server was asked, None where it never was.
    """

    server_id: str
    directory: str | None
    source: Literal["live", "cache"]
    fetched_at: datetime | None
    sessions: Sessions

    def to_json(self) -> dict[str, Any]:
        return {
            "server_id": self.server_id,
            "directory": self.directory,
            "source": self.source,
            "fetched_at": rfc3339(self.fetched_at),
            "sessions": [session.to_json() for session in self.sessions],
        }


def clean_directory(directory: str | None) -> str | None:
    """A directory as a server is asked for it, None for the server's own project.

    Raises `InvalidValue` for a name that a URL or a key can't carry whole.
    """
    _refuse_half_characters("directory", directory or "")
    if directory and len(directory) > MAX_DIRECTORY:
        raise InvalidValue(
            f"The directory has {len(directory):,} characters; at most {MAX_DIRECTORY:,} are "
            "allowed.",
            value=directory[:MAX_TITLE],
        )
    return directory or None


def require_absolute_directory(directory: str | None) -> str | None:
    """A directory in which something is made: some releases take any other name for a folder of
    its own. Raises `InvalidValue`."""
    directory = clean_directory(directory)
    kinds = (PurePosixPath, PureWindowsPath)
    if directory and not any(kind(directory).is_absolute() for kind in kinds):
        raise InvalidValue(
            f"The directory {directory!r} isn't a whole path, such as /home/me/project.",
            value=directory,
        )
    return directory


def clean_title(title: str | None) -> str | None:
    """A title as it is sent: trimmed, None where nothing is left. Raises `InvalidValue`."""
    title = (title or "").strip()
    _refuse_half_characters("title", title)
    if _CONTROL.search(title):
        raise InvalidValue("The title has a control character; use plain text.", value=title)
    if len(title) > MAX_TITLE:
        raise InvalidValue(
            f"The title has {len(title):,} characters; at most {MAX_TITLE} are allowed.",
            value=title[:MAX_TITLE],
        )
    return title or None


def _refuse_half_characters(what: str, given: str) -> None:
    try:
        given.encode()
    except UnicodeEncodeError:
        raise InvalidValue(
            f"The {what} {given[:MAX_TITLE]!r} isn't UTF-8; it can't be sent to a server.",
            value=repr(given[:MAX_TITLE]),
        ) from None


def find_sessions(sessions: Iterable[Session], query: str) -> Sessions:
    """Those whose title and directory hold every word of the query, in any order and any case."""
    words = [_spellings(word) for word in set(query[:MAX_QUERY].casefold().split())]
    if not words:  # most lists that are painted: nothing is to be read of each session
        return tuple(sessions)
    return tuple(
        session
        for session in sessions
        if _has_all(words, f"{session.title}\n{session.directory}".casefold())
    )


def _spellings(word: str) -> frozenset[str]:
    """The ways to write a word: an `é` may be one character or two, as in macOS's file names.

    Of the query alone: to normalise a text takes time that grows with the square of how many
    accents stand in a row, and that is a server's choice.
    """
    return frozenset({word, normalize("NFC", word), normalize("NFD", word)})


def _has_all(words: Iterable[Iterable[str]], where: str) -> bool:
    return all(any(map(where.__contains__, spellings)) for spellings in words)


async def fetch_sessions(
    scope: Scope, connection: "Connection", directory: str | None = None
) -> SessionList:
    """Asks the server, and keeps the answer in its scope.

    Raises `RequestFailed` where the server can't be reached or doesn't answer a list.
    """
    asked = scope.begin_fetch()
    body = await _ask(connection, {} if directory is None else {"directory": directory})
    if not isinstance(body, list):
        raise RequestFailed(Reason.NOT_OPENCODE, "Its session list isn't a list.")
    sessions = _read(body) if len(body) <= _INLINE else await asyncio.to_thread(_read, body)
    await scope.put_cached(_SERIALIZER, sessions, asked, directory or "")
    return SessionList(
        server_id=scope.server_id,
        directory=directory,
        source="live",
        fetched_at=asked.at,
        sessions=sessions,
    )


async def _ask(connection: "Connection", params: dict[str, str]) -> Any:
    try:
        return await connection.get_json("/session", params=params | {"limit": str(MAX_SESSIONS)})
    except RequestFailed as exc:
        if exc.status != HTTPStatus.BAD_REQUEST:
            raise
    # A release that doesn't know `limit` may refuse it, and sends all.
    return await connection.get_json("/session", params=params)


async def cached_sessions(scope: Scope, directory: str | None = None) -> SessionList:
    """The list as last fetched; empty where it never was. Asks no server."""
    kept = await scope.get_cached(_SERIALIZER, directory or "")
    return SessionList(
        server_id=scope.server_id,
        directory=directory,
        source="cache",
        fetched_at=kept.updated_at if kept else None,
        sessions=kept.value if kept else (),
    )


async def create_session(
    scope: Scope, connection: "Connection", directory: str | None, title: str | None
) -> Session:
    """Has the server make a session, and makes it the one that is open in its directory.

    It is in the kept list at once. Raises `RequestFailed`.
    """
    params = {} if directory is None else {"directory": directory}
    body = await connection.post_json(
        "/session", {} if title is None else {"title": title}, params=params
    )
    session = _session(body)
    if session is None:
        raise RequestFailed(Reason.NOT_OPENCODE, "Its answer to a new session isn't one.")
    for place in {directory or "", session.directory}:
        await _insert(scope, session, place)
    await scope.put({StateName.CURRENT_SESSION_ID: session.id}, directory or "")
    return session


async def _insert(scope: Scope, session: Session, place: str) -> None:
    # After the session is there: a list asked for before may lack it, and isn't kept any more.
    turn = scope.begin_fetch().sequence
    kept = await scope.get_cached(_SERIALIZER, place)
    if kept is None:
        return  # one with this session alone would be taken for the whole
    others = [known for known in kept.value if known.id != session.id]
    asked = FetchStart(at=kept.updated_at, sequence=turn)
    await scope.put_cached(_SERIALIZER, _newest_first([session, *others]), asked, place)


def _read(items: list[Any]) -> Sessions:
    """The sessions of a server's answer."""
    found = [session for item in items[:MAX_SESSIONS] if (session := _session(item))]
    return tuple(take_within(_newest_first(found), MAX_TEXT, _length))


def _length(session: Session) -> int:
    return len(session.id) + len(session.title) + len(session.directory)


def _newest_first(sessions: Iterable[Session]) -> Sessions:
    return tuple(sorted(sessions, key=lambda session: session.updated_ms or 0, reverse=True))


def _session(item: Any) -> Session | None:
    """A session of the server's answer; None for what isn't one."""
    if not isinstance(item, dict):
        return None
    session_id = parse_id(item.get("id"))
    if session_id is None:
        return None
    created, updated = parse_times(item.get("time"))
    return Session(
        id=session_id,
        title=parse_text(item.get("title"), MAX_TITLE),
        directory=parse_text(item.get("directory"), MAX_DIRECTORY),
        created_ms=created,
        updated_ms=updated,
    )


def _dump(sessions: Sessions) -> list[list[Any]]:
    return [[s.id, s.title, s.directory, s.created_ms, s.updated_ms] for s in sessions]


def _load(rows: Any) -> Sessions:
    return tuple(
        Session(
            id=session_id,
            title=title,
            directory=directory,
            created_ms=parse_milliseconds(created),
            updated_ms=parse_milliseconds(updated),
        )
        for session_id, title, directory, created, updated in rows
    )


_SERIALIZER: Final = Serializer(name=StateName.CACHED_SESSIONS, dump=_dump, load=_load)
