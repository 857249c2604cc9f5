"""The creation of a session, and the search for one whose creation wasn't confirmed."""

import asyncio
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from codewalk.errors import InvalidValue, RequestFailed
from codewalk.opencode.session import MAX_TITLE, Session, parse_session
from codewalk.reason import Reason
from codewalk.workspace.directories import ALL, UNNAMED, get_own_directory, require_utf8
from codewalk.workspace.scope import Scope, StateName
from codewalk.workspace.session_changes import ListKey, SessionChanges
from codewalk.workspace.session_list import Sessions, newest_first, storage_of
from codewalk.workspace.session_look import LOOK_LIMIT
from codewalk.workspace.session_requests import parse_answer
from codewalk.workspace.sessions import read_list
from codewalk.workspace.state_cache import FetchStart, StateCache

if TYPE_CHECKING:
    from codewalk.opencode.connection import Connection

SEARCH_DELAYS: Final = (0.0, 1.0)
"""Seconds before each search for a session after its answer was lost: a server whose connection
broke may still be at work on it."""

SEARCH_TIMEOUT: Final = 5.0
"""Seconds for each search: the user has waited for the lost answer before."""

MAX_CLOCK_DIFFERENCE_MS: Final = 120_000
"""Milliseconds by which a server's clock may differ from this machine's, for a session to count as
created just now."""

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")

_DEFAULT_TITLE: Final = "New session"
"""The beginning of the title that a server gives to a session without one."""

_LOST: Final = frozenset({Reason.TIMEOUT, Reason.UNREACHABLE})
_LOST_STATUSES: Final = frozenset({HTTPStatus.BAD_GATEWAY, HTTPStatus.GATEWAY_TIMEOUT})


@dataclass(frozen=True, kw_only=True, slots=True)
class CreatedSession:
    """A session that was created; `was_found` where it was found after its answer was lost."""

    session: Session
    was_found: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class _Creation:
    """A request for a new session.

    `known_ids` are the sessions that were listed before, None where no list was; `began_ms` is this
    machine's time.
    """

    directory: str | None
    title: str | None
    known_ids: Collection[str] | None
    began_ms: float


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


async def create_session(
    scope: Scope,
    connection: "Connection",
    directory: str | None,
    title: str | None,
    *,
    changes: SessionChanges | None = None,
) -> CreatedSession:
    """Create a session, make it the current one of its directory, and add it to cached lists.

    A server whose answer is lost may have created it all the same: it is searched for.

    Args:
        scope: The state of the same server.
        connection: The connection to it.
        directory: An absolute path, None for where the server was started.
        title: None for the server's own choice.
        changes: Those that the cached lists lack.

    Raises:
        RequestFailed: The server can't be reached, refuses, or answers something else. After a lost
            answer, the message says whether the session was created.
    """
    changes = changes or SessionChanges(StateCache())
    creation = _Creation(
        directory=directory,
        title=title,
        known_ids=await _known_ids(scope, directory, changes),
        began_ms=datetime.now(UTC).timestamp() * 1000,
    )
    try:
        created = CreatedSession(session=await _post(connection, creation))
    except RequestFailed as exc:
        if not _may_have_created(exc):
            raise
        session = await _search(scope, connection, creation, exc, changes)
        created = CreatedSession(session=session, was_found=True)
    await _add_to_lists(scope, created.session, directory, changes)
    return created


async def _post(connection: "Connection", creation: _Creation) -> Session:
    body = await connection.post_json(
        "/session",
        {} if creation.title is None else {"title": creation.title},
        params=_params(creation),
    )
    session = parse_session(body)
    if session is None:
        raise RequestFailed(Reason.NOT_OPENCODE, "Its answer to a new session isn't one.")
    return session


def _params(creation: _Creation) -> dict[str, str]:
    return {} if creation.directory is None else {"directory": creation.directory}


def _may_have_created(failure: RequestFailed) -> bool:
    """Return whether the request may have arrived, and only its answer was lost."""
    if failure.status is not None:
        return failure.status in _LOST_STATUSES
    return failure.reason in _LOST and failure.connected


async def _search(
    scope: Scope,
    connection: "Connection",
    creation: _Creation,
    failure: RequestFailed,
    changes: SessionChanges,
) -> Session:
    """Return the session that was created though the answer was lost.

    Raises:
        RequestFailed: `failure`, with what the server's list says about the session.
    """
    found: Sessions = ()
    start = scope.begin_fetch()
    try:
        for delay in SEARCH_DELAYS:
            await asyncio.sleep(delay)
            start = scope.begin_fetch()
            params = _params(creation) | {"limit": str(LOOK_LIMIT)}
            body = await connection.get_json("/session", params=params, timeout=SEARCH_TIMEOUT)
            answer = await parse_answer(body)
            found = tuple(s for s in answer.sessions if _matches(s, creation))
            if found:
                break
    except RequestFailed:
        raise _with_note(failure, "The session may have been created all the same.") from failure
    if not found:
        raise _with_note(failure, "No new session has appeared there.") from failure
    if len(found) == 1 and creation.known_ids is not None and _is_recent(found[0], creation):
        return found[0]
    _add_changes(scope, found, start, changes)
    note = "It may have been created all the same: a session that fits is in the list."
    raise _with_note(failure, note) from failure


def _matches(session: Session, creation: _Creation) -> bool:
    """Return whether a session may be the one that was to be created."""
    if session.parent_id or session.id in (creation.known_ids or ()):
        return False
    if creation.directory not in (None, session.directory):
        return False
    if creation.known_ids is None and not _is_recent(session, creation):
        return False
    if creation.title is None:
        return session.title.startswith(_DEFAULT_TITLE)
    return session.title == creation.title


def _is_recent(session: Session, creation: _Creation) -> bool:
    return abs((session.created_ms or 0) - creation.began_ms) <= MAX_CLOCK_DIFFERENCE_MS


def _with_note(failure: RequestFailed, note: str) -> RequestFailed:
    return RequestFailed(failure.reason, f"{failure.detail} {note}", status=failure.status)


def _add_changes(
    scope: Scope, sessions: Iterable[Session], start: FetchStart, changes: SessionChanges
) -> None:
    for session in sessions:
        changes.add(
            scope.server_id,
            session.id,
            session,
            directory=session.directory,
            sequence=start.sequence,
        )


async def _known_ids(
    scope: Scope, directory: str | None, changes: SessionChanges
) -> Collection[str] | None:
    """Return the sessions that any list of this directory had, None without a list."""
    own = await get_own_directory(scope)
    keys: dict[ListKey | None, None] = dict.fromkeys((ALL, own, directory or own))
    lists = [await read_list(scope, key, changes) for key in keys if key is not None]
    stored = [entry.value.sessions for entry in lists if entry]
    return {session.id for sessions in stored for session in sessions} if stored else None


async def _add_to_lists(
    scope: Scope, session: Session, directory: str | None, changes: SessionChanges
) -> None:
    # The answer tells where the server was started: elsewhere, maybe, than when last fetched.
    key = directory or session.directory or await get_own_directory(scope) or UNNAMED
    keys: set[ListKey] = {key, session.directory or key, ALL}
    for listed in keys:
        await _insert(scope, session, listed, changes)
    await scope.put({StateName.CURRENT_SESSION_ID: session.id}, key)


async def _insert(scope: Scope, session: Session, key: ListKey, changes: SessionChanges) -> None:
    # Numbered after the session was created: a list that was asked for before may lack it, and
    # isn't stored any more.
    sequence = scope.begin_fetch().sequence
    stored = await read_list(scope, key, changes)
    if stored is None:
        return  # a list of this session alone would be taken for a whole one
    others = [other for other in stored.value.sessions if other.id != session.id]
    start = FetchStart(at=stored.updated_at, sequence=sequence)
    value = replace(stored.value, sessions=newest_first([session, *others]))
    serializer, stored_for = storage_of(key)
    await scope.put_cached(serializer, value, start, stored_for)
