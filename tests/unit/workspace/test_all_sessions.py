"""The list of the sessions in all directories of a server, whatever its release can list."""

from typing import Any

import pytest

from codewalk.errors import RequestFailed
from codewalk.opencode.session import parse_session
from codewalk.reason import Reason
from codewalk.workspace.all_sessions import MAX_ASKED_DIRECTORIES, fetch_all_sessions
from codewalk.workspace.directories import ALL
from codewalk.workspace.overview import cached_overview
from codewalk.workspace.projects import cache_projects, fetch_projects
from codewalk.workspace.scope import Scope
from codewalk.workspace.session_changes import RETRY_ALL_LIST_SECONDS, SessionChanges
from codewalk.workspace.session_list import SessionList
from codewalk.workspace.session_look import LOOK_LIMIT, look_at_newest
from codewalk.workspace.sessions import cached_sessions, fetch_sessions, store_changes
from codewalk.workspace.state_cache import StateCache
from tests.fake_time import advance_time, fake_time
from tests.fakes import (
    FakeConnection,
    FakeStateStore,
    Reply,
    failing_reply,
    html_reply,
    json_reply,
    text_reply,
)

A, B = "server-a", "server-b"
EVERYWHERE = "/experimental/session"


def raw(number: int, directory: str = "/own", project: str = "g", **fields: Any) -> dict[str, Any]:
    time = {"created": number, "updated": number}
    session = {"id": f"ses_{number}", "title": f"{number}", "directory": directory}
    return session | {"projectID": project, "time": time} | fields


class Server:
    """The lists of one server, on a fake store and connection.

    The server was started in `/own`, and has two more projects.
    """

    def __init__(self, store: FakeStateStore | None = None, server_id: str = A) -> None:
        self.store = store or FakeStateStore()
        self.changes = SessionChanges(StateCache())
        self.scope = Scope(self.store, server_id, self.changes.cache)
        projects = [{"id": name, "worktree": f"/srv/{name}"} for name in ("shop", "docs")]
        self.connection = FakeConnection(
            {
                "/path": json_reply({"directory": "/own", "worktree": "/"}),
                "/project": json_reply(projects),
                "/session": json_reply([]),
            }
        )

    def answer(self, path: str, *sessions: dict[str, Any]) -> None:
        self.connection.script[path] = json_reply([*sessions])

    async def fetch(self, *, ask_each: bool = False) -> SessionList:
        return await fetch_all_sessions(
            self.scope, self.connection, self.changes, ask_each=ask_each
        )

    async def fetch_projects(self) -> None:
        start = self.scope.begin_fetch()
        await cache_projects(self.scope, await fetch_projects(self.connection), start)

    async def cached(self) -> SessionList:
        return await cached_sessions(self.scope, ALL, changes=self.changes)

    async def look(self) -> bool | None:
        return await look_at_newest(self.scope, self.connection, ALL, self.changes)

    def requested(self) -> list[tuple[str, str | None]]:
        """The path and directory of each request for a list since the last call."""
        pairs = zip(self.connection.paths, self.connection.params, strict=True)
        seen = [(path, (params or {}).get("directory")) for path, params in pairs]
        self.connection.requests.clear()
        self.connection.params.clear()
        return [one for one in seen if one[0] in (EVERYWHERE, "/session")]


def ids(listed: SessionList) -> list[str]:
    return [session.id for session in listed.sessions]


@fake_time
async def test_a_current_release_lists_all_folders_in_one_request() -> None:
    server = Server()
    server.answer(EVERYWHERE, raw(1), raw(3, "/srv/shop", "shop"), raw(2, "/srv/docs", "docs"))
    live = await server.fetch()
    assert ids(live) == ids(await server.cached()) == ["ses_3", "ses_2", "ses_1"]
    assert server.connection.params == [{"limit": "10000", "archived": "true"}]
    assert server.requested() == [(EVERYWHERE, None)]
    assert (live.is_partial, live.to_json()["directory"]) == (False, None)
    assert {key for _, key in server.store.entries} == {f"all_sessions::{A}"}


@fake_time
async def test_one_servers_list_of_all_folders_is_never_anothers() -> None:
    server = Server()
    server.answer(EVERYWHERE, raw(1))
    await server.fetch()
    assert ids(await Server(server.store, B).cached()) == []


@fake_time
async def test_before_it_was_fetched_the_own_list_stands_for_it() -> None:
    server = Server()
    server.answer("/session", raw(1))
    await fetch_sessions(server.scope, server.connection, changes=server.changes)
    cached = await server.cached()
    assert (ids(cached), cached.is_substitute) == (["ses_1"], True)
    server.answer(EVERYWHERE, raw(1), raw(2, "/srv/shop", "shop"))
    await server.fetch()
    cached = await server.cached()
    assert (ids(cached), cached.is_substitute) == (["ses_2", "ses_1"], False)


@fake_time
async def test_before_a_folder_was_fetched_its_part_of_the_list_of_all_stands_for_it() -> None:
    server = Server()
    await server.fetch_projects()
    server.answer(EVERYWHERE, raw(1), raw(2, "/srv/shop", "shop"), raw(3, "/srv/shop", "shop"))
    live = await server.fetch()
    for directory, expected in ((None, ["ses_1"]), ("/srv/shop", ["ses_3", "ses_2"]), ("/x", [])):
        cached = await cached_sessions(server.scope, directory, changes=server.changes)
        assert (ids(cached), cached.is_substitute) == (expected, True)
        assert cached.fetched_at == live.fetched_at


@fake_time
async def test_an_overview_of_all_folders_takes_one_read() -> None:
    server = Server()
    server.answer(EVERYWHERE, raw(1))
    await server.fetch()
    before = server.store.reads
    overview = await cached_overview(server.scope, ALL, changes=server.changes)
    assert (ids(overview.sessions), server.store.reads - before) == (["ses_1"], 1)


@fake_time
async def test_changes_in_any_folder_are_applied_and_stored() -> None:
    server = Server()
    server.answer(EVERYWHERE, raw(1), raw(2, "/srv/shop", "shop"))
    await server.fetch()
    new = parse_session(raw(3, "/new/folder"))
    server.changes.add(A, "ses_3", new, directory="/new/folder")
    server.changes.add(A, "ses_1", None, directory="/own")
    assert ids(await server.cached()) == ["ses_3", "ses_2"]
    await store_changes(server.scope, server.changes, [None])
    assert server.changes.since(A, 0) == []
    assert ids(await server.cached()) == ["ses_3", "ses_2"]


@pytest.mark.parametrize(
    "absent",
    [html_reply(), text_reply(404), text_reply(500), json_reply({}), failing_reply(Reason.TIMEOUT)],
)
@fake_time
async def test_an_older_release_is_asked_for_its_own_folder_alone(absent: Reply) -> None:
    server = Server()
    server.connection.script[EVERYWHERE] = absent
    server.answer("/session", raw(1))
    await server.fetch_projects()
    live = await server.fetch()
    assert (ids(live), live.is_partial) == (["ses_1"], True)
    assert {path for path, _ in server.requested()} == {EVERYWHERE, "/session"}
    cached = await server.cached()
    assert (ids(cached), cached.is_partial, cached.is_substitute) == (["ses_1"], True, False)
    # It isn't asked again until it may have been replaced.
    await server.fetch()
    assert server.requested() == [("/session", None)]
    await advance_time(RETRY_ALL_LIST_SECONDS + 1)
    await server.fetch()
    assert (EVERYWHERE, None) in server.requested()
    server.changes.distrust_lists(A)
    await server.fetch()
    assert (EVERYWHERE, None) in server.requested()


@pytest.mark.parametrize(
    "reason", [Reason.REFUSED, Reason.AUTH_REJECTED, Reason.BUSY, Reason.UNREACHABLE, Reason.DNS]
)
@fake_time
async def test_a_server_that_cannot_be_asked_is_asked_once(reason: Reason) -> None:
    server = Server()
    server.connection.script[EVERYWHERE] = failing_reply(reason)
    with pytest.raises(RequestFailed):
        await server.fetch()
    assert server.requested() == [(EVERYWHERE, None)]


@fake_time
async def test_the_list_of_an_older_release_has_the_folders_that_were_opened() -> None:
    server = Server()
    await server.fetch_projects()
    server.answer("/session", raw(2, "/srv/shop"))
    await fetch_sessions(server.scope, server.connection, "/srv/shop", changes=server.changes)
    server.answer("/session", raw(1))
    live = await server.fetch()
    assert (ids(live), live.is_partial) == (["ses_2", "ses_1"], True)
    # What an event told of stays; what the own folder doesn't list any more goes.
    new = parse_session(raw(3, "/new/folder"))
    server.changes.add(A, "ses_3", new, directory="/new/folder")
    await store_changes(server.scope, server.changes, [None])
    server.answer("/session", raw(4))
    assert ids(await server.fetch()) == ["ses_4", "ses_3", "ses_2"]


@fake_time
async def test_each_folder_of_an_older_release_is_asked_for_where_somebody_wants_that() -> None:
    server = Server()
    await server.fetch_projects()
    server.requested()
    server.answer("/session", raw(1))
    live = await server.fetch(ask_each=True)
    assert server.requested() == [
        (EVERYWHERE, None),
        ("/session", None),
        ("/session", "/srv/shop"),
        ("/session", "/srv/docs"),
    ]
    assert not live.is_partial
    assert not (await server.cached()).is_partial


@fake_time
async def test_the_folders_that_are_asked_for_one_by_one_are_bounded() -> None:
    server = Server()
    many = [{"id": f"p{number}", "worktree": f"/srv/{number}"} for number in range(100)]
    server.connection.script["/project"] = json_reply(many)
    await server.fetch_projects()
    server.requested()
    live = await server.fetch(ask_each=True)
    assert live.is_partial
    assert len(server.requested()) == MAX_ASKED_DIRECTORIES + 2


@fake_time
async def test_a_look_at_all_folders_is_one_small_request() -> None:
    many = [raw(number, f"/srv/{number % 7}") for number in range(200, 0, -1)]
    server = Server()
    server.answer(EVERYWHERE, *many)
    assert await server.look() is None  # never fetched
    await server.fetch()
    server.answer(EVERYWHERE, raw(300, "/new"), *many[1:LOOK_LIMIT])
    await advance_time(2)
    server.connection.params.clear()
    assert await server.look() is True
    assert server.connection.params == [{"limit": str(LOOK_LIMIT), "archived": "true"}]
    listed = ids(await server.cached())
    assert (listed[:2], len(listed)) == (["ses_300", "ses_199"], 200)


@fake_time
async def test_a_look_says_to_which_project_a_session_belongs() -> None:
    server = Server()
    server.answer("/session", raw(1))
    await fetch_sessions(server.scope, server.connection, changes=server.changes)
    server.answer(EVERYWHERE, raw(1))
    await server.fetch()
    await advance_time(2)
    server.answer(EVERYWHERE, raw(3, "/own/docs"), raw(2, "/srv/shop", "shop"), raw(1))
    assert await server.look() is True
    own = await cached_sessions(server.scope, changes=server.changes)
    assert ids(own) == ["ses_3", "ses_1"]


@fake_time
async def test_a_look_at_an_older_release_looks_at_its_own_folder() -> None:
    server = Server()
    await server.fetch_projects()
    server.answer("/session", raw(1))
    first = await server.fetch()
    await advance_time(2)
    server.requested()
    server.answer("/session", raw(2), raw(1))
    assert await server.look() is True
    assert server.requested() == [("/session", None)]
    cached = await server.cached()
    assert ids(cached) == ["ses_2", "ses_1"]
    assert cached.fetched_at is not None
    assert first.fetched_at is not None
    assert cached.fetched_at > first.fetched_at


@pytest.mark.parametrize("status", [500, 413])
async def test_a_server_that_fails_at_a_long_list_of_all_folders_is_asked_page_by_page(
    status: int,
) -> None:
    server = Server()
    pages = [[raw(n, f"/srv/{n % 3}") for n in range(last, last - 100, -1)] for last in (250, 151)]
    server.connection.script[EVERYWHERE] = [
        json_reply({}, status),
        json_reply(pages[0]),
        json_reply(pages[1]),
        json_reply([raw(n) for n in range(52, 0, -1)]),
    ]
    assert len(ids(await server.fetch())) == 250
    assert server.connection.params[-1] == {"limit": "100", "archived": "true", "cursor": "53"}
