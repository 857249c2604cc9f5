"""The sessions of one server, fetched or as last fetched."""

import asyncio
import re
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from codewalk.errors import InvalidValue, RequestFailed
from codewalk.opencode.session import MAX_TITLE, Session, parse_session
from codewalk.reason import Reason
from codewalk.tasks import BackgroundTasks
from codewalk.workspace.directories import (
    UNNAMED,
    fetch_own_directory,
    get_own_directory,
    peek_own_directory,
    put_own_directory,
    require_utf8,
)
from codewalk.workspace.scope import Scope, StateName, StoredValue
from codewalk.workspace.session_changes import SessionChanges
from codewalk.workspace.session_list import (
    SERIALIZER,
    CachedList,
    SessionList,
    Sessions,
    apply_changes,
    belongs_to_list,
    has_other_directories,
    newest_first,
)
from codewalk.workspace.session_requests import fetch_list
from codewalk.workspace.state_cache import FetchStart, StateCache

if TYPE_CHECKING:
    from codewalk.opencode.connection import Connection

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


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
            fetched = await fetch_list(connection, {"directory": directory})
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
    return await scope.put_cached(SERIALIZER, fetched, start, key)


async def _fetch_own_list(connection: "Connection") -> tuple[CachedList, str | None]:
    """Return the own list, and the own directory, None where that couldn't be fetched.

    The list is stored under that directory, which only `/path` names, and which is another one once
    the server was restarted elsewhere.
    """
    async with BackgroundTasks() as tasks:
        own = tasks.create_task(fetch_own_directory(connection), name="fetch of the own directory")
        fetched = await fetch_list(connection, {})
        return fetched, await own


async def _put_own_directory(scope: Scope, own: str | None, start: FetchStart) -> str:
    """Store the own directory, or else the one of before; return which it is."""
    if own is None:
        own = await get_own_directory(scope)
    own = UNNAMED if own is None else own
    await put_own_directory(scope, own, start)
    return own


async def _with_rest_of_project(scope: Scope, fetched: CachedList, directory: str) -> CachedList:
    """Return what to cache under a directory of which these sessions were fetched.

    Under the server's own directory lies the list of its whole project, in which other
    directories have sessions too: they stay.
    """
    if directory != await get_own_directory(scope):
        return fetched
    stored = await scope.get_cached(SERIALIZER, directory)
    if stored is None:
        return fetched
    ids = {session.id for session in fetched.sessions}
    rest = [s for s in stored.value.sessions if s.directory != directory and s.id not in ids]
    project_id = fetched.project_id or stored.value.project_id
    return CachedList(sessions=newest_first([*fetched.sessions, *rest]), project_id=project_id)


def list_parts(scope: Scope, directory: str | None) -> list[tuple[StateName, str | None]]:
    """Return the stored values that `cached_sessions` reads, for `Scope.prefetch`.

    Which directory is the server's own is stored too. The one last seen is all but always still
    right; if it isn't, the right list is read in a second round trip.
    """
    likely = peek_own_directory(scope) if directory is None else directory
    lists = [] if likely is None else [(StateName.CACHED_SESSIONS, likely)]
    return [(StateName.OWN_DIRECTORY, None), *lists]


async def cached_sessions(
    scope: Scope, directory: str | None = None, *, changes: SessionChanges | None = None
) -> SessionList:
    """Return the list as last fetched, with changes applied. Asks no server.

    It is empty where it never was fetched.
    """
    scope = await scope.prefetch(*list_parts(scope, directory))
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
    stored = await scope.get_cached(SERIALIZER, directory)
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
    stored = None if key is None else await scope.get_cached(SERIALIZER, key)
    if key is None or stored is None:
        return True
    newer = changes.since(scope.server_id, stored.sequence)
    is_project_wide = key == own or has_other_directories(stored.value, key)
    ids = {session.id for session in stored.value.sessions}
    return any(
        change.session
        and change.session_id not in ids
        and belongs_to_list(
            change.session, change, stored.value, key, is_project_wide=is_project_wide
        )
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
        sequence = scope.newest_fetch(SERIALIZER, key)
        stored = await scope.get_cached(SERIALIZER, key)
        value = await _read(scope, key, changes)
        if sequence != scope.newest_fetch(SERIALIZER, key):
            is_overtaken = True  # by a fetch, whose answer must not be overwritten
        elif stored and value and value.value is not stored.value:
            await scope.rewrite_cached(SERIALIZER, value.value, value.updated_at, key)
    if not is_overtaken:
        changes.remove(scope.server_id, pending)


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
    await scope.put_cached(SERIALIZER, value, start, directory)
