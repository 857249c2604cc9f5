"""Which sessions are at work: asked for once, then followed by what the live link tells."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from codewalk.errors import RequestFailed
from codewalk.opencode.activity import Activity, parse_activity
from codewalk.opencode.events import ActivityChanged
from codewalk.opencode.fields import parse_id
from codewalk.reason import Reason

if TYPE_CHECKING:
    from codewalk.opencode.connection import Connection

MAX_BUSY: Final = 1000
"""Sessions at work that are remembered for a server."""

_LACKING: Final = frozenset({400, 404, 405})
"""What releases answer that don't tell: some take the path for a session called `status`."""


async def fetch_activity(
    connection: "Connection", directory: str | None = None
) -> dict[str, Activity]:
    """The sessions at work in a directory, or where the server was started, by their ids.

    None at all for a release that doesn't tell. Raises `RequestFailed`.
    """
    params = {} if directory is None else {"directory": directory}
    try:
        body = await connection.get_json("/session/status", params=params)
    except RequestFailed as exc:
        if exc.status in _LACKING or exc.reason is Reason.NOT_OPENCODE:
            return {}
        raise
    return dict(_statuses(body))


def _statuses(body: Any) -> Iterator[tuple[str, Activity]]:
    for session_id, status in body.items() if isinstance(body, dict) else ():
        try:
            doing = parse_activity(status)
        except TypeError:
            continue
        if parse_id(session_id) and doing:
            yield session_id, doing


@dataclass(frozen=True, kw_only=True, slots=True)
class _Mark:
    activity: Activity
    directory: str | None


@dataclass(kw_only=True, slots=True, eq=False)
class PendingFetch:
    """A server is being asked; `newer` are the sessions of which it told something newer.

    `discarded` tells that what this server says doesn't count any more.
    """

    server_id: str
    directory: str | None
    newer: set[str]
    discarded: bool = False


class Activities:
    """The sessions at work of each server, as far as is known.

    In memory alone: after a start they are asked for anew.
    """

    def __init__(self, max_sessions: int = MAX_BUSY) -> None:
        self._max_sessions = max_sessions
        self._marks: dict[str, dict[str, _Mark]] = {}
        self._questions: list[PendingFetch] = []

    def get(self, server_id: str) -> Mapping[str, Activity]:
        """What a server's sessions are doing, by their ids; the others are idle or not known."""
        return {key: mark.activity for key, mark in self._marks.get(server_id, {}).items()}

    def directories(self, server_id: str) -> frozenset[str | None]:
        """Where they work; None stands for where the server was started, if that was asked."""
        return frozenset(mark.directory for mark in self._marks.get(server_id, {}).values())

    def apply_event(self, server_id: str, event: ActivityChanged) -> bool:
        """Takes over what a server told; whether that changed anything."""
        for question in self._questions:
            if question.server_id == server_id and len(question.newer) < self._max_sessions:
                question.newer.add(event.session_id)
        return self._mark(server_id, event.session_id, event.activity, event.directory)

    @contextmanager
    def fetching(self, server_id: str, directory: str | None) -> Iterator[PendingFetch]:
        """Has what is told while the block asks a server win over the answer."""
        question = PendingFetch(server_id=server_id, directory=directory, newer=set())
        self._questions.append(question)
        try:
            yield question
        finally:
            self._questions.remove(question)

    def apply_fetched(self, question: PendingFetch, found: Mapping[str, Activity]) -> bool:
        """Takes over an answer for its directory; whether that changed anything."""
        if question.discarded:
            return False
        marks = self._marks.get(question.server_id, {})
        here = {key for key, mark in marks.items() if mark.directory == question.directory}
        changes = [
            self._mark(question.server_id, session_id, found.get(session_id), question.directory)
            for session_id in (here | found.keys()) - question.newer
        ]
        return any(changes)

    def clear(self, server_id: str) -> None:
        """Forgets what a server's sessions were doing, and what it is about to answer."""
        self._marks.pop(server_id, None)
        for question in self._questions:
            question.discarded = question.discarded or question.server_id == server_id

    def _mark(
        self, server_id: str, session_id: str, doing: Activity | None, directory: str | None
    ) -> bool:
        marks = self._marks.setdefault(server_id, {})
        known = marks.get(session_id)
        if doing is None:
            return marks.pop(session_id, None) is not None
        if known is None and len(marks) >= self._max_sessions:
            return False
        marks[session_id] = _Mark(activity=doing, directory=directory)
        return known is None or known.activity != doing
