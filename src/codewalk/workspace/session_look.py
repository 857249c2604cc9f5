"""Looks at a server's newest sessions, which are cheaper than a fetch of its list."""

import asyncio
from typing import TYPE_CHECKING, Any, Final

from codewalk.opencode.fields import parse_id
from codewalk.opencode.session import Session, parse_project_id
from codewalk.workspace.directories import ALL, DirectoryChoice, get_own_directory
from codewalk.workspace.scope import Scope
from codewalk.workspace.session_changes import ListKey, SessionChanges
from codewalk.workspace.session_list import Sessions, storage_of
from codewalk.workspace.session_requests import (
    ALL_SESSIONS_PARAMS,
    ALL_SESSIONS_PATH,
    parse_answer,
)
from codewalk.workspace.sessions import cached_sessions
from codewalk.workspace.state_cache import FetchStart

if TYPE_CHECKING:
    from codewalk.opencode.connection import Connection

LOOK_LIMIT: Final = 50
"""Sessions that a look at the newest ones asks for: those of a page, some 20 KB."""

MIN_LOOK_INTERVAL: Final = 1.0
"""Seconds between two looks at one list."""

MAX_LIST_AGE: Final = 600.0
"""Seconds after which a look fetches all: what another process renamed, archived or deleted isn't
among the newest."""


async def look_at_newest(
    scope: Scope, connection: "Connection", directory: DirectoryChoice, changes: SessionChanges
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
    stored = None if key is None else await scope.get_cached(*storage_of(key))
    if key is None or state is None or stored is None or stored.updated_at < state.fetched_at:
        return None
    if now - state.loaded_at > MAX_LIST_AGE:
        return None
    if now - state.compared_at < MIN_LOOK_INTERVAL:
        return False
    start = scope.begin_fetch()
    if directory is ALL and changes.is_without_all_list(scope.server_id, now):
        # It lists one directory at a time: the others change by events alone.
        is_different = await look_at_newest(scope, connection, None, changes)
    else:
        is_different = await _compare(scope, connection, directory, key, start, changes)
    if is_different is not None:
        changes.confirm(scope.server_id, key, asyncio.get_running_loop().time(), start.at)
    return is_different


async def _compare(
    scope: Scope,
    connection: "Connection",
    directory: DirectoryChoice,
    key: ListKey,
    start: FetchStart,
    changes: SessionChanges,
) -> bool | None:
    """Return as `look_at_newest` does."""
    with changes.fetching(scope.server_id, start):
        body = await _request_newest(connection, directory)
        answer = await parse_answer(body)
        listed = await cached_sessions(scope, directory, changes=changes)
        if start.sequence < scope.newest_fetch(*storage_of(key)):
            return False  # another answer came meanwhile
        # Fewer are all there are; more, too: the oldest releases know no limit.
        is_whole = len(body) != LOOK_LIMIT
        differences = find_differences(listed.sessions, answer.sessions, is_whole=is_whole)
        if differences is None:
            return None
        before = {session.id: session.directory for session in listed.sessions}
        projects = _project_ids(body)
        for session_id, session in differences.items():
            if not changes.add(
                scope.server_id,
                session_id,
                session,
                directory=session.directory if session else before[session_id],
                project_id=projects.get(session_id),
                sequence=start.sequence,
            ):
                return None
    return bool(differences)


async def _request_newest(connection: "Connection", directory: DirectoryChoice) -> Any:
    limit = {"limit": str(LOOK_LIMIT)}
    if directory is ALL:
        return await connection.get_json(ALL_SESSIONS_PATH, params=ALL_SESSIONS_PARAMS | limit)
    params = {"directory": directory} if isinstance(directory, str) else {}
    return await connection.get_json("/session", params=params | limit)


def _project_ids(body: Any) -> dict[str | None, str | None]:
    items = [item for item in body if isinstance(item, dict)]
    return {parse_id(item.get("id")): parse_project_id(item) for item in items}


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
