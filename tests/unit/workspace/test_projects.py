"""The projects of one server, whatever it sends."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codewalk.errors import RequestFailed
from codewalk.opencode.fields import MAX_DIRECTORY, MAX_ID
from codewalk.reason import Reason
from codewalk.workspace.projects import (
    MAX_NAME,
    MAX_PROJECTS,
    MAX_TEXT,
    ProjectList,
    cached_projects,
)
from codewalk.workspace.scope import Scope, StateName
from tests.fake_time import fake_time
from tests.fakes import (
    FakeConnection,
    FakeStateStore,
    Reply,
    html_reply,
    json_reply,
    text_reply,
)
from tests.unit.workspace.fetched import fetch_and_cache_projects

A, B = "server-a", "server-b"
MOMENT = 1_770_670_310_489
GLOBAL = {"id": "global", "worktree": "/", "time": {"created": MOMENT, "updated": MOMENT + 7}}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
ITEMS = st.fixed_dictionaries(
    {}, optional={"id": st.text() | JSON, "worktree": st.text() | JSON, "name": JSON, "time": JSON}
)


def project(number: int, **fields: Any) -> dict[str, Any]:
    times = {"created": MOMENT, "updated": MOMENT + number}
    return {"id": f"p{number}", "worktree": f"/srv/p{number}", "vcs": "git", "time": times} | fields


def answering(body: Any, directory: Any = "/home/me", worktree: Any = "/") -> FakeConnection:
    path = {"home": "/home/me", "directory": directory, "worktree": worktree}
    return FakeConnection({"/project": json_reply(body), "/path": json_reply(path)})


async def fetched(*items: Any, **path: Any) -> ProjectList:
    """The list parsed from these items, which also comes back from the store."""
    scope = Scope(FakeStateStore(), A)
    live = await fetch_and_cache_projects(scope, answering([*items], **path))
    assert await cached_projects(scope) == replace(live, source="cache")
    return live


def folders(projects: ProjectList) -> list[str]:
    return [project.directory for project in projects.projects]


@fake_time
async def test_the_project_last_worked_in_is_first() -> None:
    live = await fetched(project(2), project(9), project(5), GLOBAL)
    assert folders(live) == ["/srv/p9", "/home/me", "/srv/p5", "/srv/p2"]
    assert live.projects[0].updated_at == datetime(2026, 2, 9, 20, 51, 50, 498_000, tzinfo=UTC)
    assert (live.server_id, live.source) == (A, "live")


@fake_time
async def test_json_has_names_as_the_sessions_have_them() -> None:
    as_json = (await fetched(project(0, name="Shop"), worktree="/srv/p0")).to_json()
    assert as_json.pop("fetched_at").endswith("Z")
    assert as_json == {
        "server_id": A,
        "source": "live",
        "projects": [
            {
                "id": "p0",
                "directory": "/srv/p0",
                "name": "Shop",
                "own": True,
                "created_at": "2026-02-09T20:51:50.489Z",
                "updated_at": "2026-02-09T20:51:50.489Z",
            }
        ],
    }


@fake_time
async def test_a_server_started_in_a_project_has_that_one_for_its_own() -> None:
    live = await fetched(
        project(1), project(2), GLOBAL, directory="/srv/p1/sub", worktree="/srv/p1"
    )
    assert [(p.directory, p.own) for p in live.projects] == [("/srv/p2", False), ("/srv/p1", True)]


@fake_time
async def test_a_server_started_elsewhere_has_that_directory_in_place_of_the_root() -> None:
    live = await fetched(project(1), GLOBAL, directory="/home/me/notes")
    own, other = live.projects
    assert (own.id, own.directory, own.name, own.own) == ("global", "/home/me/notes", "notes", True)
    assert own.updated_ms == MOMENT + 7
    assert (other.directory, other.own) == ("/srv/p1", False)


@fake_time
async def test_the_own_directory_is_listed_though_the_server_lists_nothing() -> None:
    assert folders(await fetched(directory="/home/me")) == ["/home/me"]
    assert folders(await fetched(directory="/srv/p1/sub", worktree="/srv/p1")) == ["/srv/p1/sub"]


@pytest.mark.parametrize("directory", [None, 5, "", "x" * (MAX_DIRECTORY + 1)])
@fake_time
async def test_without_an_own_directory_there_is_no_own_project(directory: Any) -> None:
    live = await fetched(project(1), GLOBAL, directory=directory)
    assert [(p.directory, p.own) for p in live.projects] == [("/srv/p1", False)]


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"worktree": "/srv/shop/"}, "shop"),
        ({"worktree": r"C:\work\shop"}, "shop"),
        ({"worktree": "///"}, "///"),
        ({"name": "  "}, "p1"),
        ({"name": 5}, "p1"),
        ({"name": "x" * 10_000}, "x" * MAX_NAME),
        ({"name": "<script>"}, "<script>"),
    ],
)
@fake_time
async def test_a_project_is_called_as_it_was_named_or_as_its_folder(
    fields: dict[str, Any], name: str
) -> None:
    live = await fetched(project(1, **fields))
    assert {p.name for p in live.projects if not p.own} == {name}


@pytest.mark.parametrize(
    "item",
    [
        None,
        5,
        [],
        {},
        {"id": "p"},
        {"worktree": "/srv"},
        project(1, id=None),
        project(1, id="x" * (MAX_ID + 1)),
        project(1, worktree=""),
        project(1, worktree=["/srv"]),
        project(1, worktree="/" + "x" * MAX_DIRECTORY),
    ],
)
@fake_time
async def test_an_item_that_is_no_project_is_left_out(item: Any) -> None:
    live = await fetched(project(1), item, project(2))
    assert folders(live) == ["/srv/p2", "/srv/p1", "/home/me"]


@fake_time
async def test_one_time_stands_for_both_as_1_0_0_sends_it() -> None:
    live = await fetched(project(1, time={"created": MOMENT}))
    assert live.projects[0].updated_ms == MOMENT


async def test_a_list_is_bounded() -> None:
    live = await fetched(*(project(number) for number in range(MAX_PROJECTS + 5)))
    assert len(live.projects) == MAX_PROJECTS + 1


@given(st.lists(ITEMS | JSON, max_size=5), JSON, JSON)
def test_whatever_a_server_sends_is_a_list_that_comes_back_from_the_store(
    body: list[Any], directory: Any, worktree: Any
) -> None:
    @fake_time
    async def run() -> None:
        live = await fetched(*body, directory=directory, worktree=worktree)
        live.to_json()
        assert len({*folders(live)}) == len(live.projects)
        assert sum(p.own for p in live.projects) <= 1

    run()


@pytest.mark.parametrize("path", ["/project", "/path"])
@pytest.mark.parametrize(
    "reply", [json_reply(5), json_reply("x"), json_reply(None), html_reply(), text_reply(404)]
)
@fake_time
async def test_a_bad_answer_is_an_error_and_leaves_the_last_list(path: str, reply: Reply) -> None:
    scope, connection = Scope(FakeStateStore(), A), answering([project(1)])
    before = await fetch_and_cache_projects(scope, connection)
    connection.script[path] = reply
    with pytest.raises(RequestFailed) as failed:
        await fetch_and_cache_projects(scope, connection)
    assert failed.value.reason is Reason.NOT_OPENCODE
    assert (await cached_projects(scope)).projects == before.projects


@fake_time
async def test_one_servers_list_is_never_anothers() -> None:
    keeper = FakeStateStore()
    await fetch_and_cache_projects(Scope(keeper, A), answering([project(1)]))
    assert (await cached_projects(Scope(keeper, B))).projects == ()


@pytest.mark.parametrize("value", [5, None, {"projects": []}, [["p1"]], [5], "x"])
@fake_time
async def test_a_list_that_cannot_be_loaded_counts_as_none(value: Any) -> None:
    scope = Scope(FakeStateStore(), A)
    await scope.put({StateName.CACHED_PROJECTS: value})
    cached = await cached_projects(scope)
    assert (cached.projects, cached.fetched_at) == ((), None)


async def test_projects_with_long_directories_are_fewer_but_the_own_one_is_listed() -> None:
    long = [project(n, worktree=f"/{n}".ljust(MAX_DIRECTORY, "x")) for n in range(1, 201)]
    live = await fetched(*long, project(0), directory="/srv/p0", worktree="/srv/p0")
    assert sum(len(p.directory) + len(p.name) for p in live.projects[:-1]) <= MAX_TEXT
    assert live.projects[0].id == "p200"
    assert live.projects[-1].own
    assert 50 < len(live.projects) < 100
