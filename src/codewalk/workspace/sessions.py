"""The sessions of one server, fetched or as last fetched."""

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from codewalk.tasks import BackgroundTasks
from codewalk.workspace.directories import (
    ALL,
    UNNAMED,
    DirectoryChoice,
    fetch_own_directory,
    get_own_directory,
    peek_own_directory,
    put_own_directory,
)
from codewalk.workspace.scope import Scope, StateName, StoredValue
from codewalk.workspace.session_changes import ListKey, SessionChanges
from codewalk.workspace.session_list import (
    CachedList,
    SessionList,
    Sessions,
    apply_changes,
    belongs_to_list,
    has_other_directories,
    newest_first,
    storage_of,
)
from codewalk.workspace.session_requests import fetch_list
from codewalk.workspace.state_cache import FetchStart, StateCache

if TYPE_CHECKING:
    from codewalk.opencode.connection import Connection


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
    serializer, stored_for = storage_of(key)
    return await scope.put_cached(serializer, fetched, start, stored_for)


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
    stored = await scope.get_cached(*storage_of(directory))
    if stored is None:
        return fetched
    ids = {session.id for session in fetched.sessions}
    rest = [s for s in stored.value.sessions if s.directory != directory and s.id not in ids]
    project_id = fetched.project_id or stored.value.project_id
    return CachedList(sessions=newest_first([*fetched.sessions, *rest]), project_id=project_id)


def list_parts(scope: Scope, directory: DirectoryChoice) -> list[tuple[StateName, str | None]]:
    """Return the stored values that `cached_sessions` reads, for `Scope.prefetch`.

    Which directory is the server's own is stored too. The one last seen is all but always still
    right; if it isn't, the right list is read in a second round trip.
    """
    likely = peek_own_directory(scope) if directory is None else directory
    parts: list[tuple[StateName, str | None]] = [(StateName.OWN_DIRECTORY, None)]
    if likely is not None:
        serializer, stored_for = storage_of(likely)
        parts.append((serializer.name, stored_for))
    return parts


async def cached_sessions(
    scope: Scope, directory: DirectoryChoice = None, *, changes: SessionChanges | None = None
) -> SessionList:
    """Return the list as last fetched, with changes applied. Asks no server.

    Where it never was fetched, it has the sessions that another list has: that of all directories,
    or in place of that one, the own directory's. Without these it is empty.
    """
    scope = await scope.prefetch(*list_parts(scope, directory))
    changes = changes or _no_changes()
    own = await get_own_directory(scope)
    key = own if directory is None else directory
    stored = None if key is None else await read_list(scope, key, changes)
    is_substitute = stored is None
    if stored is None and key is not None:
        stored = await _read_substitute(scope, key, own, changes)
    return SessionList(
        server_id=scope.server_id,
        directory=directory,
        source="cache",
        fetched_at=stored.updated_at if stored else None,
        sessions=_of_directory(stored.value.sessions if stored else (), directory, own),
        is_partial=stored.value.is_partial if stored else False,
        is_substitute=is_substitute,
    )


async def _read_substitute(
    scope: Scope, key: ListKey, own: str | None, changes: SessionChanges
) -> StoredValue[CachedList] | None:
    """Return what is stored of a list that itself isn't."""
    if key is ALL:
        return None if own is None else await read_list(scope, own, changes)
    stored = await read_list(scope, ALL, changes)
    if stored is None:
        return None
    sessions = tuple(s for s in stored.value.sessions if s.directory == key)
    return replace(stored, value=CachedList(sessions=sessions))


def _of_directory(sessions: Sessions, directory: DirectoryChoice, own: str | None) -> Sessions:
    """Return those of the server's own directory out of its whole project's list."""
    if directory is None or directory != own:
        return sessions
    return tuple(session for session in sessions if session.directory == directory)


async def read_list(
    scope: Scope, key: ListKey, changes: SessionChanges
) -> StoredValue[CachedList] | None:
    """Return a stored list with the changes since applied to it, None where there is none."""
    stored = await scope.get_cached(*storage_of(key))
    if stored is None:
        return None
    newer = changes.since(scope.server_id, stored.sequence)
    is_own = key == await get_own_directory(scope)
    value = apply_changes(stored.value, newer, key, is_project_wide=is_own)
    state = changes.list_state(scope.server_id, key)
    # A list that another process stored since is its own witness.
    is_ours = state is not None and stored.updated_at >= state.fetched_at
    at = max(stored.updated_at, state.confirmed_at) if state and is_ours else stored.updated_at
    return StoredValue(value=value, updated_at=at)


async def list_undecided(
    scope: Scope, changes: SessionChanges, directories: Iterable[DirectoryChoice]
) -> list[DirectoryChoice]:
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
    scope: Scope, changes: SessionChanges, key: ListKey | None, own: str | None
) -> bool:
    stored = None if key is None else await scope.get_cached(*storage_of(key))
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
    scope: Scope, changes: SessionChanges, directories: Iterable[DirectoryChoice]
) -> None:
    """Write changes to the stored lists.

    They are those of `directories`, of the server's own directory, of the sessions' directories,
    and the list of all directories.
    """
    own = await get_own_directory(scope)
    keys: set[ListKey | None] = {own, ALL}
    keys |= {own if directory is None else directory for directory in directories}
    pending = changes.since(scope.server_id, 0)
    is_overtaken = False
    for key in keys | changes.directories(scope.server_id):
        if key is None:
            continue
        serializer, stored_for = storage_of(key)
        sequence = scope.newest_fetch(serializer, stored_for)
        stored = await scope.get_cached(serializer, stored_for)
        value = await read_list(scope, key, changes)
        if sequence != scope.newest_fetch(serializer, stored_for):
            is_overtaken = True  # by a fetch, whose answer must not be overwritten
        elif stored and value and value.value is not stored.value:
            await scope.rewrite_cached(serializer, value.value, value.updated_at, stored_for)
    if not is_overtaken:
        changes.remove(scope.server_id, pending)


def _no_changes() -> SessionChanges:
    return SessionChanges(StateCache())
