"""The active server's work is fetched when there is a reason to, and only then."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest

from codewalk.app.refresher import (
    ACTIVITY_DEBOUNCE,
    CHANGE_DEBOUNCE,
    LOOK_INTERVAL,
    MAX_CHANGED_DIRECTORIES,
    POLL_INTERVAL,
    STORE_INTERVAL,
    Refresher,
)
from codewalk.app.work import Work
from codewalk.events import Announcer, Event, Kind
from codewalk.health.link import LinkState
from codewalk.opencode.activity import BUSY
from codewalk.opencode.events import ActivityChanged, Connected, SessionChanged
from codewalk.opencode.session import Session
from codewalk.server import Server
from codewalk.servers.profile import ServerProfile
from codewalk.tasks import RESTART_DELAY
from codewalk.workspace.directories import ALL
from codewalk.workspace.session_look import LOOK_LIMIT
from tests.fake_time import advance_time, elapsed, fake_time
from tests.fakes import Reply, delayed, html_reply, json_reply, profile
from tests.unit.app.working import Working, working

A, B = profile(1), profile(2)

ANSWERS = {
    "/session": json_reply([]),
    "/project": json_reply([]),
    "/config/providers": json_reply({"providers": [], "default": {}}),
    "/session/status": json_reply({}),
}
EVERYTHING = {**dict.fromkeys(ANSWERS, 1), "/path": 2}
"""What is asked for at a start: `/path` beside the own list and for the projects."""

OWN_LIST = {"/session": 1, "/path": 1}
"""What is asked for to fetch the list of the server's own directory."""

AFTER_RECONNECT = {"/session": 1, "/session/status": 1, "/project": 1, "/path": 2}
"""What is asked for when an event stream is new: the server may have been restarted."""


@dataclass(kw_only=True)
class Refreshed:
    """A running refresher, the app as it sees it, and when sessions were announced."""

    here: Working
    refresher: Refresher
    link: LinkState = LinkState.LIVE
    announced_at: list[float] = field(default_factory=list)
    bug: Exception | None = None

    @property
    def work(self) -> Work:
        return self.here.work

    @property
    def announcer(self) -> Announcer:
        return self.here.announcer

    def active(self) -> Server | None:
        if self.bug:
            raise self.bug
        profile = self.here.registry.roster.active
        if profile is None:
            return None
        health = self.here.monitor.status(profile.id)
        return Server(profile=profile, health=health, active=True, default=False, link=self.link)

    def requested(self, server: ServerProfile = A) -> Counter[str]:
        """The requests to a server since the last call, health checks left out."""
        paths = Counter(path for path, _ in self.here.network.of(server).requests)
        self.here.network.of(server).requests.clear()
        return Counter({path: n for path, n in paths.items() if "health" not in path})

    def directories(self) -> list[str | None]:
        """The directories of the session lists requested from A since the last call."""
        connection = self.here.network.of(A)
        pairs = zip(connection.paths, connection.params, strict=True)
        directories = [
            (params or {}).get("directory") for path, params in pairs if path == "/session"
        ]
        connection.requests.clear()
        connection.params.clear()
        return directories

    async def make_healthy(self, server: ServerProfile) -> None:
        await self.here.monitor.check(server)
        self.announcer.announce(Event(kind=Kind.HEALTH, server_id=server.id))


@asynccontextmanager
async def refreshing(*servers: ServerProfile) -> AsyncIterator[Refreshed]:
    """A refresher after its first fetch from the first of these servers, which is active."""
    async with working(*servers) as here, asyncio.TaskGroup() as group:
        for server in servers:
            here.network.of(server).script |= ANSWERS
        refreshed = Refreshed(here=here, refresher=Refresher(here.activities, here.changes))
        with here.announcer.listen() as events:

            async def listen() -> None:
                while True:
                    if (await events.get()).kind is Kind.SESSIONS:
                        refreshed.announced_at.append(elapsed())

            jobs = [
                group.create_task(refreshed.refresher.run(refreshed), name="refresher"),
                group.create_task(listen(), name="listener"),
            ]
            await advance_time(1)
            yield refreshed
            for job in jobs:
                job.cancel()


@fake_time
async def test_everything_is_fetched_at_the_start() -> None:
    async with refreshing(A, B) as refreshed:
        assert refreshed.requested(A) == EVERYTHING
        assert refreshed.requested(B) == {}


@fake_time
async def test_everything_is_fetched_of_a_server_that_became_active_or_healthy() -> None:
    async with refreshing(A, B) as refreshed:
        refreshed.requested(A)
        await refreshed.here.switch_to(B)
        refreshed.announcer.announce(Event(kind=Kind.ACTIVE, server_id=B.id, generation=1))
        await advance_time(1)
        assert (refreshed.requested(A), refreshed.requested(B)) == ({}, EVERYTHING)
        await refreshed.make_healthy(A)
        await advance_time(1)
        assert (refreshed.requested(A), refreshed.requested(B)) == ({}, {})
        await refreshed.make_healthy(B)
        await advance_time(1)
        assert refreshed.requested(B) == EVERYTHING


@fake_time
async def test_a_fetch_that_fails_affects_no_other() -> None:
    for broken in ANSWERS:
        async with refreshing(A) as refreshed:
            connection = refreshed.here.network.of(A)
            connection.script |= {broken: html_reply(), "/session": json_reply([{"id": "ses_1"}])}
            if broken == "/session":
                connection.script["/session"] = html_reply()
            refreshed.announcer.announce(Event(kind=Kind.OVERFLOW))
            await advance_time(1)
            stored = {key.partition("::")[0] for _, key in refreshed.here.store.entries}
            assert stored == {
                "cached_sessions",
                "cached_projects",
                "cached_models",
                "identity",
                "own_directory",
            }
            assert refreshed.requested()[broken] == 2


@fake_time
async def test_a_switch_ends_the_fetches_in_flight() -> None:
    async with refreshing(A, B) as refreshed:
        connection = refreshed.here.network.of(A)
        connection.script = {path: delayed(60, reply) for path, reply in ANSWERS.items()}
        refreshed.announcer.announce(Event(kind=Kind.OVERFLOW))
        await advance_time(1)
        assert connection.in_flight > 0
        await refreshed.here.switch_to(B)
        refreshed.announcer.announce(Event(kind=Kind.ACTIVE, server_id=B.id, generation=1))
        await advance_time(0.1)
        assert connection.in_flight == 0
        assert refreshed.requested(B) == EVERYTHING


@fake_time
async def test_a_burst_of_changes_is_one_fetch() -> None:
    async with refreshing(A, B) as refreshed:
        refreshed.requested()
        for _ in range(50):
            refreshed.refresher.handle_event(
                A.id, SessionChanged(session_id="ses_1", directory="/p")
            )
            refreshed.refresher.handle_event(
                B.id, SessionChanged(session_id="ses_1", directory="/p")
            )
            await advance_time(CHANGE_DEBOUNCE / 100)
        await advance_time(1)
        assert refreshed.requested() == OWN_LIST
        assert refreshed.requested(B) == {}


@fake_time
async def test_a_slow_list_is_fetched_with_pauses() -> None:
    async with refreshing(A) as refreshed:
        refreshed.requested()
        refreshed.here.network.of(A).script["/session"] = delayed(0.5, json_reply([]))
        for _ in range(100):
            refreshed.refresher.handle_event(
                A.id, SessionChanged(session_id="ses_1", directory="/p")
            )
            await advance_time(0.1)
        assert refreshed.requested()["/session"] <= 5


@fake_time
async def test_a_viewed_directory_is_fetched_when_it_changed() -> None:
    async with refreshing(A) as refreshed:
        await refreshed.work.sessions("/p", cached=True)
        await refreshed.work.sessions("/q", cached=True)
        refreshed.directories()
        refreshed.refresher.handle_event(A.id, SessionChanged(session_id="ses_1", directory="/p"))
        await advance_time(1)
        assert refreshed.directories() == [None, "/p"]
        refreshed.refresher.handle_event(
            A.id, SessionChanged(session_id="ses_1", directory="/elsewhere")
        )
        await advance_time(1)
        assert refreshed.directories() == [None]
        refreshed.refresher.handle_event(A.id, Connected())
        await advance_time(1)
        assert refreshed.directories() == [None, "/q", "/p"]


@fake_time
async def test_after_a_reconnect_all_is_fetched_that_a_restart_may_have_changed() -> None:
    async with refreshing(A, B) as refreshed:
        refreshed.requested()
        refreshed.refresher.handle_event(A.id, Connected())
        await advance_time(1)
        assert refreshed.requested() == AFTER_RECONNECT
        assert refreshed.requested(B) == {}


@fake_time
async def test_changes_in_ever_new_directories_are_bounded() -> None:
    async with refreshing(A) as refreshed:
        refreshed.requested()
        for number in range(MAX_CHANGED_DIRECTORIES * 3):
            changed = SessionChanged(session_id="ses_1", directory=f"/{number}")
            refreshed.refresher.handle_event(A.id, changed)
        await advance_time(1)
        assert refreshed.requested() == OWN_LIST


def busy(number: int, directory: str = "/p") -> ActivityChanged:
    return ActivityChanged(session_id=f"ses_{number}", directory=directory, activity=BUSY)


def idle(number: int) -> ActivityChanged:
    return ActivityChanged(session_id=f"ses_{number}", directory="/p", activity=None)


@fake_time
async def test_changes_of_activity_are_announced_soon_together_and_without_a_fetch() -> None:
    async with refreshing(A) as refreshed:
        refreshed.requested()
        refreshed.announced_at.clear()
        began = elapsed()
        for number in range(50):
            refreshed.refresher.handle_event(A.id, busy(number))
            await advance_time(ACTIVITY_DEBOUNCE / 100)
        assert len(refreshed.work.busy_sessions(A.id)) == 50
        await advance_time(1)
        assert len(refreshed.announced_at) == 1
        assert refreshed.announced_at[0] - began < ACTIVITY_DEBOUNCE * 2
        refreshed.refresher.handle_event(A.id, busy(1))
        await advance_time(1)
        assert len(refreshed.announced_at) == 1
        refreshed.refresher.handle_event(A.id, idle(1))
        await advance_time(1)
        assert len(refreshed.announced_at) == 2
        assert refreshed.requested() == {}


@fake_time
async def test_activity_of_a_server_that_is_not_active_is_known_and_not_announced() -> None:
    async with refreshing(A, B) as refreshed:
        refreshed.announced_at.clear()
        refreshed.refresher.handle_event(B.id, busy(1))
        await advance_time(1)
        assert refreshed.work.busy_sessions(B.id) == {"ses_1": BUSY}
        assert refreshed.announced_at == []


@fake_time
async def test_after_a_broken_link_activity_is_fetched_where_sessions_were_busy() -> None:
    async with refreshing(A, B) as refreshed:
        refreshed.refresher.handle_event(A.id, busy(1, "/elsewhere"))
        refreshed.refresher.handle_event(B.id, busy(1))
        await advance_time(1)
        refreshed.announced_at.clear()
        connection = refreshed.here.network.of(A)
        connection.params.clear()
        refreshed.refresher.handle_event(A.id, Connected())
        refreshed.refresher.handle_event(B.id, Connected())
        await advance_time(1)
        assert {"directory": "/elsewhere"} in connection.params
        assert (refreshed.work.busy_sessions(A.id), refreshed.work.busy_sessions(B.id)) == ({}, {})
        assert len(refreshed.announced_at) == 1


@pytest.mark.parametrize("link", [LinkState.POLLING, LinkState.BUFFERED])
@fake_time
async def test_a_server_without_a_link_is_polled_within_ten_seconds(link: LinkState) -> None:
    assert POLL_INTERVAL < 10
    async with refreshing(A) as refreshed:
        await refreshed.make_healthy(A)
        await advance_time(1)
        refreshed.requested()
        await advance_time(POLL_INTERVAL * 2)
        assert refreshed.requested() == {}
        refreshed.link = link
        await advance_time(POLL_INTERVAL * 2)
        assert refreshed.requested() == {"/session": 2, "/session/status": 2}


@fake_time
async def test_without_an_active_server_nothing_is_fetched() -> None:
    async with refreshing(A) as refreshed:
        await refreshed.here.remove(A)
        refreshed.requested()
        refreshed.refresher.handle_event(A.id, Connected())
        refreshed.refresher.handle_event(A.id, busy(1))
        refreshed.announcer.announce(Event(kind=Kind.ACTIVE))
        await advance_time(POLL_INTERVAL * 2)
        assert refreshed.requested() == {}


@pytest.mark.parametrize(
    ("path", "name"),
    [("/session", "sessions"), ("/config/providers", "models"), ("/session/status", "activity")],
)
@fake_time
async def test_a_bug_in_a_fetch_is_logged_by_name_and_affects_no_other_fetch(
    path: str, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with refreshing(A) as refreshed:
        refreshed.requested()
        connection = refreshed.here.network.of(A)
        connection.script[path] = Reply(bug=KeyError("unforeseen"))
        for other in ANSWERS.keys() - {path}:
            # Slower than the one with the bug, which would cancel them.
            connection.script[other] = delayed(1, ANSWERS[other])
        refreshed.here.store.entries.clear()
        refreshed.announcer.announce(Event(kind=Kind.OVERFLOW))
        await advance_time(5)
        (record,) = caplog.records
        assert record.getMessage() == f"The fetch of {name} from the server {A.id} failed."
        assert record.exc_info
        stored = {key.partition("::")[0] for _, key in refreshed.here.store.entries}
        assert "cached_projects" in stored
        assert ("cached_models" in stored) == (path != "/config/providers")
        assert ("cached_sessions" in stored) == (path != "/session")
        connection.script[path] = ANSWERS[path]
        refreshed.announcer.announce(Event(kind=Kind.OVERFLOW))
        await advance_time(5)
        assert refreshed.requested()[path] == 2


@fake_time
async def test_a_bug_in_the_refresher_itself_is_logged_by_name_and_it_starts_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with refreshing(A) as refreshed:
        refreshed.requested()
        refreshed.bug = KeyError("unforeseen")
        refreshed.refresher.handle_event(A.id, Connected())
        await advance_time(CHANGE_DEBOUNCE * 2)
        (record,) = caplog.records
        assert "'refresh after server events' failed" in record.getMessage()
        refreshed.bug = None
        await advance_time(RESTART_DELAY)
        assert refreshed.requested() == {}
        refreshed.refresher.handle_event(A.id, Connected())
        await advance_time(1)
        assert refreshed.requested() == AFTER_RECONNECT


def changed(number: int, *, directory: str = "/own", project_id: str = "g") -> SessionChanged:
    """An event as current releases send it, with the whole session."""
    session = Session(
        id=f"ses_{number}",
        title=f"Session {number}",
        directory=directory,
        created_ms=1,
        updated_ms=number,
    )
    return SessionChanged(
        session_id=session.id, directory=directory, session=session, project_id=project_id
    )


@asynccontextmanager
async def refreshing_a_project() -> AsyncIterator[Refreshed]:
    """A refresher of a server that was started in `/own` and has one session there."""
    async with refreshing(A) as refreshed:
        listed = {
            "id": "ses_1",
            "directory": "/own",
            "projectID": "g",
            "time": {"created": 1, "updated": 1},
        }
        refreshed.here.network.of(A).script |= {
            "/path": json_reply({"directory": "/own", "worktree": "/own"}),
            "/session": json_reply([listed]),
        }
        refreshed.refresher.handle_event(A.id, Connected())
        await advance_time(1)
        refreshed.requested()
        refreshed.announced_at.clear()
        yield refreshed


@fake_time
async def test_an_event_that_has_the_session_is_applied_without_a_request() -> None:
    async with refreshing_a_project() as refreshed:
        for number in range(2, 102):
            refreshed.refresher.handle_event(A.id, changed(number))
            refreshed.refresher.handle_event(B.id, changed(number))
        await advance_time(1)
        assert len((await refreshed.work.sessions(cached=True)).sessions) == 101
        assert len(refreshed.announced_at) == 1
        gone = SessionChanged(session_id="ses_101", directory="/own", deleted=True)
        refreshed.refresher.handle_event(A.id, gone)
        await advance_time(1)
        sessions = (await refreshed.work.sessions(cached=True)).sessions
        assert [s.id for s in sessions[:2]] == ["ses_100", "ses_99"]
        assert refreshed.requested() == {}


@fake_time
async def test_a_change_that_comes_with_a_new_event_stream_is_announced() -> None:
    async with refreshing_a_project() as refreshed:
        refreshed.here.network.of(A).script["/session"] = json_reply(
            [
                {
                    "id": f"ses_{number}",
                    "title": f"Session {number}",
                    "directory": "/own",
                    "projectID": "g",
                    "time": {"created": 1, "updated": number},
                }
                for number in (2, 1)
            ]
        )
        refreshed.refresher.handle_event(A.id, Connected())
        refreshed.refresher.handle_event(A.id, changed(1))
        refreshed.refresher.handle_event(A.id, changed(2))
        await advance_time(1)
        sessions = (await refreshed.work.sessions(cached=True)).sessions
        assert [session.id for session in sessions] == ["ses_2", "ses_1"]
        assert refreshed.announced_at


@fake_time
async def test_a_busy_session_costs_no_request_and_few_writes() -> None:
    async with refreshing_a_project() as refreshed:
        store = refreshed.here.store
        writes = len(store.calls)
        for number in range(1200):  # ten minutes of an agent that works
            refreshed.refresher.handle_event(A.id, changed(1 + number % 3))
            await advance_time(0.5)
        assert refreshed.requested() == {}
        assert 1 <= len(store.calls) - writes <= 600 / STORE_INTERVAL + 1


@fake_time
async def test_a_list_is_fetched_where_an_event_does_not_tell_whose_its_session_is() -> None:
    async with refreshing_a_project() as refreshed:
        refreshed.refresher.handle_event(A.id, changed(2, directory="/else", project_id="other"))
        await advance_time(1)
        assert refreshed.requested() == {}
        unknown = replace(changed(3, directory="/else"), project_id=None)
        refreshed.refresher.handle_event(A.id, unknown)
        await advance_time(1)
        assert refreshed.requested() == OWN_LIST


@fake_time
async def test_changes_are_stored_when_the_app_ends() -> None:
    async with refreshing_a_project() as refreshed:
        refreshed.refresher.handle_event(A.id, changed(2))
        await advance_time(1)
        store = refreshed.here.store
    entry = store.entries[A.id, f"cached_sessions::{A.id}::/own"]
    assert b"ses_2" in entry.value


@fake_time
async def test_the_newest_sessions_are_looked_at_while_a_page_is_open() -> None:
    async with refreshing_a_project() as refreshed:
        await refreshed.make_healthy(A)
        await advance_time(2)
        await refreshed.work.overview(server_id=A.id)
        refreshed.requested()
        await advance_time(LOOK_INTERVAL * 3)
        assert refreshed.requested() == {}
        with refreshed.work.viewers.viewing():
            await advance_time(0.1)
            assert refreshed.requested() == {"/session": 1}
            limits = [params["limit"] for params in refreshed.here.network.of(A).params if params]
            assert limits[-1] == str(LOOK_LIMIT)
            await advance_time(LOOK_INTERVAL * 3)
            assert refreshed.requested() == {"/session": 3}
            await advance_time(LOOK_INTERVAL / 2)
            with refreshed.work.viewers.viewing():
                await advance_time(0.1)
            assert refreshed.requested() == {"/session": 1}
        await advance_time(LOOK_INTERVAL * 3)
        assert refreshed.requested() == {}


@fake_time
async def test_an_unhealthy_server_is_not_looked_at() -> None:
    async with refreshing_a_project() as refreshed:
        await refreshed.work.overview(server_id=A.id)
        with refreshed.work.viewers.viewing():
            await advance_time(LOOK_INTERVAL * 3)
        assert refreshed.requested() == {}


@fake_time
async def test_a_page_of_all_folders_costs_one_small_request_per_look() -> None:
    async with refreshing_a_project() as refreshed:
        everywhere = "/experimental/session"
        refreshed.here.network.of(A).script[everywhere] = json_reply([])
        await refreshed.make_healthy(A)
        await advance_time(2)
        await refreshed.work.overview(ALL, server_id=A.id)
        await refreshed.work.sessions(ALL)
        await advance_time(LOOK_INTERVAL)
        refreshed.requested()
        with refreshed.work.viewers.viewing():
            await advance_time(0.1)
            assert refreshed.requested() == {everywhere: 1}
            limits = [params["limit"] for params in refreshed.here.network.of(A).params if params]
            assert limits[-1] == str(LOOK_LIMIT)
            await advance_time(LOOK_INTERVAL)
            assert refreshed.requested() == {everywhere: 1}
        # Events of any folder are applied without a request.
        refreshed.refresher.handle_event(A.id, changed(7, directory="/new", project_id="other"))
        await advance_time(1)
        assert refreshed.requested() == {}
        cached = await refreshed.work.sessions(ALL, cached=True)
        assert [session.id for session in cached.sessions] == ["ses_7"]


@fake_time
async def test_after_a_reconnect_the_viewed_list_alone_is_fetched() -> None:
    async with refreshing_a_project() as refreshed:
        refreshed.here.network.of(A).script["/experimental/session"] = json_reply([])
        await refreshed.work.overview(ALL, server_id=A.id)
        refreshed.refresher.handle_event(A.id, Connected())
        await advance_time(1)
        seen = refreshed.requested()
        assert (seen["/experimental/session"], seen["/session"]) == (1, 0)
        refreshed.announcer.announce(Event(kind=Kind.OVERFLOW))
        await advance_time(1)
        seen = refreshed.requested()
        assert (seen["/experimental/session"], seen["/session"]) == (1, 1)
        assert seen["/session/status"] == 1
