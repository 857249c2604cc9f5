"""The sessions of one server, whatever it sends."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codewalk.errors import RequestFailed
from codewalk.opencode.fields import MAX_DIRECTORY, MAX_ID
from codewalk.opencode.response import MAX_BODY
from codewalk.opencode.session import MAX_TITLE
from codewalk.reason import Reason
from codewalk.workspace.scope import Scope, StateName
from codewalk.workspace.session_list import MAX_SESSIONS, SessionList
from codewalk.workspace.session_requests import MAX_TEXT
from codewalk.workspace.sessions import cached_sessions, fetch_sessions
from tests.fake_time import fake_time
from tests.fakes import (
    FakeConnection,
    FakeStateStore,
    Reply,
    html_reply,
    json_reply,
    raw_reply,
)

A, B = "server-a", "server-b"
MOMENT = 1_770_670_310_489
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
SESSIONS = st.fixed_dictionaries(
    {},
    optional={
        "id": st.text(min_size=1) | JSON,
        "title": st.text() | JSON,
        "directory": st.text() | JSON,
        "time": st.fixed_dictionaries({}, optional={"created": JSON, "updated": JSON}) | JSON,
    },
)


def session(number: int, **fields: Any) -> dict[str, Any]:
    return {
        "id": f"ses_{number}",
        "title": f"Session {number}",
        "directory": "/p",
        "time": {"created": MOMENT, "updated": MOMENT + number},
    } | fields


async def fetched(body: Any, keeper: FakeStateStore | None = None) -> SessionList:
    """The list parsed from `body`, which also comes back from the store."""
    scope = Scope(keeper or FakeStateStore(), A)
    live = await fetch_sessions(scope, FakeConnection({"/session": json_reply(body)}))
    again = await cached_sessions(scope)
    assert again.sessions == live.sessions
    assert (again.source, live.source) == ("cache", "live")
    return live


@fake_time
async def test_sessions_are_listed_newest_first() -> None:
    live = await fetched([session(2), session(9), session(5)])
    assert [s.id for s in live.sessions] == ["ses_9", "ses_5", "ses_2"]
    first = live.sessions[0]
    assert (first.title, first.directory) == ("Session 9", "/p")
    assert first.created_at == datetime(2026, 2, 9, 20, 51, 50, 489_000, tzinfo=UTC)
    assert first.updated_at == first.created_at + timedelta(milliseconds=9)
    assert live.server_id == A
    assert live.fetched_at


@pytest.mark.parametrize(
    ("value", "archived"),
    [
        *((MOMENT, True), (1, True), (1.5, True), ("2026-02-09T20:51:50Z", True)),
        *((0, False), (None, False), ("", False), ([], False), ({}, False)),
    ],
)
@fake_time
async def test_a_session_is_archived_where_its_time_is_set_and_not_0(
    value: Any, archived: bool
) -> None:
    live = await fetched([session(1, time={"created": MOMENT, "archived": value}), session(2)])
    states = {s.id: s.archived for s in live.sessions}
    assert states == {"ses_1": archived, "ses_2": False}
    shown = [s.id for s in live.without_archived().sessions]
    assert shown == (["ses_2"] if archived else ["ses_2", "ses_1"])


@fake_time
async def test_a_child_session_names_its_parent() -> None:
    live = await fetched([session(1), session(2, parentID="ses_1"), session(3, parentID=5)])
    assert [s.parent_id for s in live.sessions] == [None, "ses_1", None]
    assert live.to_json()["sessions"][1]["parent_id"] == "ses_1"


@fake_time
async def test_an_id_that_comes_twice_is_one_session_in_its_newest_state() -> None:
    newer = session(3, id="ses_1", title="Newer")
    live = await fetched([session(1), newer, session(2), session(1)])
    assert [(s.id, s.title) for s in live.sessions] == [("ses_1", "Newer"), ("ses_2", "Session 2")]


@fake_time
async def test_a_list_stored_by_an_older_release_is_loaded() -> None:
    scope = Scope(FakeStateStore(), A)
    row = ["ses_1", "Old", "/p", MOMENT, MOMENT]
    await scope.put({StateName.CACHED_SESSIONS: [row]}, "/p")
    (loaded,) = (await cached_sessions(scope, "/p")).sessions
    assert (loaded.title, loaded.updated_ms) == ("Old", MOMENT)
    assert (loaded.parent_id, loaded.archived) == (None, False)


@fake_time
async def test_json_has_the_names_of_the_interface() -> None:
    live = await fetched([session(0)])
    as_json = live.to_json()
    assert as_json.pop("fetched_at").endswith("Z")
    assert as_json == {
        "server_id": A,
        "directory": None,
        "source": "live",
        "sessions": [
            {
                "id": "ses_0",
                "title": "Session 0",
                "directory": "/p",
                "parent_id": None,
                "archived": False,
                "created_at": "2026-02-09T20:51:50.489Z",
                "updated_at": "2026-02-09T20:51:50.489Z",
            }
        ],
    }


@pytest.mark.parametrize(
    "item",
    [
        None,
        5,
        "ses_1",
        [],
        {},
        {"id": None},
        {"id": 5},
        {"id": ["ses_1"]},
        {"id": ""},
        {"id": "x" * (MAX_ID + 1)},
        {"title": "without an id"},
    ],
)
@fake_time
async def test_an_item_that_is_no_session_is_left_out(item: Any) -> None:
    live = await fetched([session(1), item, session(2)])
    assert [s.id for s in live.sessions] == ["ses_2", "ses_1"]


@pytest.mark.parametrize("value", [None, 5, [], {}, True, ["title"]])
@fake_time
async def test_a_value_that_is_no_text_counts_as_empty(value: Any) -> None:
    live = await fetched([session(1, title=value, directory=value)])
    assert (live.sessions[0].title, live.sessions[0].directory) == ("", "")


@pytest.mark.parametrize(
    "value",
    [
        *(None, "1770670310489", [], {}, True, 10**18, -(10**18), 1e300, -1e300, 1e17),
        *("", "now", "2026-02-09", "2026-02-30T00:00:00Z", "2026-W07-1T00:00", "2026-02-09T25:00"),
        "0001-01-01T00:00:00+23:59",
    ],
)
@fake_time
async def test_a_bad_time_counts_as_none(value: Any) -> None:
    live = await fetched([session(1, time={"created": value, "updated": value}), session(2)])
    assert [s.id for s in live.sessions] == ["ses_2", "ses_1"]
    assert (live.sessions[1].created_at, live.sessions[1].updated_at) == (None, None)
    live.to_json()


@pytest.mark.parametrize(
    "value",
    [
        "2026-02-09T20:51:50.489Z",
        "2026-02-09T20:51:50.489000+00:00",
        "2026-02-09T22:51:50.489+02:00",
        "2026-02-09 20:51:50.489",
    ],
)
@fake_time
async def test_a_time_may_be_an_iso_string(value: str) -> None:
    live = await fetched([session(1, time={"created": value, "updated": value})])
    assert (live.sessions[0].created_ms, live.sessions[0].updated_ms) == (MOMENT, MOMENT)


@pytest.mark.parametrize("time", [None, 5, [], "now", {}])
@fake_time
async def test_a_bad_time_object_counts_as_none(time: Any) -> None:
    live = await fetched([session(1, time=time)])
    assert live.sessions[0].updated_at is None


@pytest.mark.parametrize(
    "value", [0, -1, 1.5, MOMENT + 0.25, -62_135_596_800_000, 253_402_300_799_999]
)
@fake_time
async def test_unusual_times_are_accepted(value: float) -> None:
    live = await fetched([session(1, time={"created": value})])
    assert live.sessions[0].created_at
    assert live.sessions[0].updated_at == live.sessions[0].created_at
    live.to_json()


@fake_time
async def test_titles_and_directories_are_bounded() -> None:
    live = await fetched([session(1, title="é" * (MAX_TITLE + 1), directory="/" * 20_000)])
    assert live.sessions[0].title == "é" * MAX_TITLE
    assert len(live.sessions[0].directory) == MAX_DIRECTORY


@fake_time
async def test_markup_stays_text() -> None:
    title = '<script>alert("x")</script>\x1b[31m\x00'
    live = await fetched([session(1, title=title)])
    assert live.sessions[0].title == title


async def test_a_list_is_bounded() -> None:
    live = await fetched([session(number) for number in range(MAX_SESSIONS + 5)])
    assert len(live.sessions) == MAX_SESSIONS


@given(st.lists(SESSIONS | JSON, max_size=5))
def test_whatever_a_server_sends_is_a_list_that_comes_back_from_the_store(body: list[Any]) -> None:
    @fake_time
    async def run() -> None:
        live = await fetched(body)
        live.to_json()
        assert len(live.sessions) <= len(body)

    run()


@pytest.mark.parametrize(
    "reply",
    [
        json_reply({}),
        json_reply(None),
        json_reply("sessions"),
        json_reply({"data": []}),
        html_reply(),
        raw_reply(b'[{"id": "ses_1", "time": {"created": NaN}}]', "application/json"),
        raw_reply(b"[" * 100_000, "application/json"),
    ],
)
@fake_time
async def test_a_bad_answer_is_an_error_and_leaves_the_last_list(
    reply: Reply,
) -> None:
    keeper = FakeStateStore()
    before = await fetched([session(1)], keeper)
    with pytest.raises(RequestFailed) as failed:
        await fetch_sessions(Scope(keeper, A), FakeConnection({"/session": reply}))
    assert failed.value.reason is Reason.NOT_OPENCODE
    assert (await cached_sessions(Scope(keeper, A))).sessions == before.sessions


@fake_time
async def test_the_directory_goes_in_the_query_and_each_has_a_list_of_its_own() -> None:
    scope, connection = Scope(FakeStateStore(), A), FakeConnection()
    for directory, number in ((None, 1), ("/a b", 2), ("/c::d", 3)):
        connection.script["/session"] = json_reply([session(number)])
        await fetch_sessions(scope, connection, directory)
    requests = zip(connection.paths, connection.params, strict=True)
    assert [params for path, params in requests if path == "/session"] == [
        {"limit": "10000"},
        {"limit": "10000", "directory": "/a b"},
        {"limit": "10000", "directory": "/c::d"},
    ]
    for directory, number in ((None, 1), ("/a b", 2), ("/c::d", 3)):
        cached = await cached_sessions(scope, directory)
        assert (cached.directory, [s.id for s in cached.sessions]) == (directory, [f"ses_{number}"])


@fake_time
async def test_a_release_that_refuses_a_limit_is_asked_without_one() -> None:
    connection = FakeConnection(
        {"/session": [json_reply({"error": "limit"}, 400), json_reply([session(1)])]}
    )
    live = await fetch_sessions(Scope(FakeStateStore(), A), connection, "/p")
    assert len(live.sessions) == 1
    assert connection.params[1] == {"directory": "/p"}


@fake_time
async def test_a_list_that_was_never_fetched_is_empty_and_says_so() -> None:
    cached = await cached_sessions(Scope(FakeStateStore(), A), "/p")
    assert (cached.sessions, cached.fetched_at, cached.source) == ((), None, "cache")


@pytest.mark.parametrize("value", [{"sessions": []}, [["ses_1"]], [5], "x", 5, None])
@fake_time
async def test_a_list_that_cannot_be_loaded_counts_as_none(value: Any) -> None:
    scope = Scope(FakeStateStore(), A)
    await scope.put({StateName.CACHED_SESSIONS: value}, "")
    cached = await cached_sessions(scope)
    assert (cached.sessions, cached.fetched_at) == ((), None)


@fake_time
async def test_one_servers_list_is_never_anothers() -> None:
    keeper = FakeStateStore()
    await fetched([session(1)], keeper)
    assert (await cached_sessions(Scope(keeper, B))).sessions == ()


@fake_time
async def test_a_list_of_a_server_removed_meanwhile_is_not_stored() -> None:
    keeper = FakeStateStore()
    keeper.removed_servers.add(A)
    connection = FakeConnection({"/session": json_reply([session(1)])})
    live = await fetch_sessions(Scope(keeper, A), connection)
    assert len(live.sessions) == 1
    assert keeper.entries == {}


async def test_sessions_with_long_directories_are_fewer_and_the_newest() -> None:
    long = [session(n, directory="/".ljust(MAX_DIRECTORY, "x")) for n in range(1200)]
    live = await fetched(long)
    assert sum(len(s.title) + len(s.directory) for s in live.sessions) <= MAX_TEXT
    assert 1000 < len(live.sessions) < 1100
    assert live.sessions[0].id == "ses_1199"


class PagingConnection(FakeConnection):
    """A server that fails at more than `most` sessions, and lists all of them in pages."""

    def __init__(self, sessions: list[dict[str, Any]], *, most: int, status: int = 500) -> None:
        super().__init__()
        self.sessions = sorted(sessions, key=lambda one: -one["time"]["updated"])
        self.most = most
        self.status = status

    async def get_json(
        self,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        timeout: float = 10.0,
        limit: int = MAX_BODY,
    ) -> Any:
        params, sessions = params or {}, self.sessions
        if path == "/path":
            return {"directory": "/p"}
        self.params.append(params)
        count = int(params["limit"])
        if count > self.most:
            raise RequestFailed(Reason.SERVER_ERROR, "It failed.", status=self.status)
        if path == "/session":
            sessions = [one for one in sessions if one["projectID"] == "g"]
        else:
            cursor = int(params["cursor"])
            sessions = [one for one in sessions if one["time"]["updated"] < cursor]
        return sessions[:count]


@pytest.mark.parametrize(("most", "limit"), [(9_999, 500), (499, 100)])
@pytest.mark.parametrize("status", [500, 503, 413])
async def test_a_server_that_fails_at_a_long_list_is_asked_page_by_page(
    most: int, limit: int, status: int
) -> None:
    # Pairs have one time, so that a page ends between two of them.
    times = [{"created": MOMENT, "updated": MOMENT + number // 2} for number in range(1101)]
    mine = [session(n, projectID="g", time=time) for n, time in enumerate(times)]
    others = [session(n + 5000, projectID="other", time=time) for n, time in enumerate(times)]
    connection = PagingConnection([*mine, *others], most=most, status=status)
    live = await fetch_sessions(Scope(FakeStateStore(), A), connection)
    assert {s.id for s in live.sessions} == {one["id"] for one in mine}
    last = connection.params[-1] or {}
    assert (last["limit"], last["archived"]) == (str(limit), "true")


@fake_time
async def test_a_page_of_sessions_with_one_time_ends_the_pages() -> None:
    time = {"created": MOMENT, "updated": MOMENT}
    many = [session(number, projectID="g", time=time) for number in range(700)]
    live = await fetch_sessions(Scope(FakeStateStore(), A), PagingConnection(many, most=500), None)
    assert len(live.sessions) == 500


@fake_time
async def test_a_release_without_pages_lists_the_newest() -> None:
    newest = [session(number) for number in range(500)]
    replies = [json_reply({}, status=500), json_reply(newest)]
    connection = FakeConnection({"/session": replies, "/experimental/session": html_reply()})
    live = await fetch_sessions(Scope(FakeStateStore(), A), connection, "/p")
    assert len(live.sessions) == 500
    assert connection.paths == ["/session", "/session", "/experimental/session"]


@fake_time
async def test_a_server_that_fails_at_any_list_is_asked_three_times() -> None:
    connection = FakeConnection({"/session": json_reply({}, status=500)})
    with pytest.raises(RequestFailed) as failed:
        await fetch_sessions(Scope(FakeStateStore(), A), connection, "/p")
    assert failed.value.status == 500
    assert connection.paths == ["/session"] * 3


@fake_time
async def test_an_auth_failure_is_not_repeated_with_a_smaller_limit() -> None:
    connection = FakeConnection({"/session": json_reply({}, status=401)})
    with pytest.raises(RequestFailed):
        await fetch_sessions(Scope(FakeStateStore(), A), connection, "/p")
    assert connection.paths == ["/session"]


@fake_time
async def test_the_own_directory_has_its_sessions_alone_live_as_cached() -> None:
    # 1.0.0 lists the whole project for any of its directories.
    scope = Scope(FakeStateStore(), A)
    connection = FakeConnection(
        {
            "/path": json_reply({"directory": "/p"}),
            "/session": json_reply([session(1), session(2, directory="/else")]),
        }
    )
    assert len((await fetch_sessions(scope, connection)).sessions) == 2
    live = await fetch_sessions(scope, connection, "/p")
    assert [s.id for s in live.sessions] == ["ses_1"]
    assert (await cached_sessions(scope, "/p")).sessions == live.sessions
