"""The sessions of one server, fetched or as last fetched."""

import asyncio
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, Literal

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
from codewalk.tasks import BackgroundTasks
from codewalk.times import rfc3339
from codewalk.workspace.directories import (
    UNNAMED,
    fetch_own_directory,
    get_own_directory,
    require_utf8,
)
from codewalk.workspace.scope import Scope, Serializer, StateName
from codewalk.workspace.state_cache import FetchStart

if TYPE_CHECKING:
    from codewalk.opencode.connection import Connection

MAX_TITLE: Final = 500
"""Characters of a title; a list of thousands is held in memory and rendered."""

MAX_SESSIONS: Final = 10_000
"""Sessions of a list; current releases send 100 unless they are asked for more."""

MAX_TEXT: Final = 4 * 2**20
"""Characters of a list's titles and directories; ten thousand real sessions have half as many."""

MAX_PARSED_INLINE: Final = 1000
"""Sessions up to which an answer is parsed on the event loop, which takes a few milliseconds."""

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


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
    """The sessions of a directory, newest first.

    `directory` is None for those of the project in which the server was started. `fetched_at` is
    when the server was asked, None where it never was.
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


def clean_title(title: str | None) -> str | None:
    """Return a title without surrounding white space, None for an empty one.

    Raises:
        InvalidValue: It is too long, has a control character, or isn't UTF-8.
    """
    title = (title or "").strip()
    require_utf8("title", title)
    if _CONTROL.search(title):
        raise InvalidValue("The title has a control character; use plain text.", value=title)
    if len(title) > MAX_TITLE:
        raise InvalidValue(
            f"The title has {len(title):,} characters; at most {MAX_TITLE} are allowed.",
            value=title[:MAX_TITLE],
        )
    return title or None


async def fetch_sessions(
    scope: Scope, connection: "Connection", directory: str | None = None
) -> SessionList:
    """Fetch a list of sessions, and cache it.

    Args:
        scope: The state of the same server.
        connection: The connection to it.
        directory: None for the project in which the server was started.

    Raises:
        RequestFailed: The server can't be reached, or its answer isn't a list.
    """
    start = scope.begin_fetch()
    if directory is None:
        async with BackgroundTasks() as tasks:
            # The list is stored under the server's own directory, which only `/path` names, and
            # which is another one once the server was restarted elsewhere.
            own = tasks.create_task(
                fetch_own_directory(scope, connection), name="fetch of the own directory"
            )
            sessions = await _fetch_list(connection, {})
            await scope.put_cached(_SERIALIZER, sessions, start, await own)
    else:
        sessions = await _fetch_list(connection, {"directory": directory})
        cached = await _with_rest_of_project(scope, sessions, directory)
        await scope.put_cached(_SERIALIZER, cached, start, directory)
    return SessionList(
        server_id=scope.server_id,
        directory=directory,
        source="live",
        fetched_at=start.at,
        sessions=sessions,
    )


async def _fetch_list(connection: "Connection", params: dict[str, str]) -> Sessions:
    body = await _request_list(connection, params)
    if not isinstance(body, list):
        raise RequestFailed(Reason.NOT_OPENCODE, "Its session list isn't a list.")
    if len(body) <= MAX_PARSED_INLINE:
        return _parse_list(body)
    return await asyncio.to_thread(_parse_list, body)


async def _request_list(connection: "Connection", params: dict[str, str]) -> Any:
    try:
        return await connection.get_json("/session", params=params | {"limit": str(MAX_SESSIONS)})
    except RequestFailed as exc:
        if exc.status != HTTPStatus.BAD_REQUEST:
            raise
    # A release that doesn't know `limit` may refuse it, and sends all.
    return await connection.get_json("/session", params=params)


async def _with_rest_of_project(scope: Scope, sessions: Sessions, directory: str) -> Sessions:
    """Return what to cache under a directory of which these sessions were fetched.

    Under the server's own directory lies the list of its whole project, in which other
    directories have sessions too: they stay.
    """
    if directory != await get_own_directory(scope):
        return sessions
    stored = await scope.get_cached(_SERIALIZER, directory)
    fetched = {session.id for session in sessions}
    rest = [
        session
        for session in (stored.value if stored else ())
        if session.directory != directory and session.id not in fetched
    ]
    return _newest_first([*sessions, *rest])


async def cached_sessions(scope: Scope, directory: str | None = None) -> SessionList:
    """Return the list as last fetched, an empty one where it never was. Asks no server."""
    own = await get_own_directory(scope)
    key = own if directory is None else directory
    stored = None if key is None else await scope.get_cached(_SERIALIZER, key)
    sessions = stored.value if stored else ()
    if directory is not None and directory == own:
        # The whole project's list: see `_with_rest_of_project`.
        sessions = tuple(session for session in sessions if session.directory == directory)
    return SessionList(
        server_id=scope.server_id,
        directory=directory,
        source="cache",
        fetched_at=stored.updated_at if stored else None,
        sessions=sessions,
    )


async def create_session(
    scope: Scope, connection: "Connection", directory: str | None, title: str | None
) -> Session:
    """Create a session, make it the current one of its directory, and add it to cached lists.

    Args:
        scope: The state of the same server.
        connection: The connection to it.
        directory: An absolute path, None for where the server was started.
        title: None for the server's own choice.

    Raises:
        RequestFailed: The server can't be reached, refuses, or answers something else.
    """
    params = {} if directory is None else {"directory": directory}
    body = await connection.post_json(
        "/session", {} if title is None else {"title": title}, params=params
    )
    session = _parse_session(body)
    if session is None:
        raise RequestFailed(Reason.NOT_OPENCODE, "Its answer to a new session isn't one.")
    # The answer tells where the server was started: elsewhere, maybe, than when last fetched.
    key = directory or session.directory or await get_own_directory(scope) or UNNAMED
    for listed in {key, session.directory or key}:
        await _insert(scope, session, listed)
    await scope.put({StateName.CURRENT_SESSION_ID: session.id}, key)
    return session


async def _insert(scope: Scope, session: Session, directory: str) -> None:
    # Numbered after the session was created: a list that was asked for before may lack it, and
    # isn't stored any more.
    sequence = scope.begin_fetch().sequence
    stored = await scope.get_cached(_SERIALIZER, directory)
    if stored is None:
        return  # a list of this session alone would be taken for a whole one
    others = [other for other in stored.value if other.id != session.id]
    start = FetchStart(at=stored.updated_at, sequence=sequence)
    await scope.put_cached(_SERIALIZER, _newest_first([session, *others]), start, directory)


def _parse_list(items: list[Any]) -> Sessions:
    parsed = [session for item in items[:MAX_SESSIONS] if (session := _parse_session(item))]
    return tuple(take_within(_newest_first(parsed), MAX_TEXT, _length))


def _parse_session(item: Any) -> Session | None:
    """Return a session out of a server's answer, None for anything else."""
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


def _length(session: Session) -> int:
    return len(session.id) + len(session.title) + len(session.directory)


def _newest_first(sessions: Iterable[Session]) -> Sessions:
    return tuple(sorted(sessions, key=lambda session: session.updated_ms or 0, reverse=True))


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
