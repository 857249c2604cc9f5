"""The sessions of one server, fetched or as last fetched."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, Literal

from codewalk.errors import RequestFailed
from codewalk.health.status import Reason, rfc3339
from codewalk.workspace.scope import Name, Scope

if TYPE_CHECKING:
    from codewalk.opencode.connection import Connection

MAX_ID: Final = 500
MAX_TITLE: Final = 500
"""Characters of a title that are kept; a list of thousands is held in memory and painted."""

MAX_DIRECTORY: Final = 4096
MAX_SESSIONS: Final = 10_000
"""Sessions asked for and kept; current releases send 100 unless they are asked for more."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Session:
    """One session. Its title is whatever a server sent: text, never markup."""

    id: str
    title: str
    directory: str
    created_at: datetime | None
    updated_at: datetime | None

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "title": self.title,
            "directory": self.directory,
            "created_at": rfc3339(self.created_at),
            "updated_at": rfc3339(self.updated_at),
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionList:
    """The sessions of `directory`, or of the server's own project where it is None, newest first.

    `fetched_at` is when the server was asked, None where it never was.
    """

    server_id: str
    directory: str | None
    source: Literal["live", "cache"]
    fetched_at: datetime | None
    sessions: tuple[Session, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "server_id": self.server_id,
            "directory": self.directory,
            "source": self.source,
            "fetched_at": rfc3339(self.fetched_at),
            "sessions": [session.to_json() for session in self.sessions],
        }


async def fetch_sessions(
    scope: Scope, connection: "Connection", directory: str | None = None
) -> SessionList:
    """Asks the server, and keeps the answer in its scope.

    Raises `RequestFailed` where the server can't be reached or doesn't answer a list.
    """
    body = await _ask(connection, {} if directory is None else {"directory": directory})
    if not isinstance(body, list):
        raise RequestFailed(Reason.NOT_OPENCODE, "Its session list isn't a list.")
    sessions = _newest_first(filter(None, map(_parse, body[:MAX_SESSIONS])))
    rows = [[s.id, s.title, s.directory, _ms(s.created_at), _ms(s.updated_at)] for s in sessions]
    await scope.put({Name.CACHED_SESSIONS: rows}, directory or "")
    return SessionList(
        server_id=scope.server_id,
        directory=directory,
        source="live",
        fetched_at=datetime.now(UTC),
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
    kept = await scope.get(Name.CACHED_SESSIONS, directory or "")
    sessions = _restore(kept.value) if kept else None
    return SessionList(
        server_id=scope.server_id,
        directory=directory,
        source="cache",
        fetched_at=kept.updated_at if kept and sessions is not None else None,
        sessions=sessions or (),
    )


def _parse(item: Any) -> Session | None:
    """A session of the server's answer; None for what isn't one."""
    if not isinstance(item, dict):
        return None
    session_id = item.get("id")
    if not isinstance(session_id, str) or not 0 < len(session_id) <= MAX_ID:
        return None
    times = item.get("time")
    times = times if isinstance(times, dict) else {}
    created = _moment(times.get("created"))
    return Session(
        id=session_id,
        title=_text(item.get("title"), MAX_TITLE),
        directory=_text(item.get("directory"), MAX_DIRECTORY),
        created_at=created,
        updated_at=_moment(times.get("updated")) or created,
    )


def _restore(rows: Any) -> tuple[Session, ...] | None:
    """The sessions of a kept list; None for one that another release kept in another form."""
    try:
        return tuple(
            Session(
                id=session_id,
                title=title,
                directory=directory,
                created_at=_moment(created),
                updated_at=_moment(updated),
            )
            for session_id, title, directory, created, updated in rows
        )
    except (TypeError, ValueError):
        return None


def _newest_first(sessions: Iterable[Session]) -> tuple[Session, ...]:
    return tuple(sorted(sessions, key=lambda s: _ms(s.updated_at) or 0, reverse=True))


def _text(value: Any, limit: int) -> str:
    return value[:limit] if isinstance(value, str) else ""


def _moment(milliseconds: Any) -> datetime | None:
    if not isinstance(milliseconds, int | float) or isinstance(milliseconds, bool):
        return None
    try:
        # Whole ones, as they are kept: a list is the same when it comes back from the store.
        return datetime.fromtimestamp(round(milliseconds) / 1000, UTC)
    except (OverflowError, OSError, ValueError):
        return None


def _ms(moment: datetime | None) -> int | None:
    return None if moment is None else round(moment.timestamp() * 1000)
