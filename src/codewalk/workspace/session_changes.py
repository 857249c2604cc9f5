"""Changes of sessions since their lists were fetched: from events, and from looks at the newest.

They are applied whenever a list is read, and written to the store from time to time: a list of
thousands is half a megabyte, and a busy session changes twice a second.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from codewalk.opencode.session import Session
from codewalk.workspace.directories import AllDirectories
from codewalk.workspace.state_cache import FetchStart, StateCache

MAX_CHANGES: Final = 1000
"""Changed sessions that are held for one server; with more, its lists are fetched again."""

RETRY_ALL_LIST_SECONDS: Final = 600.0
"""Seconds after which a server without a list of all directories is asked for it again."""

ListKey = str | AllDirectories
"""The directory whose list it is, or `ALL` for the list of all of them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionChange:
    """A session as it is since `sequence`; `session` is None where it was deleted.

    `sequence` is of the same numbers as that of a fetch: a list that was asked for later has it.
    """

    session_id: str
    session: Session | None
    directory: str
    project_id: str | None
    sequence: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ListState:
    """The times of a list's last fetch and last look.

    Attributes:
        loaded_at: The monotonic time at which all of it was fetched, since the link began.
        fetched_at: When it was asked for then.
        confirmed_at: When the server was last asked what is newer.
        compared_at: The monotonic time at which its answer was in.
    """

    loaded_at: float
    fetched_at: datetime
    confirmed_at: datetime
    compared_at: float


class SessionChanges:
    """The changes of each server's sessions that its stored lists don't have yet.

    In memory alone: after a start the lists are fetched. `cache` numbers the fetches.
    """

    def __init__(self, cache: StateCache, max_changes: int = MAX_CHANGES) -> None:
        self.cache = cache
        self._max_changes = max_changes
        self._changes: dict[str, dict[str, SessionChange]] = {}
        self._fetches: list[tuple[str, int]] = []
        self._lists: dict[str, dict[ListKey, ListState]] = {}
        self._without_all_list: dict[str, float] = {}

    def add(
        self,
        server_id: str,
        session_id: str,
        session: Session | None,
        *,
        directory: str,
        project_id: str | None = None,
        sequence: int | None = None,
    ) -> bool:
        """Add a change, unless a later one of that session is there.

        Args:
            server_id: The server.
            session_id: The session.
            session: What it is now, None where it was deleted.
            directory: Its directory, or one whose list has it.
            project_id: Its project.
            sequence: That of the fetch that showed it; None for an event.

        Returns:
            False where there are too many changes, and the lists have to be fetched.
        """
        changes = self._changes.setdefault(server_id, {})
        if session_id not in changes and len(changes) >= self._max_changes:
            return False
        change = SessionChange(
            session_id=session_id,
            session=session,
            directory=directory,
            project_id=project_id,
            sequence=next(self.cache.sequence) if sequence is None else sequence,
        )
        if change.sequence >= self.sequence(server_id, session_id):
            changes[session_id] = change
        return True

    def sequence(self, server_id: str, session_id: str) -> int:
        """Return the number of a session's change, 0 where it has none."""
        change = self._changes.get(server_id, {}).get(session_id)
        return change.sequence if change else 0

    def since(self, server_id: str, sequence: int) -> list[SessionChange]:
        """Return the changes that a list asked for under this number may lack."""
        changes = self._changes.get(server_id, {}).values()
        return [change for change in changes if change.sequence > sequence]

    def servers(self) -> list[str]:
        """Return the servers that have changes."""
        return [server_id for server_id, changes in self._changes.items() if changes]

    def directories(self, server_id: str) -> set[str]:
        """Return the directories of the changed sessions."""
        changes = self._changes.get(server_id, {}).values()
        return {change.directory for change in changes}

    @contextmanager
    def fetching(self, server_id: str, start: FetchStart) -> Iterator[None]:
        """Keep later changes during the block: the (older) answer to this fetch may lack them."""
        fetch = server_id, start.sequence
        self._fetches.append(fetch)
        try:
            yield
        finally:
            self._fetches.remove(fetch)

    def remove(self, server_id: str, stored: Iterable[SessionChange]) -> None:
        """Remove changes that are in the store now, but for those that a fetch in flight needs."""
        oldest = min(
            (sequence for fetch, sequence in self._fetches if fetch == server_id), default=0
        )
        changes = self._changes.get(server_id, {})
        for change in stored:
            is_needed = oldest and change.sequence > oldest
            if changes.get(change.session_id) is change and not is_needed:
                del changes[change.session_id]

    def set_fetched(self, server_id: str, key: ListKey, time: float, at: datetime) -> None:
        """Record that all of a list was fetched: at `time` (monotonic), asked for at `at`."""
        self._lists.setdefault(server_id, {})[key] = ListState(
            loaded_at=time, fetched_at=at, confirmed_at=at, compared_at=time
        )

    def confirm(self, server_id: str, key: ListKey, time: float, at: datetime) -> None:
        """Record that a server, asked at `at`, has nothing newer than the list and its changes."""
        lists = self._lists.get(server_id, {})
        if key in lists:
            lists[key] = replace(lists[key], confirmed_at=at, compared_at=time)

    def list_state(self, server_id: str, key: ListKey) -> ListState | None:
        """Return what is known of a list, None where it wasn't fetched since the link began."""
        return self._lists.get(server_id, {}).get(key)

    def set_without_all_list(self, server_id: str, time: float) -> None:
        """Record at `time` (monotonic) that a server lists one directory or project only."""
        self._without_all_list[server_id] = time

    def is_without_all_list(self, server_id: str, time: float) -> bool:
        """Return whether a server was found to list one directory or project only."""
        found_at = self._without_all_list.get(server_id)
        return found_at is not None and time - found_at <= RETRY_ALL_LIST_SECONDS

    def distrust_lists(self, server_id: str) -> None:
        """Have lists fetched as a whole before they are trusted again: events were lost."""
        self._lists.pop(server_id, None)
        self._without_all_list.pop(server_id, None)

    def replace_server(self, server_id: str) -> None:
        """Forget everything about a server, as another one may be at its address from now on."""
        self.cache.begin_epoch(server_id)
        self.clear(server_id)

    def clear(self, server_id: str) -> None:
        """Forget everything about a server."""
        self._changes.pop(server_id, None)
        self.distrust_lists(server_id)
