"""Requests for a list of sessions, as far as a server's release answers them."""

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from codewalk.errors import RequestFailed
from codewalk.opencode.fields import parse_id, parse_times, take_within
from codewalk.opencode.session import Session, parse_project_id, parse_session
from codewalk.reason import Reason
from codewalk.workspace.session_list import MAX_SESSIONS, CachedList, newest_first

if TYPE_CHECKING:
    from codewalk.opencode.connection import Connection

ALL_SESSIONS_PATH: Final = "/experimental/session"
"""Lists the sessions of all projects, from release 1.2 on. It starts nothing on the server."""

ALL_SESSIONS_PARAMS: Final = {"archived": "true"}
"""Without it, archived sessions are left out, and those that were taken out of the archive."""

SMALLER_LIMITS: Final = (500, 100)
"""Sessions that a server is asked for at once where it fails at a list of `MAX_SESSIONS`."""

MAX_PAGES: Final = 100
"""Pages that are asked for after the first one."""

MAX_TEXT: Final = 4 * 2**20
"""Characters of a list's titles and directories; ten thousand real sessions have half as many."""

MAX_PARSED_INLINE: Final = 1000
"""Sessions up to which an answer is parsed on the event loop, which takes a few milliseconds."""


async def fetch_list(connection: "Connection", params: dict[str, str]) -> CachedList:
    return await parse_answer(await _request_list(connection, params))


async def fetch_all_list(connection: "Connection") -> CachedList:
    """Fetch the sessions of all directories.

    Raises:
        RequestFailed: The server can't be reached, or fails, or its release has no such list.
    """
    try:
        body = await _request_page(connection, MAX_SESSIONS)
    except RequestFailed as exc:
        if not _may_be_too_many(exc):
            raise
        limit = SMALLER_LIMITS[-1]
        body = await _request_page(connection, limit)
        if isinstance(body, list) and len(body) == limit:
            body = await _with_older(connection, {}, body, limit, of_all_projects=True)
    return await parse_answer(body)


async def _request_page(connection: "Connection", limit: int) -> Any:
    params = ALL_SESSIONS_PARAMS | {"limit": str(limit)}
    return await connection.get_json(ALL_SESSIONS_PATH, params=params)


async def parse_answer(body: Any) -> CachedList:
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
    connection: "Connection",
    params: dict[str, str],
    newest: list[Any],
    limit: int,
    *,
    of_all_projects: bool = False,
) -> list[Any]:
    """Return the newest sessions and the older ones, page by page, as far as the release has pages.

    Releases from 1.2 on have them for the sessions of all projects; unless `of_all_projects`, those
    of other projects are left out.
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
        more = ALL_SESSIONS_PARAMS | {"limit": str(limit), "cursor": str(oldest + 1)}
        try:
            page = await connection.get_json(ALL_SESSIONS_PATH, params=params | more)
        except RequestFailed:
            break
        if not isinstance(page, list):
            break
        before = len(items)
        for item in page:
            if not isinstance(item, dict):
                continue
            # Without a directory they are those of all projects.
            if of_all_projects or parse_project_id(item) in project_ids:
                items.setdefault(parse_id(item.get("id")), item)
        if len(items) == before and all(time == oldest for time in times):
            break
    return list(items.values())


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
