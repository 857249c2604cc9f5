"""The sessions of one server, fetched or as last fetched."""

import asyncio
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, Literal

from codewalk.errors import InvalidValue, RequestFailed
from codewalk.opencode.fields import parse_id, parse_milliseconds, take_within
from codewalk.opencode.session import MAX_TITLE, Session, parse_project_id, parse_session
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

MAX_SESSIONS: Final = 10_000
"""Sessions of a list; current releases send 100 unless they are asked for more."""

MAX_TEXT: Final = 4 * 2**20
"""Characters of a list's titles and directories; ten thousand real sessions have half as many."""

MAX_PARSED_INLINE: Final = 1000
"""Sessions up to which an answer is parsed on the event loop, which takes a few milliseconds."""

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


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

    def without_archived(self) -> "SessionList":
        """Return the list as it is shown unless somebody asks for archived sessions too."""
        return replace(self, sessions=tuple(s for s in self.sessions if not s.archived))


@dataclass(frozen=True, kw_only=True, slots=True)
class CachedList:
    """A list as it is stored, with the project that all its sessions belong to, where there is one.

    Child sessions and archived ones are in it: events and the activity of parents need them.
    """

    sessions: Sessions = ()
    project_id: str | None = None


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
            fetched = await _fetch_list(connection, {})
            await scope.put_cached(_SERIALIZER, fetched, start, await own)
    else:
        fetched = await _fetch_list(connection, {"directory": directory})
        cached = await _with_rest_of_project(scope, fetched, directory)
        await scope.put_cached(_SERIALIZER, cached, start, directory)
    return SessionList(
        server_id=scope.server_id,
        directory=directory,
        source="live",
        fetched_at=start.at,
        sessions=fetched.sessions,
    )


async def _fetch_list(connection: "Connection", params: dict[str, str]) -> CachedList:
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


async def _with_rest_of_project(scope: Scope, fetched: CachedList, directory: str) -> CachedList:
    """Return what to cache under a directory of which these sessions were fetched.

    Under the server's own directory lies the list of its whole project, in which other
    directories have sessions too: they stay.
    """
    if directory != await get_own_directory(scope):
        return fetched
    stored = await scope.get_cached(_SERIALIZER, directory)
    if stored is None:
        return fetched
    ids = {session.id for session in fetched.sessions}
    rest = [s for s in stored.value.sessions if s.directory != directory and s.id not in ids]
    project_id = fetched.project_id or stored.value.project_id
    return CachedList(sessions=newest_first([*fetched.sessions, *rest]), project_id=project_id)


async def cached_sessions(scope: Scope, directory: str | None = None) -> SessionList:
    """Return the list as last fetched, an empty one where it never was. Asks no server."""
    own = await get_own_directory(scope)
    key = own if directory is None else directory
    stored = None if key is None else await scope.get_cached(_SERIALIZER, key)
    sessions = stored.value.sessions if stored else ()
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
    session = parse_session(body)
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
    others = [other for other in stored.value.sessions if other.id != session.id]
    start = FetchStart(at=stored.updated_at, sequence=sequence)
    value = replace(stored.value, sessions=newest_first([session, *others]))
    await scope.put_cached(_SERIALIZER, value, start, directory)


def _parse_list(items: list[Any]) -> CachedList:
    items = items[:MAX_SESSIONS]
    sessions = newest_first(session for item in items if (session := parse_session(item)))
    project_ids = {parse_project_id(item) for item in items}
    return CachedList(
        sessions=tuple(take_within(sessions, MAX_TEXT, _length)),
        project_id=project_ids.pop() if len(project_ids) == 1 else None,
    )


def _length(session: Session) -> int:
    return len(session.id) + len(session.title) + len(session.directory)


def newest_first(sessions: Iterable[Session]) -> Sessions:
    """Return the sessions by the time of their last update, each id once: its newest state."""
    ordered = sorted(sessions, key=lambda session: session.updated_ms or 0, reverse=True)
    by_id: dict[str, Session] = {}
    for session in ordered:
        by_id.setdefault(session.id, session)
    return tuple(by_id.values())


def _dump(cached: CachedList) -> dict[str, Any]:
    rows = [
        [s.id, s.title, s.directory, s.created_ms, s.updated_ms, s.parent_id, s.archived]
        for s in cached.sessions
    ]
    return {"project_id": cached.project_id, "sessions": rows}


def _load(value: Any) -> CachedList:
    # Until 0.1.0 the rows alone were stored, without the last two columns.
    rows = value if isinstance(value, list) else value["sessions"]
    project_id = None if isinstance(value, list) else parse_id(value["project_id"])
    return CachedList(sessions=tuple(_load_row(*row) for row in rows), project_id=project_id)


def _load_row(
    session_id: str,
    title: str,
    directory: str,
    created: Any,
    updated: Any,
    parent_id: Any = None,
    archived: Any = False,
) -> Session:
    return Session(
        id=session_id,
        title=title,
        directory=directory,
        parent_id=parse_id(parent_id),
        archived=archived is True,
        created_ms=parse_milliseconds(created),
        updated_ms=parse_milliseconds(updated),
    )


_SERIALIZER: Final = Serializer(name=StateName.CACHED_SESSIONS, dump=_dump, load=_load)
