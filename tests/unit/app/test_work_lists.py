"""The active server's lists: fetched, cached, announced, added to."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import orjson
import pytest

from codewalk.app.work import UNCHANGED_ANNOUNCE_SECONDS
from codewalk.errors import InvalidValue, RequestFailed, ServerNotFound, ServerUnreachable
from codewalk.events import Kind
from codewalk.opencode.activity import BUSY
from codewalk.opencode.session import MAX_TITLE
from codewalk.reason import Reason
from codewalk.workspace.directories import ALL
from tests.fake_time import advance_time, fake_time
from tests.fakes import Reply, StoredEntry, json_reply, profile
from tests.unit.app.working import Working, working

A, B = profile(1), profile(2)
MOMENT = 1_770_670_310_489
PROVIDERS = {"providers": [{"id": "p", "models": {"m": {}, "n": {}}}], "default": {"p": "n"}}


def session(number: int, **fields: Any) -> dict[str, Any]:
    times = {"created": MOMENT, "updated": MOMENT + number}
    return {"id": f"ses_{number}", "title": "x", "directory": "/own", "time": times} | fields


ANSWERS: dict[str, Reply | list[Reply]] = {
    "/path": json_reply({"directory": "/own", "worktree": "/"}),
    "/session": json_reply([session(1)]),
    "/project": json_reply([{"id": "g", "worktree": "/srv/p"}]),
    "/config/providers": json_reply(PROVIDERS),
    "/session/status": json_reply({}),
}


def answer(here: Working, **replies: Reply | list[Reply]) -> None:
    here.network.of(A).script |= ANSWERS | {f"/{name}": said for name, said in replies.items()}


def make_old(here: Working) -> None:
    """Let an hour pass since everything was stored."""
    for key, entry in here.store.entries.items():
        before = entry.updated_at - timedelta(hours=1)
        here.store.entries[key] = StoredEntry(value=entry.value, updated_at=before)


@contextmanager
def announced(here: Working) -> Iterator[list[Kind]]:
    """The kinds of events that the block announces about A."""
    kinds: list[Kind] = []
    with here.announcer.listen() as events:
        yield kinds
        while not events.empty():
            event = events.get_nowait()
            assert event.server_id == A.id
            kinds.append(event.kind)


@fake_time
async def test_a_list_is_announced_when_it_changed_and_when_it_was_old() -> None:
    async with working(A) as here:
        answer(here)
        for fetch, kind in (
            (here.work.sessions, Kind.SESSIONS),
            (here.work.projects, Kind.WORK),
            (here.work.models, Kind.WORK),
        ):
            with announced(here) as kinds:
                await fetch()
                await fetch()
            assert kinds == [kind]
            make_old(here)
            with announced(here) as kinds:
                await fetch(cached=True)
                await fetch()
            assert kinds == [kind]


@fake_time
async def test_a_cached_list_sends_no_request_and_says_when_it_was_fetched() -> None:
    async with working(A) as here:
        answer(here)
        for fetch in (here.work.sessions, here.work.projects, here.work.models):
            assert (await fetch(cached=True)).fetched_at is None
            live = await fetch()
            asked = list(here.requested(A))
            cached = await fetch(cached=True)
            assert (cached.source, cached.fetched_at) == ("cache", live.fetched_at)
            assert here.requested(A) == asked


@fake_time
async def test_an_answer_to_an_older_request_does_not_replace_a_newer_one() -> None:
    # The race: two pages ask, and the first request's answer comes last.
    async with working(A) as here:
        gate = asyncio.Event()
        slow = Reply(answer=json_reply([session(1)]).answer, gate=gate)
        answer(here, session=[slow, json_reply([session(1), session(2)])])
        async with asyncio.TaskGroup() as group:
            group.create_task(here.work.sessions(), name="the first")
            await advance_time(1)
            await here.work.sessions()
            gate.set()
        assert len((await here.work.sessions(cached=True)).sessions) == 2


@fake_time
async def test_a_new_session_is_created_in_its_directory_and_listed_at_once() -> None:
    async with working(A) as here:
        answer(here)
        fetched = await here.work.sessions("/p")
        answer(here, session=json_reply(session(2, title="New", directory="/p")))
        with announced(here) as kinds:
            created = await here.work.new_session("/p", title=" New ", server_id=A.id)
        assert (created.id, created.title, created.directory) == ("ses_2", "New", "/p")
        assert kinds == [Kind.SESSIONS]
        connection = here.network.of(A)
        assert connection.params[-1] == {"directory": "/p"}
        assert connection.bodies[-1] == b'{"title":"New"}'
        cached = await here.work.sessions("/p", cached=True)
        assert cached.sessions[0] == created
        assert cached.fetched_at == fetched.fetched_at
        assert here.store.entries[A.id, f"current_session_id::{A.id}::/p"].value == b'"ses_2"'


@fake_time
async def test_a_session_where_the_server_was_started_is_in_both_lists_that_have_it() -> None:
    async with working(A) as here:
        answer(here)
        await here.work.sessions()
        await here.work.sessions("/own")
        answer(here, session=json_reply(session(2)))
        created = await here.work.new_session(server_id=A.id)
        assert here.network.of(A).params[-1] == {}
        assert here.network.of(A).bodies[-1] == b"{}"
        for directory in (None, "/own"):
            cached = await here.work.sessions(directory, cached=True)
            assert [s.id for s in cached.sessions] == [created.id, "ses_1"]
        assert here.store.entries[A.id, f"current_session_id::{A.id}::/own"].value == b'"ses_2"'


@fake_time
async def test_a_new_session_alone_does_not_make_a_list_that_was_never_fetched() -> None:
    async with working(A) as here:
        answer(here, session=json_reply(session(2)))
        await here.work.new_session("/p", server_id=A.id)
        assert (await here.work.sessions("/p", cached=True)).fetched_at is None


@fake_time
async def test_a_list_requested_before_a_session_was_created_does_not_remove_it() -> None:
    # The race: the list is on its way, without the session, while the session is created.
    async with working(A) as here:
        answer(here)
        await here.work.sessions()
        gate = asyncio.Event()
        slow = Reply(answer=json_reply([session(1)]).answer, gate=gate)
        answer(here, session=[slow, json_reply(session(2))])
        async with asyncio.TaskGroup() as group:
            group.create_task(here.work.sessions(), name="the list")
            await advance_time(1)
            await here.work.new_session(server_id=A.id)
            gate.set()
        assert len((await here.work.sessions(cached=True)).sessions) == 2


@pytest.mark.parametrize("title", ["x" * (MAX_TITLE + 1), "two\nlines", "\x00", "half \ud83d"])
@fake_time
async def test_a_bad_title_is_refused_and_nothing_is_sent(title: str) -> None:
    async with working(A) as here:
        with pytest.raises(InvalidValue, match="title"):
            await here.work.new_session(title=title, server_id=A.id)
        assert here.requested(A) == []


@pytest.mark.parametrize("directory", ["/half \ud83d", "/" + "x" * 5000])
@fake_time
async def test_a_directory_that_cannot_be_sent_is_refused(directory: str) -> None:
    async with working(A) as here:
        for call in (
            here.work.sessions(directory),
            here.work.activity(directory),
            here.work.new_session(directory, server_id=A.id),
        ):
            with pytest.raises(InvalidValue, match="directory"):
                await call
        assert here.requested(A) == []


@pytest.mark.parametrize("directory", ["p", "~/p", "./p", "../p"])
@fake_time
async def test_a_session_is_created_only_in_an_absolute_path(directory: str) -> None:
    async with working(A) as here:
        with pytest.raises(InvalidValue, match="isn't an absolute path"):
            await here.work.new_session(directory, server_id=A.id)
        assert here.requested(A) == []


@fake_time
async def test_a_windows_path_is_absolute_too() -> None:
    async with working(A) as here:
        answer(here, session=json_reply(session(1)))
        await here.work.new_session(r"C:\work\p", server_id=A.id)
        assert here.network.of(A).params == [{"directory": r"C:\work\p"}]


@pytest.mark.parametrize("said", [None, [], {}, {"id": 5}, [session(1)]])
@fake_time
async def test_an_answer_that_is_no_session_is_an_error_of_the_server(said: Any) -> None:
    async with working(A) as here:
        answer(here, session=json_reply(said))
        with pytest.raises(ServerUnreachable):
            await here.work.new_session(server_id=A.id)
        assert here.store.entries == {}


@fake_time
async def test_a_model_is_selected_from_the_cached_list_while_that_is_fresh() -> None:
    async with working(A) as here:
        answer(here)
        offered = await here.work.models()
        assert offered.default == "p/n"
        with announced(here) as kinds:
            used = await here.work.use_model("p/m")
        assert (used.selected, used.models) == ("p/m", offered.models)
        assert kinds == [Kind.WORK]
        assert here.requested(A) == ["/config/providers"]
        assert (await here.work.models(cached=True)).selected == "p/m"


async def test_an_old_list_of_models_is_fetched_again_before_a_selection() -> None:
    async with working(A) as here:
        answer(here)
        await here.work.models()
        make_old(here)
        gone = {"providers": [{"id": "p", "models": {"n": {}}}]}
        here.network.of(A).script["/config/providers"] = json_reply(gone)
        with pytest.raises(InvalidValue, match="has no model 'p/m'"):
            await here.work.use_model("p/m")


@fake_time
async def test_a_model_that_the_cached_list_lacks_is_looked_up_on_the_server() -> None:
    async with working(A) as here:
        answer(here)
        await here.work.models()
        more = {"providers": [{"id": "p", "models": {"new": {}}}]}
        here.network.of(A).script["/config/providers"] = json_reply(more)
        assert (await here.work.use_model("p/new")).selected == "p/new"


@pytest.mark.parametrize("ref", ["", "claude", "/", "p/", "/m"])
@fake_time
async def test_a_bad_model_reference_is_refused_before_the_server_is_asked(ref: str) -> None:
    async with working(A) as here:
        with pytest.raises(InvalidValue, match="PROVIDER/MODEL"):
            await here.work.use_model(ref)
        assert here.requested(A) == []


@fake_time
async def test_busy_sessions_are_known_once_they_were_fetched() -> None:
    async with working(A, B) as here:
        answer(here)
        connection = here.network.of(A)
        connection.script["/session/status"] = json_reply({"ses_1": {"type": "busy"}})
        with announced(here) as kinds:
            assert await here.work.activity("/p") == {"ses_1": BUSY}
            await here.work.activity("/p")
        assert kinds == [Kind.SESSIONS]
        assert here.work.busy_sessions(A.id) == {"ses_1": BUSY}
        assert here.work.busy_sessions(B.id) == {}
        connection.script["/session/status"] = json_reply({})
        with announced(here) as kinds:
            await here.work.activity("/p")
        assert (kinds, here.work.busy_sessions(A.id)) == ([Kind.SESSIONS], {})


@fake_time
async def test_viewed_directories_are_remembered_for_one_server() -> None:
    async with working(A, B) as here:
        assert here.work.viewed_directories(A.id) == (None,)
        for directory in ("/a", None, "/b", "/c", "/a", "/d"):
            await here.work.sessions(directory, cached=True)
        assert here.work.viewed_directories(A.id) == (None, "/d", "/a", "/c")
        await here.switch_to(B)
        await here.work.sessions("/b", cached=True)
        assert here.work.viewed_directories(A.id) == (None,)
        assert here.work.viewed_directories(B.id) == (None, "/b")


@fake_time
async def test_the_list_of_all_directories_is_viewed_instead_of_the_own_one() -> None:
    async with working(A) as here:
        await here.work.sessions("/a", cached=True)
        await here.work.sessions(ALL, cached=True)
        assert here.work.viewed_directories(A.id) == (ALL, "/a")
        assert set(here.work.looked_at_directories(A.id)) == {ALL, "/a"}
        await here.work.sessions(cached=True)
        assert here.work.viewed_directories(A.id) == (None, ALL, "/a")


@fake_time
async def test_a_selected_model_is_cleared_without_a_request() -> None:
    async with working(A) as here:
        answer(here)
        await here.work.models()
        await here.work.use_model("p/m")
        asked = list(here.requested(A))
        with announced(here) as kinds:
            assert (await here.work.use_model(None)).selected is None
        assert (kinds, here.requested(A)) == ([Kind.WORK], asked)
        assert (await here.work.models(cached=True)).selected is None


@fake_time
async def test_a_form_sent_twice_creates_one_session() -> None:
    async with working(A) as here:
        answer(here, session=json_reply(session(2)))
        both = [
            await here.work.create_session(title="x", nonce="n", server_id=A.id) for _ in range(2)
        ]
        assert both[0] is both[1]
        assert here.requested(A).count("/session") == 1
        await here.work.create_session(title="x", nonce="m", server_id=A.id)
        assert here.requested(A).count("/session") == 2


@fake_time
async def test_a_session_that_may_exist_is_announced() -> None:
    async with working(A) as here:
        lost = Reply(failure=RequestFailed(Reason.TIMEOUT, "It didn't answer."))
        answer(here, session=[lost, json_reply([])])
        with announced(here) as kinds, pytest.raises(ServerUnreachable, match="No new session"):
            await here.work.new_session(server_id=A.id)
        assert kinds == [Kind.SESSIONS]


@fake_time
async def test_work_on_a_chosen_server_does_not_depend_on_which_is_active() -> None:
    async with working(A, B) as here:
        here.network.of(B).script |= ANSWERS
        work = here.work.on(B.id)
        listed = await work.sessions()
        assert (listed.server_id, [s.id for s in listed.sessions]) == (B.id, ["ses_1"])
        assert (await work.sessions(cached=True)).fetched_at == listed.fetched_at
        assert (await work.use_model("p/m")).selected == "p/m"
        assert here.requested(A) == []
        assert here.work.viewed_directories(B.id) == (None,)
        gate = asyncio.Event()
        slow = Reply(answer=json_reply([session(1)]).answer, gate=gate)
        here.network.of(B).script["/session"] = slow
        async with asyncio.TaskGroup() as group:
            fetch = group.create_task(work.sessions(), name="the list")
            await advance_time(1)
            await here.switch_to(B)
            await here.switch_to(A)
            gate.set()
        assert fetch.result().server_id == B.id
        await here.remove(B)
        with pytest.raises(ServerNotFound):
            await work.sessions()


@fake_time
async def test_a_list_that_another_process_stored_is_returned() -> None:
    async with working(A) as here:
        answer(here)
        await here.work.sessions()
        key = (A.id, f"cached_sessions::{A.id}::/own")
        row = ["ses_9", "elsewhere", "/own", MOMENT, MOMENT]
        entry = here.store.entries[key]
        here.store.entries[key] = StoredEntry(
            value=orjson.dumps([row]), updated_at=entry.updated_at
        )
        cached = await here.work.sessions(cached=True)
        assert [s.title for s in cached.sessions] == ["elsewhere"]


@fake_time
async def test_looks_within_a_second_are_one_and_a_first_look_fetches_the_list() -> None:
    async with working(A) as here:
        answer(here)
        await here.work.look()
        await here.work.look()
        assert sorted(here.requested(A)) == ["/path", "/session"]
        assert {"limit": "10000"} in here.network.of(A).params
        await advance_time(1)
        await here.work.look()
        assert here.network.of(A).params[-1] == {"limit": "50"}


@fake_time
async def test_a_list_that_does_not_change_is_announced_with_the_time_of_its_fetch() -> None:
    # A list that was fetched every second never was old: its page said "updated 2 min ago".
    async with working(A) as here:
        answer(here)
        await here.work.sessions()
        with announced(here) as kinds:
            for _ in range(20):
                await advance_time(1)
                await here.work.sessions()
        assert len(kinds) == 20 / UNCHANGED_ANNOUNCE_SECONDS
