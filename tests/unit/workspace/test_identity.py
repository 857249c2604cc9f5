"""Another server at an address is recognised by what it says of itself."""

from datetime import UTC, datetime
from typing import Any

import pytest

from codewalk.workspace.identity import Identity, load_identity, parse_identity, store_identity
from codewalk.workspace.scope import Scope, StateName
from tests.fake_time import fake_time
from tests.fakes import FakeStateStore

PATH = {"home": "/home/a", "state": "/home/a/.s", "config": "/home/a/.c", "directory": "/home/a"}
SINCE = datetime(2026, 2, 9, 20, 51, 50, 489_000, tzinfo=UTC)


def identity(*projects: str, **path: Any) -> Identity:
    return parse_identity(PATH | path, [{"id": name, "worktree": "/w"} for name in projects])


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (identity(), identity()),
        (identity("p1"), identity("p1", "p2")),
        (identity("p1", "p2"), identity("p2")),
        (identity(), identity("p1")),
        (identity("p1"), identity("p1", directory="/home/a/other", worktree="/x")),
        (identity("p1"), identity("p1", home=None)),
        (identity("p1", home=None), identity("p1")),
        (identity("global", "p1"), identity("global", "p1")),
        (identity("p1", "global"), identity("global")),
        (identity("p1"), identity()),
    ],
)
def test_a_server_that_was_restarted_or_got_more_projects_is_the_same(
    before: Identity, after: Identity
) -> None:
    assert before.is_same_server(after)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (identity("p1"), identity("p1", home="/home/b")),
        (identity("p1"), identity("p1", state="/home/b/.s")),
        (identity("p1"), identity("p1", config="/etc/opencode")),
        (identity("p1"), identity("p2")),
    ],
)
def test_other_folders_or_none_of_the_projects_are_another_server(
    before: Identity, after: Identity
) -> None:
    assert not before.is_same_server(after)


@pytest.mark.parametrize(("path", "projects"), [(None, None), ([], {}), ({"home": 5}, ["x", {}])])
def test_answers_of_any_shape_have_an_identity(path: Any, projects: Any) -> None:
    assert parse_identity(path, projects) == parse_identity({}, [])


@fake_time
async def test_an_identity_is_stored() -> None:
    scope = Scope(FakeStateStore(), "server-a")
    assert await load_identity(scope) is None
    for since in (None, SINCE):
        known = Identity(
            folders=("/home/a", None, "/c"), projects=frozenset({"p1", "p2"}), since=since
        )
        await store_identity(scope, known)
        assert await load_identity(scope) == known


@pytest.mark.parametrize("value", [None, 5, [], {}, {"folders": ["/a"], "projects": []}])
@fake_time
async def test_an_identity_that_cannot_be_read_counts_as_none(value: Any) -> None:
    scope = Scope(FakeStateStore(), "server-a")
    await scope.put({StateName.IDENTITY: value})
    assert await load_identity(scope) is None
