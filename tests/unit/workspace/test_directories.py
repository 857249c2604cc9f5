"""The directory in which a server was started, under which its own list of sessions is stored."""

from typing import Any

import orjson
import pytest

from codewalk.errors import RequestFailed, StorageError
from codewalk.opencode.fields import MAX_DIRECTORY
from codewalk.reason import Reason
from codewalk.workspace.directories import get_own_directory
from codewalk.workspace.overview import cached_overview
from codewalk.workspace.scope import Scope, StateName, state_key
from codewalk.workspace.session_creation import create_session
from codewalk.workspace.sessions import cached_sessions, fetch_sessions
from codewalk.workspace.state_cache import StateCache
from tests.fake_time import fake_time
from tests.fakes import (
    EPOCH,
    FakeConnection,
    FakeStateStore,
    Reply,
    StoredEntry,
    failing_reply,
    html_reply,
    json_reply,
    text_reply,
)
from tests.unit.workspace.fetched import fetch_and_cache_projects

A = "server-a"


def session(number: int, directory: str) -> dict[str, Any]:
    time = {"created": number, "updated": number}
    return {"id": f"ses_{number}", "title": f"{number}", "directory": directory, "time": time}


def started_in(directory: Any, *sessions: dict[str, Any]) -> FakeConnection:
    """A server that was started in this directory and lists these sessions."""
    return FakeConnection(
        {
            "/path": json_reply({"directory": directory, "worktree": "/"}),
            "/session": json_reply([*sessions]),
            "/project": json_reply([]),
        }
    )


async def own_ids(scope: Scope) -> list[str]:
    """The cached sessions of the server's own directory."""
    return [session.id for session in (await cached_sessions(scope)).sessions]


@fake_time
async def test_the_own_list_is_stored_under_the_directory_that_path_names() -> None:
    store = FakeStateStore()
    scope = Scope(store, A)
    await fetch_sessions(scope, started_in("/srv/shop", session(1, "/srv/shop")))
    assert {key for _, key in store.entries} == {
        f"cached_sessions::{A}::/srv/shop",
        f"own_directory::{A}",
    }
    assert await own_ids(scope) == ["ses_1"]
    assert await own_ids(Scope(store, A)) == ["ses_1"]


@fake_time
async def test_each_directory_in_which_a_server_was_started_has_its_own_list() -> None:
    scope = Scope(FakeStateStore(), A)
    shop = started_in("/srv/shop", session(1, "/srv/shop"))
    await fetch_sessions(scope, shop)
    await fetch_sessions(scope, started_in("/srv/docs", session(2, "/srv/docs")))
    assert await own_ids(scope) == ["ses_2"]
    assert [s.id for s in (await cached_sessions(scope, "/srv/shop")).sessions] == ["ses_1"]
    await fetch_and_cache_projects(scope, shop)
    assert await own_ids(scope) == ["ses_1"]


@pytest.mark.parametrize(
    "failure", [html_reply(), json_reply({}, 500), json_reply({"not": "a list"})]
)
@fake_time
async def test_the_old_list_is_not_the_own_one_even_where_the_new_one_fails(
    failure: Reply,
) -> None:
    scope = Scope(FakeStateStore(), A)
    await fetch_sessions(scope, started_in("/srv/shop", session(1, "/srv/shop")))
    moved = started_in("/srv/docs")
    moved.script["/session"] = failure
    await fetch_and_cache_projects(scope, moved)
    with pytest.raises(RequestFailed):
        await fetch_sessions(scope, moved)
    cached = await cached_sessions(scope)
    assert (cached.sessions, cached.fetched_at) == ((), None)


@fake_time
async def test_before_the_own_directory_is_known_nothing_is_shown_for_it() -> None:
    store = FakeStateStore()
    scope = Scope(store, A)
    # As releases before this one stored it.
    rows = orjson.dumps([["ses_1", "old", "/srv/shop", 1, 1]])
    key = state_key(StateName.CACHED_SESSIONS, A, "")
    store.entries[A, key] = StoredEntry(value=rows, updated_at=EPOCH)
    await fetch_sessions(scope, started_in("/x", session(2, "/srv/shop")), "/srv/shop")
    assert await own_ids(scope) == []
    assert (await cached_overview(scope)).sessions.fetched_at is None


@pytest.mark.parametrize("directory", [None, 5, "", ["/srv"], "/" + "x" * MAX_DIRECTORY])
@fake_time
async def test_a_server_that_does_not_name_its_directory_has_a_list_all_the_same(
    directory: Any,
) -> None:
    scope = Scope(FakeStateStore(), A)
    await fetch_sessions(scope, started_in(directory, session(1, "/srv/shop")))
    assert await own_ids(scope) == ["ses_1"]
    await fetch_sessions(scope, started_in("/srv/docs", session(2, "/srv/docs")))
    assert await own_ids(scope) == ["ses_2"]


@fake_time
async def test_a_list_is_fetched_though_path_fails() -> None:
    scope, connection = Scope(FakeStateStore(), A), started_in("/srv", session(1, "/srv"))
    connection.script["/path"] = html_reply()
    assert len((await fetch_sessions(scope, connection)).sessions) == 1
    assert await own_ids(scope) == ["ses_1"]


@pytest.mark.parametrize(
    "failure", [failing_reply(Reason.TIMEOUT), failing_reply(Reason.UNREACHABLE), text_reply(500)]
)
@fake_time
async def test_one_failure_of_path_changes_no_directory(failure: Reply) -> None:
    store = FakeStateStore()
    scope, connection = Scope(store, A), started_in("/srv", session(1, "/srv"))
    await fetch_sessions(scope, connection)
    connection.script["/path"] = failure
    await fetch_sessions(scope, connection)
    assert await own_ids(scope) == ["ses_1"]
    assert await get_own_directory(Scope(store, A)) == "/srv"


@fake_time
async def test_a_store_that_fails_is_reported_as_such() -> None:
    store = FakeStateStore()
    store.failure = StorageError("The disk is full.")
    with pytest.raises(StorageError, match="full"):
        await fetch_sessions(Scope(store, A), started_in("/srv", session(1, "/srv")))


@fake_time
async def test_the_list_of_the_own_directory_alone_leaves_the_rest_of_the_project() -> None:
    scope = Scope(FakeStateStore(), A)
    both = (session(3, "/srv/shop"), session(2, "/srv/shop/docs"), session(1, "/srv/shop"))
    await fetch_sessions(scope, started_in("/srv/shop", *both))
    alone = started_in("/srv/shop", session(4, "/srv/shop"), session(3, "/srv/shop"))
    await fetch_sessions(scope, alone, "/srv/shop")
    assert await own_ids(scope) == ["ses_4", "ses_3", "ses_2"]
    cached = await cached_sessions(scope, "/srv/shop")
    assert [s.id for s in cached.sessions] == ["ses_4", "ses_3"]


@fake_time
async def test_a_session_created_after_a_restart_elsewhere_is_not_in_the_old_list() -> None:
    store = FakeStateStore()
    scope = Scope(store, A)
    await fetch_sessions(scope, started_in("/srv/shop", session(1, "/srv/shop")))
    moved = started_in("/srv/docs")
    moved.script["/session"] = json_reply(session(2, "/srv/docs"))
    await create_session(scope, moved, None, "New")
    assert [s.id for s in (await cached_sessions(scope, "/srv/shop")).sessions] == ["ses_1"]
    assert store.entries[A, f"current_session_id::{A}::/srv/docs"].value == b'"ses_2"'


@fake_time
async def test_an_overview_takes_one_read_once_the_own_directory_is_known() -> None:
    store, cache = FakeStateStore(), StateCache()
    await fetch_sessions(Scope(store, A), started_in("/srv/shop", session(1, "/srv/shop")))
    for reads in (2, 1, 1):
        before = store.reads
        overview = await cached_overview(Scope(store, A, cache))
        assert [s.id for s in overview.sessions.sessions] == ["ses_1"]
        assert store.reads - before == reads


@fake_time
async def test_an_overview_follows_a_move_that_another_process_noticed() -> None:
    store, cache = FakeStateStore(), StateCache()
    here, elsewhere = Scope(store, A, cache), Scope(store, A)
    await fetch_sessions(here, started_in("/srv/shop", session(1, "/srv/shop")))
    await fetch_sessions(elsewhere, started_in("/srv/docs", session(2, "/srv/docs")))
    overview = await cached_overview(Scope(store, A, cache))
    assert [s.id for s in overview.sessions.sessions] == ["ses_2"]


@pytest.mark.parametrize("value", [5, None, ["/srv"], {"directory": "/srv"}])
@fake_time
async def test_an_own_directory_of_another_form_counts_as_unknown(value: Any) -> None:
    scope = Scope(FakeStateStore(), A)
    await scope.put({StateName.OWN_DIRECTORY: value})
    assert await get_own_directory(scope) is None
