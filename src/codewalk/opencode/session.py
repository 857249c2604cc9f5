"""A session, as a server describes it in responses and events."""

from dataclasses import dataclass
from typing import Any, Final

from codewalk.opencode.fields import (
    MAX_DIRECTORY,
    Timestamps,
    parse_id,
    parse_text,
    parse_times,
)
from codewalk.times import rfc3339

MAX_TITLE: Final = 500
"""Characters of a title; a list of thousands is held in memory and rendered."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Session(Timestamps):
    """One session. Its title is whatever a server sent: text, never markup.

    `parent_id` is the session that started this one for a part of its work.
    """

    id: str
    title: str
    directory: str
    parent_id: str | None = None
    archived: bool = False

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "title": self.title,
            "directory": self.directory,
            "parent_id": self.parent_id,
            "archived": self.archived,
            "created_at": rfc3339(self.created_at),
            "updated_at": rfc3339(self.updated_at),
        }


def parse_session(item: Any) -> Session | None:
    """Return a session out of a server's answer or event, None for anything else."""
    if not isinstance(item, dict):
        return None
    session_id = parse_id(item.get("id"))
    if session_id is None:
        return None
    time = item.get("time")
    created, updated = parse_times(time)
    return Session(
        id=session_id,
        title=parse_text(item.get("title"), MAX_TITLE),
        directory=parse_text(item.get("directory"), MAX_DIRECTORY),
        parent_id=parse_id(item.get("parentID")),
        archived=_is_set(time.get("archived")) if isinstance(time, dict) else False,
        created_ms=created,
        updated_ms=updated,
    )


def parse_project_id(item: Any) -> str | None:
    """Return the project of a session out of a server's answer or event, None without one."""
    return parse_id(item.get("projectID")) if isinstance(item, dict) else None


def _is_set(time: Any) -> bool:
    # A session that was taken out of the archive has a 0 there.
    return isinstance(time, int | float | str) and bool(time)
