"""Child sessions are part of the session that started them."""

import pytest

from codewalk.opencode.activity import BUSY, Activity, ActivityKind
from codewalk.opencode.session import Session
from codewalk.workspace.session_tree import root_sessions, with_busy_parents

RETRY = Activity(kind=ActivityKind.RETRY)


def session(session_id: str, parent_id: str | None = None) -> Session:
    return Session(
        id=session_id,
        title=session_id,
        directory="/p",
        parent_id=parent_id,
        created_ms=None,
        updated_ms=None,
    )


TREE = (session("a"), session("b", "a"), session("c", "b"), session("d"), session("e", "gone"))


def test_only_sessions_without_a_parent_are_roots() -> None:
    assert [s.id for s in root_sessions(TREE)] == ["a", "d"]


@pytest.mark.parametrize(
    ("busy", "result"),
    [
        ({}, {}),
        ({"d": BUSY}, {"d": BUSY}),
        ({"b": BUSY}, {"a": BUSY, "b": BUSY}),
        ({"c": RETRY}, {"a": RETRY, "b": RETRY, "c": RETRY}),
        ({"a": BUSY, "c": RETRY}, {"a": BUSY, "b": RETRY, "c": RETRY}),
        ({"e": BUSY}, {"e": BUSY, "gone": BUSY}),
        ({"unknown": BUSY}, {"unknown": BUSY}),
    ],
)
def test_a_busy_child_makes_its_parents_busy(
    busy: dict[str, Activity], result: dict[str, Activity]
) -> None:
    assert with_busy_parents(busy, TREE) == result


def test_sessions_that_are_each_others_parents_do_no_harm() -> None:
    circle = (session("a", "b"), session("b", "a"), session("c", "c"))
    busy = {"a": BUSY, "c": BUSY}
    assert with_busy_parents(busy, circle) == {"a": BUSY, "b": BUSY, "c": BUSY}
