"""Which sessions are at work, as asked for and as told."""

from typing import Any

import pytest

from codewalk.errors import RequestFailed
from codewalk.opencode.activity import BUSY, MAX_MESSAGE, Activity, ActivityKind
from codewalk.opencode.events import ActivityChanged
from codewalk.reason import Reason
from codewalk.workspace.activity import Activities, fetch_activity
from tests.fake_time import fake_time
from tests.fakes import FakeConnection, Reply, failing_reply, html_reply, json_reply, text_reply

A, B = "server-a", "server-b"
RETRY = Activity(kind=ActivityKind.RETRY, attempt=2, message="Overloaded")


def told(
    session_id: str, doing: Activity | None = BUSY, directory: str | None = "/p"
) -> ActivityChanged:
    return ActivityChanged(session_id=session_id, directory=directory, activity=doing)


async def fetched(body: Any, directory: str | None = None) -> dict[str, Activity]:
    return await fetch_activity(FakeConnection({"/session/status": json_reply(body)}), directory)


@fake_time
async def test_sessions_at_work_are_told_by_their_ids() -> None:
    assert await fetched(
        {
            "ses_1": {"type": "busy"},
            "ses_2": {"type": "retry", "attempt": 2, "message": "Overloaded", "next": 5},
            "ses_3": {"type": "idle"},
            "ses_4": {"type": "something new"},
        }
    ) == {"ses_1": BUSY, "ses_2": RETRY, "ses_4": BUSY}


@pytest.mark.parametrize(
    ("attempt", "message", "expected"),
    [
        (None, None, Activity(kind=ActivityKind.RETRY)),
        (True, 5, Activity(kind=ActivityKind.RETRY)),
        (-1, ["x"], Activity(kind=ActivityKind.RETRY)),
        (2**40, "", Activity(kind=ActivityKind.RETRY)),
        (1.5, "x" * 10_000, Activity(kind=ActivityKind.RETRY, message="x" * MAX_MESSAGE)),
    ],
)
@fake_time
async def test_what_a_retry_tells_is_bounded(attempt: Any, message: Any, expected: Any) -> None:
    found = await fetched({"ses_1": {"type": "retry", "attempt": attempt, "message": message}})
    assert found == {"ses_1": expected}


@pytest.mark.parametrize("body", [None, 5, [], "busy", [{"type": "busy"}], {}])
@fake_time
async def test_what_is_no_map_holds_nobody(body: Any) -> None:
    assert await fetched(body) == {}


@pytest.mark.parametrize("status", [None, "busy", [], {}, {"type": None}, {"type": ["busy"]}])
@fake_time
async def test_what_is_no_status_is_left_out(status: Any) -> None:
    body = {"ses_1": status, "ses_2": {"type": "busy"}, "": {"type": "busy"}, "x" * 501: {}}
    assert await fetched(body) == {"ses_2": BUSY}


@fake_time
async def test_the_directory_goes_in_the_query() -> None:
    connection = FakeConnection({"/session/status": json_reply({})})
    await fetch_activity(connection, "/a b")
    await fetch_activity(connection)
    assert connection.params == [{"directory": "/a b"}, {}]


@pytest.mark.parametrize("reply", [html_reply(), text_reply(404), json_reply({"error": []}, 400)])
@fake_time
async def test_a_release_that_doesnt_tell_has_nobody_at_work(reply: Reply) -> None:
    """1.0.0 takes `status` for a session's id and answers 400."""
    assert await fetch_activity(FakeConnection({"/session/status": reply})) == {}


@pytest.mark.parametrize(
    "reply", [failing_reply(Reason.REFUSED), text_reply(401), json_reply({}, 500)]
)
@fake_time
async def test_a_server_that_fails_is_no_idle_one(reply: Reply) -> None:
    with pytest.raises(RequestFailed):
        await fetch_activity(FakeConnection({"/session/status": reply}))


def answered(known: Activities, found: dict[str, Activity], directory: str | None = "/p") -> bool:
    with known.fetching(A, directory) as fetch:
        pass
    return known.apply_fetched(fetch, found)


def test_what_is_told_is_known_until_the_session_is_idle() -> None:
    known = Activities()
    assert known.apply_event(A, told("ses_1"))
    assert known.apply_event(A, told("ses_2", directory="/q"))
    assert known.get(A) == {"ses_1": BUSY, "ses_2": BUSY}
    assert known.directories(A) == {"/p", "/q"}
    assert known.apply_event(A, told("ses_1", None))
    assert known.get(A) == {"ses_2": BUSY}


def test_what_is_known_already_is_no_news() -> None:
    known = Activities()
    assert not known.apply_event(A, told("ses_1", None))
    assert known.apply_event(A, told("ses_1"))
    assert not known.apply_event(A, told("ses_1"))
    assert known.apply_event(A, told("ses_1", RETRY))
    assert not answered(known, {"ses_1": RETRY})
    assert answered(known, {})
    assert not answered(known, {})


def test_an_answer_is_about_its_directory_alone() -> None:
    known = Activities()
    known.apply_event(A, told("ses_1", directory="/p"))
    known.apply_event(A, told("ses_2", directory="/q"))
    assert answered(known, {"ses_3": BUSY}, "/p")
    assert known.get(A) == {"ses_2": BUSY, "ses_3": BUSY}
    assert answered(known, {"ses_4": BUSY}, None)
    assert answered(known, {}, None)
    assert known.get(A) == {"ses_2": BUSY, "ses_3": BUSY}


def test_what_was_told_while_a_server_was_asked_is_newer_than_its_answer() -> None:
    # The race: the session went idle after the server had looked, and the event came first.
    known = Activities()
    with known.fetching(A, "/p") as fetch:
        known.apply_event(A, told("ses_1", None))
        known.apply_event(A, told("ses_2"))
        known.apply_event(B, told("ses_3", None))
    assert known.apply_fetched(fetch, {"ses_1": BUSY, "ses_3": BUSY})
    assert known.get(A) == {"ses_2": BUSY, "ses_3": BUSY}
    assert not answered(known, {"ses_2": BUSY, "ses_3": BUSY})


def test_an_answer_from_before_a_server_was_forgotten_puts_no_mark_back() -> None:
    # The race: the answer was there, the server edited or removed, and only then was it taken.
    known = Activities()
    known.apply_event(A, told("ses_1"))
    with known.fetching(A, "/p") as fetch, known.fetching(B, "/p") as other:
        known.clear(A)
    assert not known.apply_fetched(fetch, {"ses_1": BUSY})
    assert known.get(A) == {}
    assert known.apply_fetched(other, {"ses_1": BUSY})
    assert answered(known, {"ses_2": BUSY})
    assert known.get(A) == {"ses_2": BUSY}


def test_one_servers_sessions_are_never_anothers() -> None:
    known = Activities()
    known.apply_event(A, told("ses_1"))
    assert known.get(B) == {}
    known.apply_event(B, told("ses_1"))
    known.clear(A)
    assert (known.get(A), known.get(B)) == ({}, {"ses_1": BUSY})


def test_what_is_remembered_is_bounded() -> None:
    known = Activities(max_sessions=3)
    for number in range(10):
        known.apply_event(A, told(f"ses_{number}"))
    answered(known, {f"ses_{number}": BUSY for number in range(100, 200)})
    assert len(known.get(A)) <= 3
    with known.fetching(A, "/p") as fetch:
        for number in range(10):
            known.apply_event(A, told(f"ses_{number}", None))
    assert len(fetch.updated) == 3
