"""The sessions of one server, fetched or as last fetched."""

import asyncio
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, Literal

from codewalk.errors import InvalidValue, RequestFailed
from codewalk.opencode.fields import parse_id, parse_milliseconds, parse_times, take_within
from codewalk.opencode.session import MAX_TITLE, Session, parse_project_id, parse_session
from codewalk.reason import Reason
from codewalk.tasks import BackgroundTasks
from codewalk.times import rfc3339
from codewalk.workspace.directories import (
    UNNAMED,
    fetch_own_directory,
    get_own_directory,
    put_own_directory,
    require_utf8,
)
from codewalk.workspace.scope import Scope, Serializer, StateName, StoredValue
from codewalk.workspace.session_changes import SessionChange, SessionChanges
from codewalk.workspace.state_cache import FetchStart, StateCache

if TYPE_CHECKING:
    from codewalk.opencode.connection import Connection

MAX_SESSIONS: Final = 10_000
"""Sessions of a list; current releases send 100 unless they are asked for more."""

SMALLER_LIMITS: Final = (500, 100)
"""Sessions that a server is asked for at once where it fails at a list of `MAX_SESSIONS`."""

MAX_PAGES: Final = 100
"""Pages that are asked for after the first one."""

MAX_TEXT: Final = 4 * 2**20
"""Characters of a list's titles and directories; ten thousand real sessions have half as many."""

MAX_PARSED_INLINE: Final = 1000
"""Sessions up to which an answer is parsed on the event loop, which takes a few milliseconds."""

LOOK_LIMIT: Final = 50
"""Sessions that a look at the newest ones asks for: those of a page, some 20 KB."""

MIN_LOOK_INTERVAL: Final = 1.0
"""Seconds between two looks at one list."""

MAX_LIST_AGE: Final = 600.0
"""Seconds after which a look fetches all: what another process renamed, archived or deleted isn't
among the newest."""

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
    scope: Scope,
    connection: "Connection",
    directory: str | None = None,
    *,
    changes: SessionChanges | None = None,
) -> SessionList:
    """Fetch a list of sessions, and cache it.

    Args:
        scope: The state of the same server.
        connection: The connection to it.
        directory: None for the project in which the server was started.
        changes: Those of the server's events; the ones that come meanwhile win over the answer.

    Raises:
        RequestFailed: The server can't be reached, or its answer isn't a list.
    """
    changes = changes or _no_changes()
    start = scope.begin_fetch()
    with changes.fetching(scope.server_id, start):
        if directory is None:
            fetched, own = await _fetch_own_list(connection)
            key = await _put_own_directory(scope, own, start)
        else:
            fetched = await _fetch_list(connection, {"directory": directory})
            key = directory
        if await _put_fetched(scope, fetched, start, directory, key):
            now = asyncio.get_running_loop().time()
            changes.set_fetched(scope.server_id, key, now, start.at)
        is_project_wide = directory is None
        newer = changes.since(scope.server_id, start.sequence)
        fetched = apply_changes(fetched, newer, key, is_project_wide=is_project_wide)
    own_directory = await get_own_directory(scope)
    return SessionList(
        server_id=scope.server_id,
        directory=directory,
        source="live",
        fetched_at=start.at,
        sessions=_of_directory(fetched.sessions, directory, own_directory),
    )


async def _put_fetched(
    scope: Scope, fetched: CachedList, start: FetchStart, directory: str | None, key: str
) -> bool:
    if directory is not None:
        fetched = await _with_rest_of_project(scope, fetched, directory)
    return await scope.put_cached(_SERIALIZER, fetched, start, key)


async def _fetch_own_list(connection: "Connection") -> tuple[CachedList, str | None]:
    """Return the own list, and the own directory, None where that couldn't be fetched.

    The list is stored under that directory, which only `/path` names, and which is another one once
    the server was restarted elsewhere.
    """
    async with BackgroundTasks() as tasks:
        own = tasks.create_task(fetch_own_directory(connection), name="fetch of the own directory")
        fetched = await _fetch_list(connection, {})
        return fetched, await own


async def _put_own_directory(scope: Scope, own: str | None, start: FetchStart) -> str:
    """Store the own directory, or else the one of before; return which it is."""
    if own is None:
        own = await get_own_directory(scope)
    own = UNNAMED if own is None else own
    await put_own_directory(scope, own, start)
    return own


async def _fetch_list(connection: "Connection", params: dict[str, str]) -> CachedList:
    return await _parse_answer(await _request_list(connection, params))


async def _parse_answer(body: Any) -> CachedList:
    if not isinstance(body, list):
        raise RequestFailed(Reason.NOT_OPENCODE, "Its session list isn't a list.")
    if len(body) <= MAX_PARSED_INLINE:
        return _parse_list(body)
    return await asyncio.to_thread(_parse_list, body)


async def _request_list(connection: "Connection", params: dict[str, str]) -> Any:
    try:
        return await _request_up_to(connection, params, MAX_SESSIONS)
    except RequestFailed as exc:
        if not _may_be_too_many(exc):
            raise
        first_failure = exc
    for limit in SMALLER_LIMITS:
        try:
            body = await _request_up_to(connection, params, limit)
        except RequestFailed:
            continue
        is_cut = isinstance(body, list) and len(body) == limit
        return await _with_older(connection, params, body, limit) if is_cut else body
    raise first_failure


async def _request_up_to(connection: "Connection", params: dict[str, str], limit: int) -> Any:
    try:
        return await connection.get_json("/session", params=params | {"limit": str(limit)})
    except RequestFailed as exc:
        if exc.status != HTTPStatus.BAD_REQUEST:
            raise
    # A release that doesn't know `limit` may refuse it, and sends all.
    return await connection.get_json("/session", params=params)


def _may_be_too_many(failure: RequestFailed) -> bool:
    """Return whether a smaller limit may help: a server error, or an answer beyond its bound."""
    if failure.status is None:
        return failure.reason is Reason.NOT_OPENCODE
    is_server_error = failure.status >= HTTPStatus.INTERNAL_SERVER_ERROR
    return is_server_error or failure.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE


async def _with_older(
    connection: "Connection", params: dict[str, str], newest: list[Any], limit: int
) -> list[Any]:
    """Return the newest sessions and the older ones, page by page, as far as the release has pages.

    Releases from 1.2 on have them for the sessions of all projects.
    """
    items = {parse_id(item.get("id")): item for item in newest if isinstance(item, dict)}
    project_ids = {parse_project_id(item) for item in items.values()}
    page = newest
    for _ in range(MAX_PAGES):
        times = [parse_times(item.get("time"))[1] for item in page if isinstance(item, dict)]
        oldest = min((time for time in times if time is not None), default=None)
        if oldest is None or len(page) < limit or len(items) >= MAX_SESSIONS:
            break
        # One millisecond more: others of the same time may be on the next page.
        more = {"limit": str(limit), "archived": "true", "cursor": str(oldest + 1)}
        try:
            page = await connection.get_json("/experimental/session", params=params | more)
        except RequestFailed:
            break
        if not isinstance(page, list):
            break
        before = len(items)
        for item in page:
            # Without a directory they are those of all projects.
            if isinstance(item, dict) and parse_project_id(item) in project_ids:
                items.setdefault(parse_id(item.get("id")), item)
        if len(items) == before and all(time == oldest for time in times):
            break
    return list(items.values())


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


async def cached_sessions(
    scope: Scope, directory: str | None = None, *, changes: SessionChanges | None = None
) -> SessionList:
    """Return the list as last fetched, with changes applied. Asks no server.

    It is empty where it never was fetched.
    """
    own = await get_own_directory(scope)
    key = own if directory is None else directory
    stored = None if key is None else await _read(scope, key, changes or _no_changes())
    sessions = _of_directory(stored.value.sessions if stored else (), directory, own)
    return SessionList(
        server_id=scope.server_id,
        directory=directory,
        source="cache",
        fetched_at=stored.updated_at if stored else None,
        sessions=sessions,
    )


def _of_directory(sessions: Sessions, directory: str | None, own: str | None) -> Sessions:
    """Return those of the server's own directory out of its whole project's list."""
    if directory is None or directory != own:
        return sessions
    return tuple(session for session in sessions if session.directory == directory)


async def _read(
    scope: Scope, directory: str, changes: SessionChanges
) -> StoredValue[CachedList] | None:
    """Return the stored list of a directory, with the changes since applied to it."""
    stored = await scope.get_cached(_SERIALIZER, directory)
    if stored is None:
        return None
    newer = changes.since(scope.server_id, stored.sequence)
    is_own = directory == await get_own_directory(scope)
    value = apply_changes(stored.value, newer, directory, is_project_wide=is_own)
    state = changes.list_state(scope.server_id, directory)
    # A list that another process stored since is its own witness.
    is_ours = state is not None and stored.updated_at >= state.fetched_at
    at = max(stored.updated_at, state.confirmed_at) if state and is_ours else stored.updated_at
    return StoredValue(value=value, updated_at=at)


def apply_changes(
    cached: CachedList,
    changes: Iterable[SessionChange],
    directory: str,
    *,
    is_project_wide: bool = False,
) -> CachedList:
    """Return a list with changes applied to it.

    Args:
        cached: The list.
        changes: What changed since it was fetched.
        directory: The directory whose sessions it has.
        is_project_wide: Whether it has those of other directories of the project, too.
    """
    newer = list(changes)
    if not newer:
        return cached
    is_project_wide = is_project_wide or _has_other_directories(cached, directory)
    by_id = {session.id: session for session in cached.sessions}
    project_id = cached.project_id
    for change in newer:
        before, session = by_id.get(change.session_id), change.session
        if session is None:
            by_id.pop(change.session_id, None)
            continue
        if before and (session.updated_ms or 0) < (before.updated_ms or 0):
            continue  # the list is newer than the event
        belongs = _belongs(session, change, cached, directory, is_project_wide=is_project_wide)
        if belongs or (belongs is None and before):
            by_id[session.id] = session
            project_id = change.project_id if not cached.sessions else project_id
        elif belongs is False:
            by_id.pop(session.id, None)
    sessions = newest_first(by_id.values())[:MAX_SESSIONS]
    if sessions == cached.sessions:
        return cached
    return CachedList(sessions=sessions, project_id=project_id)


def _has_other_directories(cached: CachedList, directory: str) -> bool:
    # The oldest releases list the whole project for any directory of it.
    return any(session.directory != directory for session in cached.sessions)


def _belongs(
    session: Session,
    change: SessionChange,
    cached: CachedList,
    directory: str,
    *,
    is_project_wide: bool,
) -> bool | None:
    """Return whether a changed session is one of a list, None where nothing tells."""
    if session.directory == directory:
        return True
    if not is_project_wide:
        return False
    if change.project_id is None or cached.project_id is None:
        return None
    return change.project_id == cached.project_id


async def list_undecided(
    scope: Scope, changes: SessionChanges, directories: Iterable[str | None]
) -> list[str | None]:
    """Return the directories whose lists have to be fetched, for all that changes tell.

    They are those that never were, and those of which nothing tells whether a new session is one.
    """
    own = await get_own_directory(scope)
    return [
        directory
        for directory in directories
        if await _is_undecided(scope, changes, own if directory is None else directory, own)
    ]


async def _is_undecided(
    scope: Scope, changes: SessionChanges, key: str | None, own: str | None
) -> bool:
    stored = None if key is None else await scope.get_cached(_SERIALIZER, key)
    if key is None or stored is None:
        return True
    newer = changes.since(scope.server_id, stored.sequence)
    is_project_wide = key == own or _has_other_directories(stored.value, key)
    ids = {session.id for session in stored.value.sessions}
    return any(
        change.session
        and change.session_id not in ids
        and _belongs(change.session, change, stored.value, key, is_project_wide=is_project_wide)
        is None
        for change in newer
    )


async def store_changes(
    scope: Scope, changes: SessionChanges, directories: Iterable[str | None]
) -> None:
    """Write changes to the stored lists: to these, and to those of the sessions' directories."""
    own = await get_own_directory(scope)
    keys = {own if directory is None else directory for directory in directories}
    pending = changes.since(scope.server_id, 0)
    is_overtaken = False
    for key in keys | changes.directories(scope.server_id):
        if key is None:
            continue
        sequence = scope.newest_fetch(_SERIALIZER, key)
        stored = await scope.get_cached(_SERIALIZER, key)
        value = await _read(scope, key, changes)
        if sequence != scope.newest_fetch(_SERIALIZER, key):
            is_overtaken = True  # by a fetch, whose answer must not be overwritten
        elif stored and value and value.value is not stored.value:
            await scope.rewrite_cached(_SERIALIZER, value.value, value.updated_at, key)
    if not is_overtaken:
        changes.remove(scope.server_id, pending)


async def look_at_newest(
    scope: Scope, connection: "Connection", directory: str | None, changes: SessionChanges
) -> bool | None:
    """Ask for the newest sessions alone, and add what differs from the cached list to `changes`.

    No event tells of what another process did on the same database.

    Returns:
        Whether anything differed; None where the whole list has to be fetched.

    Raises:
        RequestFailed: The server can't be reached, or its answer isn't a list.
    """
    key = await get_own_directory(scope) if directory is None else directory
    state = None if key is None else changes.list_state(scope.server_id, key)
    now = asyncio.get_running_loop().time()
    stored = None if key is None else await scope.get_cached(_SERIALIZER, key)
    if key is None or state is None or stored is None or stored.updated_at < state.fetched_at:
        return None
    if now - state.loaded_at > MAX_LIST_AGE:
        return None
    if now - state.compared_at < MIN_LOOK_INTERVAL:
        return False
    start = scope.begin_fetch()
    params = {} if directory is None else {"directory": directory}
    with changes.fetching(scope.server_id, start):
        body = await connection.get_json("/session", params=params | {"limit": str(LOOK_LIMIT)})
        answer = await _parse_answer(body)
        listed = await cached_sessions(scope, directory, changes=changes)
        if start.sequence < scope.newest_fetch(_SERIALIZER, key):
            return False  # another answer came meanwhile
        # Fewer are all there are; more, too: the oldest releases know no limit.
        is_whole = len(body) != LOOK_LIMIT
        differences = find_differences(listed.sessions, answer.sessions, is_whole=is_whole)
        if differences is None:
            return None
        for session_id, session in differences.items():
            if not changes.add(
                scope.server_id,
                session_id,
                session,
                directory=key,
                project_id=answer.project_id,
                sequence=start.sequence,
            ):
                return None
    changes.confirm(scope.server_id, key, asyncio.get_running_loop().time(), start.at)
    return bool(differences)


def find_differences(
    listed: Sessions, newest: Sessions, *, is_whole: bool
) -> dict[str, Session | None] | None:
    """Return what a server's newest sessions say about a list: by id what each is, None if gone.

    Args:
        listed: The list.
        newest: The sessions that were updated last, or all with `is_whole`.
        is_whole: Whether there are no older ones.

    Returns:
        None where sessions may lie between the two that neither has.
    """
    by_id = {session.id: session for session in listed}
    since = 0
    if not is_whole:
        before = by_id.get(newest[-1].id) if newest else None
        if before is None or before.updated_ms != newest[-1].updated_ms:
            return None
        since = before.updated_ms or 0
    changed = {s.id: s for s in newest if by_id.get(s.id) != s}
    ids = {session.id for session in newest}
    is_missing = (s for s in listed if s.id not in ids)
    return changed | {s.id: None for s in is_missing if is_whole or (s.updated_ms or 0) > since}


def _no_changes() -> SessionChanges:
    return SessionChanges(StateCache())


async def create_session(
    scope: Scope,
    connection: "Connection",
    directory: str | None,
    title: str | None,
    *,
    changes: SessionChanges | None = None,
) -> Session:
    """Create a session, make it the current one of its directory, and add it to cached lists.

    Args:
        scope: The state of the same server.
        connection: The connection to it.
        directory: An absolute path, None for where the server was started.
        title: None for the server's own choice.
        changes: Those that the cached lists lack.

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
        await _insert(scope, session, listed, changes or _no_changes())
    await scope.put({StateName.CURRENT_SESSION_ID: session.id}, key)
    return session


async def _insert(scope: Scope, session: Session, directory: str, changes: SessionChanges) -> None:
    # Numbered after the session was created: a list that was asked for before may lack it, and
    # isn't stored any more.
    sequence = scope.begin_fetch().sequence
    stored = await _read(scope, directory, changes)
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
