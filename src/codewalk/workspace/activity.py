"""Which sessions of each server are busy: fetched once, then kept up to date by its events."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from codewalk.errors import RequestFailed
from codewalk.opencode.activity import Activity, parse_activity
from codewalk.opencode.events import ActivityChanged
from codewalk.opencode.fields import parse_id
from codewalk.reason import Reason

if TYPE_CHECKING:
    from codewalk.opencode.connection import Connection

MAX_BUSY: Final = 1000
"""Busy sessions remembered for one server."""

_UNSUPPORTED: Final = frozenset({400, 404, 405})
"""Statuses from releases without this call: some take `status` for a session's id."""


async def fetch_activity(
    connection: "Connection", directory: str | None = None
) -> dict[str, Activity]:
    """Fetch the busy sessions of a directory, by their ids.

    Args:
        connection: The connection to the server.
        directory: None for the one in which the server was started.

    Returns:
        An empty mapping for a release that doesn't support this.

    Raises:
        RequestFailed: The server can't be reached, or refuses.
    """
    params = {} if directory is None else {"directory": directory}
    try:
        body = await connection.get_json("/session/status", params=params)
    except RequestFailed as exc:
        if exc.status in _UNSUPPORTED or exc.reason is Reason.NOT_OPENCODE:
            return {}
        raise
    return dict(_parse(body))


def _parse(body: Any) -> Iterator[tuple[str, Activity]]:
    for session_id, status in body.items() if isinstance(body, dict) else ():
        try:
            parsed = parse_activity(status)
        except TypeError:
            continue
        if parse_id(session_id) and parsed:
            yield session_id, parsed


@dataclass(frozen=True, kw_only=True, slots=True)
class _BusySession:
    activity: Activity
    directory: str | None


@dataclass(kw_only=True, slots=True, eq=False)
class PendingFetch:
    """A fetch of a directory's busy sessions that is in flight.

    `updated` are the sessions about which an event arrived meanwhile. With `discarded` the answer
    doesn't count any more.
    """

    server_id: str
    directory: str | None
    updated: set[str] = field(default_factory=set)
    discarded: bool = False


class Activities:
    """The busy sessions of each server, as far as is known.

    In memory alone: they are fetched again after a start.
    """

    def __init__(self, max_sessions: int = MAX_BUSY) -> None:
        self._max_sessions = max_sessions
        self._busy: dict[str, dict[str, _BusySession]] = {}
        self._pending: list[PendingFetch] = []

    def get(self, server_id: str) -> Mapping[str, Activity]:
        """Return the activity of a server's busy sessions, by their ids."""
        return {key: session.activity for key, session in self._busy.get(server_id, {}).items()}

    def directories(self, server_id: str) -> frozenset[str | None]:
        """Return the directories of a server's busy sessions.

        None stands for the one in which the server was started, where that was fetched.
        """
        return frozenset(session.directory for session in self._busy.get(server_id, {}).values())

    def apply_event(self, server_id: str, event: ActivityChanged) -> bool:
        """Apply a server's event; return whether it changed anything."""
        for fetch in self._pending:
            if fetch.server_id == server_id and len(fetch.updated) < self._max_sessions:
                fetch.updated.add(event.session_id)
        return self._set(server_id, event.session_id, event.activity, event.directory)

    @contextmanager
    def fetching(self, server_id: str, directory: str | None) -> Iterator[PendingFetch]:
        """Mark a fetch as in flight during the block.

        Events that arrive meanwhile win over its (older) answer.
        """
        fetch = PendingFetch(server_id=server_id, directory=directory)
        self._pending.append(fetch)
        try:
            yield fetch
        finally:
            self._pending.remove(fetch)

    def apply_fetched(self, fetch: PendingFetch, answer: Mapping[str, Activity]) -> bool:
        """Apply a fetch's answer to its directory; return whether it changed anything."""
        if fetch.discarded:
            return False
        busy = self._busy.get(fetch.server_id, {})
        before = {key for key, session in busy.items() if session.directory == fetch.directory}
        changes = [
            self._set(fetch.server_id, session_id, answer.get(session_id), fetch.directory)
            for session_id in (before | answer.keys()) - fetch.updated
        ]
        return any(changes)

    def clear(self, server_id: str) -> None:
        """Forget a server's busy sessions, and discard the answers to fetches in flight."""
        self._busy.pop(server_id, None)
        for fetch in self._pending:
            fetch.discarded = fetch.discarded or fetch.server_id == server_id

    def _set(
        self, server_id: str, session_id: str, new: Activity | None, directory: str | None
    ) -> bool:
        busy = self._busy.setdefault(server_id, {})
        old = busy.get(session_id)
        if new is None:
            return busy.pop(session_id, None) is not None
        if old is None and len(busy) >= self._max_sessions:
            return False
        busy[session_id] = _BusySession(activity=new, directory=directory)
        return old is None or old.activity != new
