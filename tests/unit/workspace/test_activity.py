"""Which sessions are busy, as fetched and as changed by events."""

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


def changed(
    session_id: str, doing: Activity | None = BUSY, directory: str | None = "/p"
) -> ActivityChanged:
    return ActivityChanged(session_id=session_id, directory=directory, activity=doing)


async def fetched(body: Any, directory: str | None = None) -> dict[str, Activity]:
    return await fetch_activity(FakeConnection({"/session/status": json_reply(body)}), directory)


@fake_time
async def test_busy_sessions_are_returned_by_their_ids() -> None:
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
async def test_the_details_of_a_retry_are_bounded(
    attempt: Any, message: Any, expected: Any
) -> None:
    activities = await fetched({"ses_1": {"type": "retry", "attempt": attempt, "message": message}})
    assert activities == {"ses_1": expected}


@pytest.mark.parametrize("body", [None, 5, [], "busy", [{"type": "busy"}], {}])
@fake_time
async def test_an_answer_that_is_no_object_has_no_busy_session(body: Any) -> None:
    assert await fetched(body) == {}


@pytest.mark.parametrize("status", [None, "busy", [], {}, {"type": None}, {"type": ["busy"]}])
@fake_time
async def test_a_bad_status_is_left_out(status: Any) -> None:
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
async def test_a_release_without_this_call_has_no_busy_session(reply: Reply) -> None:
    """1.0.0 takes `status` for a session's id and answers 400."""
    assert await fetch_activity(FakeConnection({"/session/status": reply})) == {}


@pytest.mark.parametrize(
    "reply", [failing_reply(Reason.REFUSED), text_reply(401), json_reply({}, 500)]
)
@fake_time
async def test_a_failing_server_does_not_count_as_idle(reply: Reply) -> None:
    with pytest.raises(RequestFailed):
        await fetch_activity(FakeConnection({"/session/status": reply}))


def fetch_answered(
    activities: Activities, answer: dict[str, Activity], directory: str | None = "/p"
) -> bool:
    with activities.fetching(A, directory) as fetch:
        pass
    return activities.apply_fetched(fetch, answer)


def test_a_session_is_busy_from_one_event_to_the_next() -> None:
    activities = Activities()
    assert activities.apply_event(A, changed("ses_1"))
    assert activities.apply_event(A, changed("ses_2", directory="/q"))
    assert activities.get(A) == {"ses_1": BUSY, "ses_2": BUSY}
    assert activities.directories(A) == {"/p", "/q"}
    assert activities.apply_event(A, changed("ses_1", None))
    assert activities.get(A) == {"ses_2": BUSY}


def test_an_event_without_news_changes_nothing() -> None:
    activities = Activities()
    assert not activities.apply_event(A, changed("ses_1", None))
    assert activities.apply_event(A, changed("ses_1"))
    assert not activities.apply_event(A, changed("ses_1"))
    assert activities.apply_event(A, changed("ses_1", RETRY))
    assert not fetch_answered(activities, {"ses_1": RETRY})
    assert fetch_answered(activities, {})
    assert not fetch_answered(activities, {})


def test_an_answer_changes_its_own_directory_alone() -> None:
    activities = Activities()
    activities.apply_event(A, changed("ses_1", directory="/p"))
    activities.apply_event(A, changed("ses_2", directory="/q"))
    assert fetch_answered(activities, {"ses_3": BUSY}, "/p")
    assert activities.get(A) == {"ses_2": BUSY, "ses_3": BUSY}
    assert fetch_answered(activities, {"ses_4": BUSY}, None)
    assert fetch_answered(activities, {}, None)
    assert activities.get(A) == {"ses_2": BUSY, "ses_3": BUSY}


def test_events_during_a_fetch_win_over_its_answer() -> None:
    # The race: the session went idle after the server had looked, and the event came first.
    activities = Activities()
    with activities.fetching(A, "/p") as fetch:
        activities.apply_event(A, changed("ses_1", None))
        activities.apply_event(A, changed("ses_2"))
        activities.apply_event(B, changed("ses_3", None))
    assert activities.apply_fetched(fetch, {"ses_1": BUSY, "ses_3": BUSY})
    assert activities.get(A) == {"ses_2": BUSY, "ses_3": BUSY}
    assert not fetch_answered(activities, {"ses_2": BUSY, "ses_3": BUSY})


def test_an_answer_from_before_a_server_was_cleared_is_discarded() -> None:
    # The race: the answer was there, the server edited or removed, and only then was it taken.
    activities = Activities()
    activities.apply_event(A, changed("ses_1"))
    with activities.fetching(A, "/p") as fetch, activities.fetching(B, "/p") as other:
        activities.clear(A)
    assert not activities.apply_fetched(fetch, {"ses_1": BUSY})
    assert activities.get(A) == {}
    assert activities.apply_fetched(other, {"ses_1": BUSY})
    assert fetch_answered(activities, {"ses_2": BUSY})
    assert activities.get(A) == {"ses_2": BUSY}


def test_one_servers_sessions_are_never_anothers() -> None:
    activities = Activities()
    activities.apply_event(A, changed("ses_1"))
    assert activities.get(B) == {}
    activities.apply_event(B, changed("ses_1"))
    activities.clear(A)
    assert (activities.get(A), activities.get(B)) == ({}, {"ses_1": BUSY})


def test_the_number_of_busy_sessions_is_bounded() -> None:
    activities = Activities(max_sessions=3)
    for number in range(10):
        activities.apply_event(A, changed(f"ses_{number}"))
    fetch_answered(activities, {f"ses_{number}": BUSY for number in range(100, 200)})
    assert len(activities.get(A)) <= 3
    with activities.fetching(A, "/p") as fetch:
        for number in range(10):
            activities.apply_event(A, changed(f"ses_{number}", None))
    assert len(fetch.updated) == 3
