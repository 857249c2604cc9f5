"""Child sessions: part of the session that started them, not rows of their own."""

from collections.abc import Iterable, Mapping

from codewalk.opencode.activity import Activity
from codewalk.opencode.session import Session
from codewalk.workspace.session_list import Sessions


def root_sessions(sessions: Iterable[Session]) -> Sessions:
    """Return the sessions that no other session started."""
    return tuple(session for session in sessions if session.parent_id is None)


def with_busy_parents(
    activities: Mapping[str, Activity], sessions: Iterable[Session]
) -> dict[str, Activity]:
    """Return the activities, with those of child sessions for their parents too.

    Args:
        activities: What the busy sessions are doing, by their ids.
        sessions: All sessions among which children and parents are looked for.
    """
    result = dict(activities)
    if not activities:
        return result
    parents = {session.id: session.parent_id for session in sessions if session.parent_id}
    for session_id, activity in activities.items():
        parent = parents.get(session_id)
        # A parent that is in the result was seen, with all its own: this ends in a circle, too.
        while parent is not None and parent not in result:
            result[parent] = activity
            parent = parents.get(parent)
    return result
