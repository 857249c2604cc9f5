"""A list of sessions as it is shown and as it is stored, and how changes are applied to it."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, Literal

from codewalk.opencode.fields import parse_id, parse_milliseconds
from codewalk.opencode.session import Session
from codewalk.times import rfc3339
from codewalk.workspace.directories import AllDirectories, DirectoryChoice
from codewalk.workspace.scope import Serializer, StateName
from codewalk.workspace.session_changes import ListKey, SessionChange

MAX_SESSIONS: Final = 10_000
"""Sessions of a list; current releases send 100 unless they are asked for more."""


Sessions = tuple[Session, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionList:
    """The sessions of a directory, newest first.

    Attributes:
        server_id: The server.
        directory: Their directory; None for those of the project in which the server was started.
        source: Whether the server was asked for them now.
        fetched_at: When it was asked, None where it never was.
        sessions: The sessions.
        is_partial: Whether a list of all directories may lack some: the server lists one at a time.
        is_substitute: Whether the list never was fetched: its sessions are those that another list
            has.
    """

    server_id: str
    directory: DirectoryChoice
    source: Literal["live", "cache"]
    fetched_at: datetime | None
    sessions: Sessions
    is_partial: bool = False
    is_substitute: bool = False

    def to_json(self) -> dict[str, Any]:
        return {
            "server_id": self.server_id,
            "directory": self.directory if isinstance(self.directory, str) else None,
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
    `is_partial` is that of a `SessionList`.
    """

    sessions: Sessions = ()
    project_id: str | None = None
    is_partial: bool = False


def apply_changes(
    cached: CachedList,
    changes: Iterable[SessionChange],
    key: ListKey,
    *,
    is_project_wide: bool = False,
) -> CachedList:
    """Return a list with changes applied to it.

    Args:
        cached: The list.
        changes: What changed since it was fetched.
        key: The directory whose sessions it has, or all of them.
        is_project_wide: Whether it has those of other directories of the project, too.
    """
    newer = list(changes)
    if not newer:
        return cached
    is_project_wide = is_project_wide or has_other_directories(cached, key)
    by_id = {session.id: session for session in cached.sessions}
    project_id = cached.project_id
    for change in newer:
        before, session = by_id.get(change.session_id), change.session
        if session is None:
            by_id.pop(change.session_id, None)
            continue
        if before and (session.updated_ms or 0) < (before.updated_ms or 0):
            continue  # the list is newer than the event
        belongs = belongs_to_list(session, change, cached, key, is_project_wide=is_project_wide)
        if belongs or (belongs is None and before):
            by_id[session.id] = session
            project_id = change.project_id if not cached.sessions else project_id
        elif belongs is False:
            by_id.pop(session.id, None)
    sessions = newest_first(by_id.values())[:MAX_SESSIONS]
    if sessions == cached.sessions:
        return cached
    return replace(cached, sessions=sessions, project_id=project_id)


def has_other_directories(cached: CachedList, key: ListKey) -> bool:
    # The oldest releases list the whole project for any directory of it.
    return any(session.directory != key for session in cached.sessions)


def belongs_to_list(
    session: Session,
    change: SessionChange,
    cached: CachedList,
    key: ListKey,
    *,
    is_project_wide: bool,
) -> bool | None:
    """Return whether a changed session is one of a list, None where nothing tells."""
    if isinstance(key, AllDirectories) or session.directory == key:
        return True
    if not is_project_wide:
        return False
    if change.project_id is None or cached.project_id is None:
        return None
    return change.project_id == cached.project_id


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
    partial = {"partial": True} if cached.is_partial else {}
    return {"project_id": cached.project_id, "sessions": rows} | partial


def _load(value: Any) -> CachedList:
    # Until 0.1.0 the rows alone were stored, without the last two columns.
    rows = value if isinstance(value, list) else value["sessions"]
    project_id = None if isinstance(value, list) else parse_id(value["project_id"])
    return CachedList(
        sessions=tuple(_load_row(*row) for row in rows),
        project_id=project_id,
        is_partial=isinstance(value, dict) and value.get("partial") is True,
    )


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
_ALL_SERIALIZER: Final = replace(_SERIALIZER, name=StateName.ALL_SESSIONS)


def storage_of(key: ListKey) -> tuple[Serializer[CachedList], str | None]:
    """Return how and for which directory a list is stored."""
    return (_ALL_SERIALIZER, None) if isinstance(key, AllDirectories) else (_SERIALIZER, key)
