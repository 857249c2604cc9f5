"""A list of sessions as it is shown and as it is stored, and how changes are applied to it."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, Literal

from codewalk.opencode.fields import parse_id, parse_milliseconds
from codewalk.opencode.session import Session
from codewalk.times import rfc3339
from codewalk.workspace.scope import Serializer, StateName
from codewalk.workspace.session_changes import SessionChange

MAX_SESSIONS: Final = 10_000
"""Sessions of a list; current releases send 100 unless they are asked for more."""


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
    is_project_wide = is_project_wide or has_other_directories(cached, directory)
    by_id = {session.id: session for session in cached.sessions}
    project_id = cached.project_id
    for change in newer:
        before, session = by_id.get(change.session_id), change.session
        if session is None:
            by_id.pop(change.session_id, None)
            continue
        if before and (session.updated_ms or 0) < (before.updated_ms or 0):
            continue  # the list is newer than the event
        belongs = belongs_to_list(
            session, change, cached, directory, is_project_wide=is_project_wide
        )
        if belongs or (belongs is None and before):
            by_id[session.id] = session
            project_id = change.project_id if not cached.sessions else project_id
        elif belongs is False:
            by_id.pop(session.id, None)
    sessions = newest_first(by_id.values())[:MAX_SESSIONS]
    if sessions == cached.sessions:
        return cached
    return CachedList(sessions=sessions, project_id=project_id)


def has_other_directories(cached: CachedList, directory: str) -> bool:
    # The oldest releases list the whole project for any directory of it.
    return any(session.directory != directory for session in cached.sessions)


def belongs_to_list(
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


SERIALIZER: Final = Serializer(name=StateName.CACHED_SESSIONS, dump=_dump, load=_load)
