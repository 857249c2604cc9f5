"""Changes of sessions are applied to the lists that were fetched before them."""

import asyncio
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

import pytest

from codewalk.opencode.session import Session
from codewalk.workspace.scope import Scope, StateName
from codewalk.workspace.session_changes import SessionChange, SessionChanges
from codewalk.workspace.session_list import CachedList, apply_changes
from codewalk.workspace.session_look import (
    LOOK_LIMIT,
    MAX_LIST_AGE,
    MIN_LOOK_INTERVAL,
    find_differences,
    look_at_newest,
)
from codewalk.workspace.sessions import (
    cached_sessions,
    fetch_sessions,
    list_undecided,
    store_changes,
)
from codewalk.workspace.state_cache import StateCache
from tests.fake_time import advance_time, fake_time
from tests.fakes import FakeConnection, FakeStateStore, Reply, StoredEntry, json_reply

A = "server-a"
OWN = "/own"


def session(number: int, *, updated: int | None = None, **fields: Any) -> Session:
    values: dict[str, Any] = {
        "id": f"ses_{number}",
        "title": f"Session {number}",
        "directory": OWN,
        "created_ms": number,
        "updated_ms": number if updated is None else updated,
    }
    return Session(**values | fields)


def raw(session: Session, project_id: str | None = "global") -> dict[str, Any]:
    """The session as a server lists it."""
    return {
        "id": session.id,
        "title": session.title,
        "directory": session.directory,
        "projectID": project_id,
        "time": {"created": session.created_ms, "updated": session.updated_ms},
    }


def change(
    session: Session | None, session_id: str = "", project_id: str | None = "global"
) -> SessionChange:
    return SessionChange(
        session_id=session.id if session else session_id,
        session=session,
        directory=session.directory if session else OWN,
        project_id=project_id,
        sequence=1,
    )


LISTED = CachedList(sessions=(session(3), session(2), session(1)), project_id="global")


@pytest.mark.parametrize(
    ("changed", "result"),
    [
        (change(session(4)), ["ses_4", "ses_3", "ses_2", "ses_1"]),
        (change(session(1, updated=9)), ["ses_1", "ses_3", "ses_2"]),
        (change(None, "ses_2"), ["ses_3", "ses_1"]),
        (change(None, "unknown"), ["ses_3", "ses_2", "ses_1"]),
        (change(session(4, directory="/else")), ["ses_4", "ses_3", "ses_2", "ses_1"]),
        (change(session(4, directory="/else"), project_id="other"), ["ses_3", "ses_2", "ses_1"]),
        (change(session(4, directory="/else"), project_id=None), ["ses_3", "ses_2", "ses_1"]),
        (change(session(2, directory="/else"), project_id="other"), ["ses_3", "ses_1"]),
        (change(session(2, directory="/else"), project_id=None), ["ses_3", "ses_2", "ses_1"]),
    ],
)
def test_a_change_is_applied_to_the_list_of_its_project(
    changed: SessionChange, result: list[str]
) -> None:
    applied = apply_changes(LISTED, [changed], OWN, is_project_wide=True)
    assert [s.id for s in applied.sessions] == result
    assert applied.project_id == "global"


def test_the_list_of_a_directory_has_the_sessions_of_that_directory_alone() -> None:
    changes = [change(session(4, directory="/else")), change(session(2, directory="/else"))]
    applied = apply_changes(LISTED, [*changes, change(session(5))], OWN)
    assert [s.id for s in applied.sessions] == ["ses_5", "ses_3", "ses_1"]


def test_a_state_that_is_older_than_the_list_changes_nothing() -> None:
    older = session(3, updated=2, title="Older")
    assert apply_changes(LISTED, [change(older)], OWN) is LISTED
    renamed = session(3, title="Renamed")  # the current release leaves the time as it is
    assert apply_changes(LISTED, [change(renamed)], OWN).sessions[0] == renamed


def test_the_first_session_of_an_empty_list_gives_it_its_project() -> None:
    applied = apply_changes(CachedList(), [change(session(1))], OWN, is_project_wide=True)
    assert applied == CachedList(sessions=(session(1),), project_id="global")


class Lists:
    """The lists of one server with their changes, on a fake store and connection."""

    def __init__(self, *listed: Session, store: FakeStateStore | None = None) -> None:
        self.store = store or FakeStateStore()
        self.changes = SessionChanges(StateCache())
        self.scope = Scope(self.store, A, self.changes.cache)
        self.connection = FakeConnection({"/path": json_reply({"directory": OWN})})
        self.answer(*listed)

    def answer(self, *listed: Session, gate: asyncio.Event | None = None) -> None:
        reply = json_reply([raw(one) for one in listed])
        self.connection.script["/session"] = Reply(answer=reply.answer, gate=gate)

    async def fetch(self, directory: str | None = None) -> list[str]:
        fetched = await fetch_sessions(self.scope, self.connection, directory, changes=self.changes)
        return [s.title for s in fetched.sessions]

    async def look(self, directory: str | None = None) -> bool | None:
        await advance_time(MIN_LOOK_INTERVAL)
        return await look_at_newest(self.scope, self.connection, directory, self.changes)

    async def titles(self, directory: str | None = None) -> list[str]:
        cached = await cached_sessions(self.scope, directory, changes=self.changes)
        return [s.title for s in cached.sessions]

    async def stored(self, directory: str | None = None) -> list[str]:
        """The titles as another process reads them."""
        cached = await cached_sessions(Scope(self.store, A), directory)
        return [s.title for s in cached.sessions]

    def add(self, changed: Session, project_id: str | None = "global") -> bool:
        return self.changes.add(
            A, changed.id, changed, directory=changed.directory, project_id=project_id
        )

    def delete(self, session_id: str) -> bool:
        return self.changes.add(A, session_id, None, directory=OWN)


@fake_time
async def test_changes_are_read_at_once_and_stored_later() -> None:
    lists = Lists(session(2), session(1))
    await lists.fetch()
    writes = len(lists.store.calls)
    lists.add(session(3))
    lists.delete("ses_1")
    assert await lists.titles() == ["Session 3", "Session 2"]
    assert len(lists.store.calls) == writes
    await store_changes(lists.scope, lists.changes, [None])
    assert await lists.stored() == ["Session 3", "Session 2"]
    assert len(lists.store.calls) == writes + 1
    assert lists.changes.servers() == []
    await store_changes(lists.scope, lists.changes, [None])
    assert len(lists.store.calls) == writes + 1


@fake_time
async def test_a_change_during_a_fetch_wins_over_the_older_answer() -> None:
    # The race: the server sends the list, then the event, and the list is longer on its way.
    lists = Lists(session(1))
    await lists.fetch()
    gate = asyncio.Event()
    lists.answer(session(1), session(2), gate=gate)
    async with asyncio.TaskGroup() as group:
        fetching = group.create_task(lists.fetch(), name="the list")
        await advance_time(1)
        lists.add(session(3))
        lists.delete("ses_2")
        # What is written meanwhile must not be lost with the answer.
        await store_changes(lists.scope, lists.changes, [None])
        gate.set()
    assert fetching.result() == ["Session 3", "Session 1"]
    assert await lists.titles() == ["Session 3", "Session 1"]
    await store_changes(lists.scope, lists.changes, [None])
    assert await lists.stored() == ["Session 3", "Session 1"]
    assert lists.changes.servers() == []


@fake_time
async def test_a_list_that_was_asked_for_later_wins_over_a_change() -> None:
    lists = Lists(session(1))
    await lists.fetch()
    lists.add(session(1, archived=True))
    lists.add(session(2))
    assert await lists.fetch() == ["Session 1"]
    assert await lists.titles() == ["Session 1"]
    await store_changes(lists.scope, lists.changes, [None])
    assert await lists.stored() == ["Session 1"]


class SlowStore(FakeStateStore):
    """A store whose writes, and whose answers to reads, take this many seconds."""

    def __init__(self) -> None:
        super().__init__()
        self.write_seconds = 0.0
        self.read_seconds = 0.0

    async def get_all(self, server_id: str, keys: Collection[str]) -> dict[str, StoredEntry]:
        entries = await super().get_all(server_id, keys)
        await asyncio.sleep(self.read_seconds)
        return entries

    async def put(
        self,
        server_id: str,
        values: Mapping[str, bytes],
        now: datetime,
        *,
        durable: bool = True,
        url: str | None = None,
    ) -> bool:
        await asyncio.sleep(self.write_seconds)
        return await super().put(server_id, values, now, durable=durable, url=url)


@fake_time
async def test_a_change_is_seen_while_a_list_that_has_it_is_written() -> None:
    store = SlowStore()
    lists = Lists(session(1), store=store)
    await lists.fetch()
    lists.add(session(2))
    lists.answer(session(2), session(1))
    store.write_seconds = 10
    async with asyncio.TaskGroup() as group:
        _ = group.create_task(lists.fetch(), name="the list")
        await advance_time(15)  # the own directory is written, the list is about to be
        assert await lists.titles() == ["Session 2", "Session 1"]
        assert await lists.stored() == ["Session 1"]
    assert await lists.stored() == ["Session 2", "Session 1"]


@fake_time
async def test_a_change_is_seen_where_a_list_was_read_before_a_newer_one_was_written() -> None:
    store = SlowStore()
    lists = Lists(session(1), store=store)
    await lists.fetch()
    lists.add(session(2))
    lists.answer(session(2), session(1))
    before = await lists.scope.prefetch((StateName.CACHED_SESSIONS, OWN))
    store.read_seconds = 10
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(lists.titles(OWN), name="the reader")
        await advance_time(15)  # the own directory is read, the list is on its way
        store.read_seconds = 0
        await lists.fetch()
    assert reading.result() == ["Session 2", "Session 1"]
    prefetched = await cached_sessions(before, OWN, changes=lists.changes)
    assert [s.title for s in prefetched.sessions] == ["Session 2", "Session 1"]


@fake_time
async def test_a_list_that_was_never_fetched_is_made_by_no_change() -> None:
    lists = Lists()
    lists.add(session(1))
    cached = await cached_sessions(lists.scope, OWN, changes=lists.changes)
    assert (cached.sessions, cached.fetched_at) == ((), None)
    await store_changes(lists.scope, lists.changes, [OWN])
    assert lists.store.entries == {}


@fake_time
async def test_every_cached_list_of_a_sessions_directory_is_changed() -> None:
    lists = Lists(session(1, directory="/q"))
    await lists.fetch("/q")
    lists.add(session(2, directory="/q"))
    assert await lists.titles("/q") == ["Session 2", "Session 1"]
    await store_changes(lists.scope, lists.changes, [None])
    assert await lists.stored("/q") == ["Session 2", "Session 1"]


@fake_time
async def test_a_list_is_fetched_where_nothing_tells_whose_a_session_is() -> None:
    lists = Lists(session(1))
    assert await list_undecided(lists.scope, lists.changes, [None]) == [None]  # never fetched
    await lists.fetch()
    lists.add(session(1, updated=5))
    lists.add(session(2))
    lists.add(session(3, directory="/else"))
    assert await list_undecided(lists.scope, lists.changes, [None]) == []
    lists.add(session(4, directory="/else"), project_id=None)
    assert await list_undecided(lists.scope, lists.changes, [None]) == [None]


def test_changes_are_bounded_and_the_last_of_a_session_counts() -> None:
    changes = SessionChanges(StateCache(), max_changes=2)
    for number in (1, 2):
        assert changes.add(A, f"ses_{number}", session(number), directory=OWN)
    assert not changes.add(A, "ses_3", session(3), directory=OWN)
    assert changes.add(A, "ses_1", None, directory=OWN)
    assert changes.add(A, "ses_1", session(1), directory=OWN, sequence=1)  # an older answer
    assert [(c.session_id, c.session) for c in changes.since(A, 0)] == [
        ("ses_1", None),
        ("ses_2", session(2)),
    ]
    changes.clear(A)
    assert changes.since(A, 0) == []


NEWEST = tuple(session(number) for number in range(100, 50, -1))
LIST = tuple(session(number) for number in range(100, 0, -1))


@pytest.mark.parametrize(
    ("listed", "newest", "is_whole", "differences"),
    [
        (LIST, NEWEST, False, {}),
        (LIST[1:], NEWEST, False, {"ses_100": session(100)}),
        (LIST, NEWEST[1:], False, {"ses_100": None}),
        (LIST[:40] + LIST[60:], NEWEST, False, None),  # the last of the newest isn't listed
        ((), NEWEST, False, None),
        ((), (), True, {}),
        ((session(1),), (), True, {"ses_1": None}),
        ((session(1),), (session(2), session(1)), True, {"ses_2": session(2)}),
    ],
)
def test_the_newest_sessions_are_compared_with_a_list(
    listed: tuple[Session, ...],
    newest: tuple[Session, ...],
    is_whole: bool,
    differences: dict[str, Session | None] | None,
) -> None:
    assert find_differences(listed, newest, is_whole=is_whole) == differences


@fake_time
async def test_a_look_finds_what_no_event_told_of() -> None:
    many = [session(number) for number in range(200, 0, -1)]
    lists = Lists(*many)
    assert await lists.look() is None  # never fetched
    await lists.fetch()
    lists.answer(*many[:LOOK_LIMIT])
    lists.connection.params.clear()
    assert await lists.look() is False
    assert lists.connection.params == [{"limit": str(LOOK_LIMIT)}]
    new, renamed = session(300, title="New"), session(200, title="Renamed")
    lists.answer(new, renamed, *many[2:LOOK_LIMIT])
    assert await lists.look() is True
    titles = await lists.titles()
    assert titles[:3] == ["New", "Renamed", "Session 198"]
    assert len(titles) == 200
    assert await lists.look() is False
    lists.answer(*[session(number) for number in range(400, 350, -1)])
    assert await lists.look() is None  # there may be more between these and the list


@fake_time
async def test_a_look_is_not_trusted_after_events_were_lost_nor_for_ever() -> None:
    lists = Lists(session(1))
    await lists.fetch()
    assert await lists.look() is False
    lists.changes.distrust_lists(A)
    assert await lists.look() is None
    await lists.fetch()
    await advance_time(MAX_LIST_AGE + 1)
    assert await lists.look() is None


@fake_time
async def test_what_an_event_told_during_a_look_wins() -> None:
    # The race: the session is created and another one deleted while the answer is on its way.
    lists = Lists(session(2), session(1))
    await lists.fetch()
    gate = asyncio.Event()
    lists.answer(session(2), session(1), gate=gate)
    async with asyncio.TaskGroup() as group:
        group.create_task(lists.look(), name="the look")
        await advance_time(MIN_LOOK_INTERVAL * 2)
        lists.add(session(3))
        lists.delete("ses_1")
        gate.set()
    assert await lists.titles() == ["Session 3", "Session 2"]


@fake_time
async def test_a_look_says_when_the_list_was_last_compared() -> None:
    lists = Lists(session(1))
    await lists.fetch()
    first = (await cached_sessions(lists.scope, changes=lists.changes)).fetched_at
    await lists.look()
    second = (await cached_sessions(lists.scope, changes=lists.changes)).fetched_at
    assert first is not None
    assert second is not None
    assert second > first
