"""The list of a server's sessions in all directories: fetched, or combined from several lists."""

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from codewalk.errors import RequestFailed
from codewalk.reason import Reason
from codewalk.workspace.directories import ALL, get_own_directory
from codewalk.workspace.projects import cached_projects
from codewalk.workspace.scope import Scope
from codewalk.workspace.session_changes import SessionChanges
from codewalk.workspace.session_list import (
    MAX_SESSIONS,
    CachedList,
    SessionList,
    apply_changes,
    newest_first,
    storage_of,
)
from codewalk.workspace.session_requests import fetch_all_list
from codewalk.workspace.sessions import cached_sessions, fetch_sessions, list_parts, read_list

if TYPE_CHECKING:
    from codewalk.opencode.connection import Connection

MAX_ASKED_DIRECTORIES: Final = 20
"""Directories that are asked for one by one, those last worked in first."""

_MAY_LACK_LIST: Final = frozenset({Reason.NOT_OPENCODE, Reason.SERVER_ERROR, Reason.TIMEOUT})
"""Failures of a release without the list: the oldest ones fetch a page of the public web app for a
path that they don't know."""


async def fetch_all_sessions(
    scope: Scope,
    connection: "Connection",
    changes: SessionChanges,
    *,
    ask_each: bool = False,
) -> SessionList:
    """Fetch the sessions of all directories, and cache the list.

    A server that lists one directory at a time is asked for its own. The others are added as they
    were last fetched.

    Args:
        scope: The state of the same server.
        connection: The connection to it.
        changes: Those of the server's events; the ones that come meanwhile win over the answer.
        ask_each: Ask such a server for each directory that it has a project in. It starts an
            instance with its plugins in each, so only a user may decide that.

    Raises:
        RequestFailed: The server can't be reached, or its answer isn't a list.
    """
    start = scope.begin_fetch()
    serializer, stored_for = storage_of(ALL)
    with changes.fetching(scope.server_id, start):
        fetched = await _request_list(scope, connection, changes, again=ask_each)
        if fetched is None:
            fetched = await _combine_lists(scope, connection, changes, ask_each=ask_each)
        if await scope.put_cached(serializer, fetched, start, stored_for):
            now = asyncio.get_running_loop().time()
            changes.set_fetched(scope.server_id, ALL, now, start.at)
        fetched = apply_changes(fetched, changes.since(scope.server_id, start.sequence), ALL)
    return SessionList(
        server_id=scope.server_id,
        directory=ALL,
        source="live",
        fetched_at=start.at,
        sessions=fetched.sessions,
        is_partial=fetched.is_partial,
    )


async def _request_list(
    scope: Scope, connection: "Connection", changes: SessionChanges, *, again: bool
) -> CachedList | None:
    """Return the list, None where the server has none; `again` asks one that had none before."""
    now = asyncio.get_running_loop().time()
    if changes.is_without_all_list(scope.server_id, now) and not again:
        return None
    try:
        return await fetch_all_list(connection)
    except RequestFailed as exc:
        if exc.reason not in _MAY_LACK_LIST:
            raise
        return None


async def _combine_lists(
    scope: Scope, connection: "Connection", changes: SessionChanges, *, ask_each: bool
) -> CachedList:
    own_before = await cached_sessions(scope, changes=changes)
    own = await fetch_sessions(scope, connection, changes=changes)
    # Only now: a server that fails at every list says nothing about this one.
    changes.set_without_all_list(scope.server_id, asyncio.get_running_loop().time())
    projects = await cached_projects(scope)
    directories = [project.directory for project in projects.projects if not project.own]
    if ask_each:
        await _fetch_each(scope, connection, changes, directories[:MAX_ASKED_DIRECTORIES])
    parts = [part for key in directories for part in list_parts(scope, key)]
    scope = await scope.prefetch(*parts, *list_parts(scope, ALL))
    stored = {key: await read_list(scope, key, changes) for key in directories}
    lists = {key: entry.value.sessions for key, entry in stored.items() if entry}
    older = await read_list(scope, ALL, changes)
    deleted = {s.id for s in own_before.sessions} - {s.id for s in own.sessions}
    covered = {*lists, await get_own_directory(scope)}
    others = [session for listed in lists.values() for session in listed]
    if older:
        others += [s for s in older.value.sessions if s.directory not in covered]
    kept = [session for session in others if session.id not in deleted]
    is_partial = projects.fetched_at is None or len(lists) < len(directories)
    sessions = newest_first([*own.sessions, *kept])[:MAX_SESSIONS]
    return CachedList(sessions=sessions, is_partial=is_partial)


async def _fetch_each(
    scope: Scope, connection: "Connection", changes: SessionChanges, directories: Iterable[str]
) -> None:
    """Fetch the lists of directories one after another, until one fails."""
    for directory in directories:
        try:
            await fetch_sessions(scope, connection, directory, changes=changes)
        except RequestFailed:
            return
