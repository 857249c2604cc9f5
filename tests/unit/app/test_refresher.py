"""What belongs to the active server is fetched when there is a reason to, and only then."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from codewalk.app.refresher import (
    ACTIVITY_DEBOUNCE,
    CHANGE_DEBOUNCE,
    MAX_CHANGED_DIRECTORIES,
    POLL_INTERVAL,
    Refresher,
)
from codewalk.app.work import Work
from codewalk.events import Announcer, Event, Kind
from codewalk.health.link import LinkState
from codewalk.opencode.activity import BUSY
from codewalk.opencode.events import ActivityChanged, Connected, SessionChanged
from codewalk.server import Server
from codewalk.servers.profile import ServerProfile
from codewalk.tasks import RESTART_DELAY
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


@dataclass(kw_only=True)
class Refreshed:
    """A refresher at work, and the app that it sees; `told` holds when sessions were announced."""

    here: Working
    refresher: Refresher
    link: LinkState = LinkState.LIVE
    told: list[float] = field(default_factory=list)
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
        found = self.here.registry.roster.active
        if found is None:
            return None
        health = self.here.monitor.status(found.id)
        return Server(profile=found, health=health, active=True, default=False, link=self.link)

    def asked(self, server: ServerProfile = A) -> Counter[str]:
        """What a server was asked for since the last look."""
        paths = Counter(path for path, _ in self.here.network.of(server).requests)
        self.here.network.of(server).requests.clear()
        return Counter({path: n for path, n in paths.items() if "health" not in path})

    def directories(self) -> list[str | None]:
        """For which directories A was asked for sessions since the last look."""
        connection = self.here.network.of(A)
        pairs = zip(connection.paths, connection.params, strict=True)
        found = [(params or {}).get("directory") for path, params in pairs if path == "/session"]
        connection.requests.clear()
        connection.params.clear()
        return found

    async def make_healthy(self, server: ServerProfile) -> None:
        await self.here.monitor.check(server)
        self.announcer.announce(Event(kind=Kind.HEALTH, server_id=server.id))


@asynccontextmanager
async def refreshing(*servers: ServerProfile) -> AsyncIterator[Refreshed]:
    """A refresher of the first of these servers, past its first fetch."""
    async with working(*servers) as here, asyncio.TaskGroup() as group:
        for server in servers:
            here.network.of(server).script |= ANSWERS
        seen = Refreshed(here=here, refresher=Refresher(here.activities))
        with here.announcer.listen() as events:

            async def listen() -> None:
                while True:
                    if (await events.get()).kind is Kind.SESSIONS:
                        seen.told.append(elapsed())

            jobs = [
                group.create_task(seen.refresher.run(seen), name="refresher"),
                group.create_task(listen(), name="listener"),
            ]
            await advance_time(1)
            yield seen
            for job in jobs:
                job.cancel()


@fake_time
async def test_everything_is_fetched_at_the_start() -> None:
    async with refreshing(A, B) as seen:
        assert seen.asked(A) == EVERYTHING
        assert seen.asked(B) == {}


@fake_time
async def test_everything_is_fetched_of_a_server_that_became_active_or_healthy() -> None:
    async with refreshing(A, B) as seen:
        seen.asked(A)
        await seen.here.switch_to(B)
        seen.announcer.announce(Event(kind=Kind.ACTIVE, server_id=B.id, generation=1))
        await advance_time(1)
        assert (seen.asked(A), seen.asked(B)) == ({}, EVERYTHING)
        await seen.make_healthy(A)
        await advance_time(1)
        assert (seen.asked(A), seen.asked(B)) == ({}, {})
        await seen.make_healthy(B)
        await advance_time(1)
        assert seen.asked(B) == EVERYTHING


@fake_time
async def test_one_that_fails_loses_none_of_the_others() -> None:
    for broken in ANSWERS:
        async with refreshing(A) as seen:
            connection = seen.here.network.of(A)
            connection.script |= {broken: html_reply(), "/session": json_reply([{"id": "ses_1"}])}
            if broken == "/session":
                connection.script["/session"] = html_reply()
            seen.announcer.announce(Event(kind=Kind.OVERFLOW))
            await advance_time(1)
            kept = {key.partition("::")[0] for _, key in seen.here.kept.entries}
            assert kept == {
                "cached_sessions",
                "cached_projects",
                "cached_models",
                "own_directory",
            }
            assert seen.asked()[broken] == 2


@fake_time
async def test_a_switch_ends_what_is_under_way() -> None:
    async with refreshing(A, B) as seen:
        connection = seen.here.network.of(A)
        connection.script = {path: delayed(60, reply) for path, reply in ANSWERS.items()}
        seen.announcer.announce(Event(kind=Kind.OVERFLOW))
        await advance_time(1)
        assert connection.in_flight > 0
        await seen.here.switch_to(B)
        seen.announcer.announce(Event(kind=Kind.ACTIVE, server_id=B.id, generation=1))
        await advance_time(0.1)
        assert connection.in_flight == 0
        assert seen.asked(B) == EVERYTHING


@fake_time
async def test_a_burst_of_changes_is_one_fetch() -> None:
    async with refreshing(A, B) as seen:
        seen.asked()
        for _ in range(50):
            seen.refresher.handle_event(A.id, SessionChanged(session_id="ses_1", directory="/p"))
            seen.refresher.handle_event(B.id, SessionChanged(session_id="ses_1", directory="/p"))
            await advance_time(CHANGE_DEBOUNCE / 100)
        await advance_time(1)
        assert seen.asked() == OWN_LIST
        assert seen.asked(B) == {}


@fake_time
async def test_a_list_that_takes_long_is_fetched_with_pauses() -> None:
    async with refreshing(A) as seen:
        seen.asked()
        seen.here.network.of(A).script["/session"] = delayed(0.5, json_reply([]))
        for _ in range(100):
            seen.refresher.handle_event(A.id, SessionChanged(session_id="ses_1", directory="/p"))
            await advance_time(0.1)
        assert seen.asked()["/session"] <= 5


@fake_time
async def test_a_directory_that_somebody_looks_at_is_fetched_when_it_changed() -> None:
    async with refreshing(A) as seen:
        await seen.work.sessions("/p", cached=True)
        await seen.work.sessions("/q", cached=True)
        seen.directories()
        seen.refresher.handle_event(A.id, SessionChanged(session_id="ses_1", directory="/p"))
        await advance_time(1)
        assert seen.directories() == [None, "/p"]
        seen.refresher.handle_event(
            A.id, SessionChanged(session_id="ses_1", directory="/elsewhere")
        )
        await advance_time(1)
        assert seen.directories() == [None]
        seen.refresher.handle_event(A.id, Connected())
        await advance_time(1)
        assert seen.directories() == [None, "/q", "/p"]


@fake_time
async def test_changes_in_ever_new_directories_are_bounded() -> None:
    async with refreshing(A) as seen:
        seen.asked()
        for number in range(MAX_CHANGED_DIRECTORIES * 3):
            changed = SessionChanged(session_id="ses_1", directory=f"/{number}")
            seen.refresher.handle_event(A.id, changed)
        await advance_time(1)
        assert seen.asked() == OWN_LIST


def busy(number: int, directory: str = "/p") -> ActivityChanged:
    return ActivityChanged(session_id=f"ses_{number}", directory=directory, activity=BUSY)


def idle(number: int) -> ActivityChanged:
    return ActivityChanged(session_id=f"ses_{number}", directory="/p", activity=None)


@fake_time
async def test_busy_marks_are_announced_soon_together_and_without_a_fetch() -> None:
    async with refreshing(A) as seen:
        seen.asked()
        seen.told.clear()
        began = elapsed()
        for number in range(50):
            seen.refresher.handle_event(A.id, busy(number))
            await advance_time(ACTIVITY_DEBOUNCE / 100)
        assert len(seen.work.busy_sessions(A.id)) == 50
        await advance_time(1)
        assert len(seen.told) == 1
        assert seen.told[0] - began < ACTIVITY_DEBOUNCE * 2
        seen.refresher.handle_event(A.id, busy(1))
        await advance_time(1)
        assert len(seen.told) == 1
        seen.refresher.handle_event(A.id, idle(1))
        await advance_time(1)
        assert len(seen.told) == 2
        assert seen.asked() == {}


@fake_time
async def test_marks_of_a_server_that_nobody_looks_at_are_known_and_not_announced() -> None:
    async with refreshing(A, B) as seen:
        seen.told.clear()
        seen.refresher.handle_event(B.id, busy(1))
        await advance_time(1)
        assert seen.work.busy_sessions(B.id) == {"ses_1": BUSY}
        assert seen.told == []


@fake_time
async def test_after_a_broken_link_marks_are_asked_for_where_some_were_known() -> None:
    async with refreshing(A, B) as seen:
        seen.refresher.handle_event(A.id, busy(1, "/elsewhere"))
        seen.refresher.handle_event(B.id, busy(1))
        await advance_time(1)
        seen.told.clear()
        connection = seen.here.network.of(A)
        connection.params.clear()
        seen.refresher.handle_event(A.id, Connected())
        seen.refresher.handle_event(B.id, Connected())
        await advance_time(1)
        assert {"directory": "/elsewhere"} in connection.params
        assert (seen.work.busy_sessions(A.id), seen.work.busy_sessions(B.id)) == ({}, {})
        assert len(seen.told) == 1


@fake_time
async def test_a_server_that_tells_nothing_is_looked_at_now_and_then() -> None:
    async with refreshing(A) as seen:
        await seen.make_healthy(A)
        await advance_time(1)
        seen.asked()
        await advance_time(POLL_INTERVAL * 2)
        assert seen.asked() == {}
        seen.link = LinkState.POLLING
        await advance_time(POLL_INTERVAL * 2)
        assert seen.asked() == {"/session": 2, "/path": 2, "/session/status": 2}


@fake_time
async def test_without_a_server_there_is_nothing_to_fetch() -> None:
    async with refreshing(A) as seen:
        await seen.here.remove(A)
        seen.asked()
        seen.refresher.handle_event(A.id, Connected())
        seen.refresher.handle_event(A.id, busy(1))
        seen.announcer.announce(Event(kind=Kind.ACTIVE))
        await advance_time(POLL_INTERVAL * 2)
        assert seen.asked() == {}


@pytest.mark.parametrize(
    ("path", "name"),
    [("/session", "sessions"), ("/config/providers", "models"), ("/session/status", "activity")],
)
@fake_time
async def test_a_bug_in_a_fetch_is_logged_by_name_and_affects_no_other_fetch(
    path: str, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with refreshing(A) as seen:
        seen.asked()
        connection = seen.here.network.of(A)
        connection.script[path] = Reply(bug=KeyError("unforeseen"))
        for other in ANSWERS.keys() - {path}:
            # Slower than the one with the bug, which would cancel them.
            connection.script[other] = delayed(1, ANSWERS[other])
        seen.here.kept.entries.clear()
        seen.announcer.announce(Event(kind=Kind.OVERFLOW))
        await advance_time(5)
        (record,) = caplog.records
        assert record.getMessage() == f"The fetch of {name} from the server {A.id} failed."
        assert record.exc_info
        stored = {key.partition("::")[0] for _, key in seen.here.kept.entries}
        assert "cached_projects" in stored
        assert ("cached_models" in stored) == (path != "/config/providers")
        assert ("cached_sessions" in stored) == (path != "/session")
        connection.script[path] = ANSWERS[path]
        seen.announcer.announce(Event(kind=Kind.OVERFLOW))
        await advance_time(5)
        assert seen.asked()[path] == 2


@fake_time
async def test_a_bug_in_the_refresher_itself_is_logged_by_name_and_it_starts_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with refreshing(A) as seen:
        seen.asked()
        seen.bug = KeyError("unforeseen")
        seen.refresher.handle_event(A.id, Connected())
        await advance_time(CHANGE_DEBOUNCE * 2)
        (record,) = caplog.records
        assert "'refresh after server events' failed" in record.getMessage()
        seen.bug = None
        await advance_time(RESTART_DELAY)
        assert seen.asked() == {}
        seen.refresher.handle_event(A.id, Connected())
        await advance_time(1)
        assert seen.asked() == {**OWN_LIST, "/session/status": 1}
