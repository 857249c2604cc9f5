"""A session whose creation wasn't confirmed is searched for; the error says what was found."""

import re
from datetime import datetime
from typing import Any

import pytest

from codewalk.errors import RequestFailed
from codewalk.opencode.connection import MAX_BODY
from codewalk.reason import Reason
from codewalk.workspace.all_sessions import fetch_all_sessions
from codewalk.workspace.directories import ALL
from codewalk.workspace.scope import Scope
from codewalk.workspace.session_changes import SessionChanges
from codewalk.workspace.session_creation import CreatedSession, create_session
from codewalk.workspace.sessions import cached_sessions, fetch_sessions
from codewalk.workspace.state_cache import StateCache
from tests.fake_time import fake_time
from tests.fakes import FakeConnection, FakeStateStore, json_reply

A = "server-a"
TIMEOUT = RequestFailed(Reason.TIMEOUT, "It didn't answer within 10 s.")
CLOSED = RequestFailed(Reason.UNREACHABLE, "It closed the connection.")
GATEWAY = RequestFailed(Reason.SERVER_ERROR, "A proxy answered 504.", status=504)


def now_ms() -> int:
    return round(datetime.now().astimezone().timestamp() * 1000)


def raw(number: int, *, created: int | None = None, **fields: Any) -> dict[str, Any]:
    created = now_ms() if created is None else created
    session = {"id": f"ses_{number}", "title": "Mine", "directory": "/p", "projectID": "g"}
    return session | {"time": {"created": created, "updated": created}} | fields


class LosingConnection(FakeConnection):
    """A server whose answer to a new session is lost; it lists `listed`."""

    def __init__(self, failure: RequestFailed, *listed: dict[str, Any]) -> None:
        super().__init__({"/path": json_reply({"directory": "/own"})})
        self.lost = failure
        self.posts = 0
        self.answer(*listed)

    def answer(self, *listed: dict[str, Any]) -> None:
        self.script["/session"] = json_reply([*listed])

    async def post_json(
        self,
        path: str,
        body: Any = None,
        *,
        params: Any = None,
        timeout: float = 10.0,
        limit: int = MAX_BODY,
    ) -> Any:
        self.posts += 1
        raise self.lost


class Creation:
    """A creation on a server whose lists may have been fetched before."""

    def __init__(self, failure: RequestFailed = TIMEOUT) -> None:
        self.changes = SessionChanges(StateCache())
        self.store = FakeStateStore()
        self.scope = Scope(self.store, A, self.changes.cache)
        self.connection = LosingConnection(failure)

    async def fetch(self, *listed: dict[str, Any], directory: str | None = "/p") -> None:
        self.connection.answer(*listed)
        await fetch_sessions(self.scope, self.connection, directory, changes=self.changes)

    async def create(
        self, *listed: dict[str, Any], directory: str | None = "/p", title: str | None = "Mine"
    ) -> CreatedSession:
        self.connection.answer(*listed)
        self.connection.requests.clear()
        return await create_session(
            self.scope, self.connection, directory, title, changes=self.changes
        )

    async def refused(self, *listed: dict[str, Any], **what: Any) -> str:
        with pytest.raises(RequestFailed) as caught:
            await self.create(*listed, **what)
        return caught.value.detail


NOT_MADE = "No new session has appeared there."
MAY_EXIST = "It may have been created all the same: a session that fits is in the list."


@pytest.mark.parametrize("failure", [TIMEOUT, CLOSED, GATEWAY])
@fake_time
async def test_a_session_that_was_created_all_the_same_is_the_result(
    failure: RequestFailed,
) -> None:
    creation = Creation(failure)
    await creation.fetch(raw(1))
    created = await creation.create(raw(2), raw(1))
    assert (created.session.id, created.was_found) == ("ses_2", True)
    assert creation.connection.posts == 1
    listed = await cached_sessions(creation.scope, "/p", changes=creation.changes)
    assert [s.id for s in listed.sessions] == ["ses_2", "ses_1"]
    assert creation.store.entries[A, f"current_session_id::{A}::/p"].value == b'"ses_2"'


@fake_time
async def test_a_session_that_was_not_created_is_searched_for_twice() -> None:
    creation = Creation()
    await creation.fetch(raw(1))
    assert await creation.refused(raw(1)) == f"{TIMEOUT.detail} {NOT_MADE}"
    times = [at for path, at in creation.connection.requests if path == "/session"]
    assert [round(at - times[0]) for at in times] == [0, 1]


@fake_time
async def test_a_session_that_appears_later_is_found() -> None:
    creation = Creation()
    await creation.fetch(raw(1))
    creation.connection.script["/session"] = [json_reply([raw(1)]), json_reply([raw(2), raw(1)])]
    created = await create_session(
        creation.scope, creation.connection, "/p", "Mine", changes=creation.changes
    )
    assert created.session.id == "ses_2"


@pytest.mark.parametrize(
    "other",
    [
        raw(2, title="Another"),
        raw(2, directory="/q"),
        raw(2, parentID="ses_1"),
    ],
)
@fake_time
async def test_another_session_is_not_taken_for_the_new_one(other: dict[str, Any]) -> None:
    creation = Creation()
    await creation.fetch(raw(1))
    assert (await creation.refused(other, raw(1))).endswith(NOT_MADE)


@fake_time
async def test_a_session_without_a_title_is_known_by_the_servers_own() -> None:
    creation = Creation()
    await creation.fetch(directory=None)
    titled = raw(2, title="Something", directory="/own")
    untitled = raw(3, title="New session - 2026-02-09T20:51:50Z", directory="/own")
    created = await creation.create(untitled, titled, directory=None, title=None)
    assert created.session.id == "ses_3"


@fake_time
async def test_without_a_list_from_before_nothing_is_certain() -> None:
    creation = Creation()
    assert (await creation.refused(raw(2))).endswith(MAY_EXIST)
    assert (await creation.refused(raw(2, created=1))).endswith(NOT_MADE)


@fake_time
async def test_two_sessions_that_fit_are_listed_and_none_is_taken() -> None:
    creation = Creation()
    await creation.fetch(raw(1))
    assert (await creation.refused(raw(3), raw(2), raw(1))).endswith(MAY_EXIST)
    listed = await cached_sessions(creation.scope, "/p", changes=creation.changes)
    assert {s.id for s in listed.sessions} == {"ses_1", "ses_2", "ses_3"}
    assert creation.connection.posts == 1


@fake_time
async def test_a_server_that_answers_no_search_may_have_created_it() -> None:
    creation = Creation()
    await creation.fetch(raw(1))
    creation.connection.script["/session"] = json_reply({}, status=500)
    with pytest.raises(RequestFailed, match=re.escape("may have been created all the same")):
        await create_session(
            creation.scope, creation.connection, "/p", "Mine", changes=creation.changes
        )


@pytest.mark.parametrize(
    "failure",
    [
        RequestFailed(Reason.REFUSED, "Nothing listens."),
        RequestFailed(Reason.UNREACHABLE, "It can't be reached.", connected=False),
        RequestFailed(Reason.TIMEOUT, "It didn't accept.", connected=False),
        RequestFailed(Reason.AUTH_REJECTED, "It refused the user.", status=401),
        RequestFailed(Reason.SERVER_ERROR, "It failed.", status=500),
        RequestFailed(Reason.BUSY, "It is busy.", status=429),
        RequestFailed(Reason.DNS, "No such name."),
    ],
)
@fake_time
async def test_a_request_that_was_refused_or_never_arrived_is_not_searched_for(
    failure: RequestFailed,
) -> None:
    creation = Creation(failure)
    assert await creation.refused(raw(2)) == failure.detail
    assert creation.connection.paths == []


@fake_time
async def test_a_new_session_is_in_the_list_of_all_folders() -> None:
    creation = Creation()
    creation.connection.script["/experimental/session"] = json_reply([])
    await fetch_all_sessions(creation.scope, creation.connection, creation.changes)
    await creation.create(raw(2))
    listed = await cached_sessions(creation.scope, ALL, changes=creation.changes)
    assert [s.id for s in listed.sessions] == ["ses_2"]
