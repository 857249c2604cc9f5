"""From the servers' health to what a person is told."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta

from codewalk.errors import StorageError
from codewalk.events import Announcer, Event, Kind
from codewalk.health.status import HealthStatus
from codewalk.notifications.notice import Notice, NoticeEvent, NoticeKind
from codewalk.notifications.notifier import Notifier
from codewalk.reason import Reason, State
from codewalk.servers.profile import NotifySetting, ServerProfile
from codewalk.servers.removal import MAX_REMOVALS
from tests.fake_time import advance_time, elapsed, fake_time
from tests.fakes import EPOCH, profile, utc_now

A, B = profile(1), profile(2)
UP = HealthStatus(state=State.HEALTHY, reason=Reason.OK, version="1.18.33")
DOWN = HealthStatus(state=State.UNHEALTHY, reason=Reason.REFUSED, version="1.18.33")


class Told:
    """What was told before; `broken` makes it fail as a full disk does."""

    def __init__(self, **since: datetime) -> None:
        self.since = dict(since)
        self.versions: dict[str, str] = {}
        self.broken = False

    async def load(self) -> dict[str, datetime]:
        self._must_work()
        return self.since

    async def keep(self, server_id: str, since: datetime | None) -> bool:
        self._must_work()
        if since is None:
            return self.since.pop(server_id, None) is not None
        return self.since.setdefault(server_id, since) is since

    async def keep_version(self, server_id: str, version: str) -> bool:
        self._must_work()
        before, self.versions[server_id] = self.versions.get(server_id), version
        return before != version

    def _must_work(self) -> None:
        if self.broken:
            raise StorageError("The disk is full.")


class World:
    """Servers, how they are, and what was told of them: `(seconds, id, what)`."""

    def __init__(self, *servers: ServerProfile, told: Told, now: HealthStatus) -> None:
        self.servers = list(servers)
        self.statuses = {server.id: replace(now, since=EPOCH) for server in servers}
        self.announcer = Announcer()
        self.teller = Notifier(
            self.announcer,
            profiles=lambda: self.servers,
            status=lambda server_id: self.statuses.get(server_id, HealthStatus()),
            told=told,
            now=utc_now,
        )
        self.news: list[Notice] = []
        self.firsts: list[NoticeKind] = []
        self.told: list[tuple[float, str, NoticeKind]] = []

    def be(self, server: ServerProfile, status: HealthStatus) -> None:
        self.statuses[server.id] = replace(status, since=utc_now())
        self.announcer.announce(Event(kind=Kind.HEALTH, server_id=server.id))

    def change(self, *servers: ServerProfile) -> None:
        self.servers = list(servers)
        self.announcer.announce(Event(kind=Kind.SERVERS))

    async def listen(self) -> None:
        async for news in heard(self.announcer):
            self.news.append(news)
            self.told.append((elapsed(), news.server_id, news.kind))

    async def listen_for_firsts(self) -> None:
        async for news in heard(self.teller.firsts):
            self.firsts.append(news.kind)


async def heard(announcer: Announcer) -> AsyncIterator[Notice]:
    """All that is news, until it is cancelled."""
    with announcer.listen() as events:
        while True:
            event = await events.get()
            if isinstance(event, NoticeEvent):
                yield event.notice


@asynccontextmanager
async def telling(
    *servers: ServerProfile, told: Told | None = None, now: HealthStatus = UP
) -> AsyncIterator[World]:
    world = World(*servers, told=told or Told(), now=now)
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(world.listen(), name="listen"),
            group.create_task(world.listen_for_firsts(), name="listen for firsts"),
            group.create_task(world.teller.run(), name="teller"),
        ]
        await advance_time(0)
        yield world
        for task in tasks:
            task.cancel()


@fake_time
async def test_a_server_that_goes_and_comes_back_is_told_of() -> None:
    async with telling(A, B) as world:
        await advance_time(10)
        world.be(A, DOWN)
        await advance_time(2)
        world.be(B, DOWN)
        await advance_time(60)
        world.be(A, UP)
        await advance_time(1)
        assert world.told == [
            (15, A.id, NoticeKind.DOWN),
            (17, B.id, NoticeKind.DOWN),
            (72, A.id, NoticeKind.UP),
        ]
        assert world.news[2].downtime == timedelta(seconds=62)


@fake_time
async def test_a_short_absence_is_not() -> None:
    async with telling(A) as world:
        for _ in range(5):
            world.be(A, DOWN)
            await advance_time(4.9)
            world.be(A, UP)
            await advance_time(10)
        assert world.told == []


@fake_time
async def test_an_upgrade_is_told_once() -> None:
    async with telling(A) as world:
        await advance_time(5)
        for _ in range(3):
            world.be(A, replace(UP, version="1.19.0"))
            await advance_time(10)
        assert world.told == [(5, A.id, NoticeKind.VERSION)]
        assert world.news[0].previous_version == "1.18.33"
        assert world.teller.previous_version(A.id) == "1.18.33"
        world.change(replace(A, url="http://elsewhere"))
        await advance_time(1)
        assert world.teller.previous_version(A.id) is None
        assert world.teller.previous_version("unknown") is None


@fake_time
async def test_a_server_that_was_moved_is_another_one() -> None:
    async with telling(A) as world:
        world.be(A, DOWN)
        await advance_time(3)
        world.statuses[A.id] = HealthStatus()
        world.change(replace(A, url="http://elsewhere"))
        await advance_time(1)
        world.be(A, replace(DOWN, version="1.0.0"))
        await advance_time(60)
        assert world.told == []


@fake_time
async def test_an_edit_of_the_label_changes_no_story() -> None:
    async with telling(A) as world:
        world.be(A, DOWN)
        await advance_time(3)
        world.change(replace(A, label="New"))
        await advance_time(60)
        assert world.told == [(5, A.id, NoticeKind.DOWN)]


@fake_time
async def test_a_removed_server_is_told_of_no_more() -> None:
    async with telling(A, B) as world:
        world.be(A, DOWN)
        world.be(B, DOWN)
        await advance_time(3)
        world.change(B)
        await advance_time(60)
        assert world.told == [(5, B.id, NoticeKind.DOWN)]


@fake_time
async def test_a_story_goes_on_where_a_removal_is_undone() -> None:
    told = Told()
    async with telling(A, B, told=told) as world:
        world.be(A, DOWN)
        await advance_time(10)
        kept = dict(told.since)
        world.change(B)
        world.statuses[A.id] = HealthStatus()
        await advance_time(3)
        world.change(A, B)
        await advance_time(1)
        world.be(A, DOWN)
        await advance_time(10)
        # What lay in the store went with the server, and came back with it.
        assert told.since == kept
        world.be(A, UP)
        await advance_time(1)
        assert (
            [what for _, _, what in world.told] == world.firsts == [NoticeKind.DOWN, NoticeKind.UP]
        )
        assert told.since == {}
    assert world.news[1].downtime == timedelta(seconds=24)


@fake_time
async def test_only_so_many_stories_wait_for_an_undo() -> None:
    many = [profile(number) for number in range(1, MAX_REMOVALS + 2)]
    async with telling(*many) as world:
        for server in many:
            world.be(server, DOWN)
        await advance_time(10)
        for number in range(1, len(many) + 1):
            world.change(*many[number:])
            await advance_time(0.1)
        world.change(*many)
        await advance_time(0.1)
        for server in many:
            world.be(server, UP)
        await advance_time(1)
        back = [server_id for _, server_id, what in world.told if what is NoticeKind.UP]
        assert back == [server.id for server in many[1:]]


@fake_time
async def test_a_snoozed_server_is_told_of_when_that_ends_if_it_is_still_down() -> None:
    until = EPOCH + timedelta(seconds=100)
    async with telling(A, B) as world:
        world.change(*(replace(server, snoozed_until=until) for server in (A, B)))
        world.be(A, DOWN)
        world.be(B, DOWN)
        await advance_time(50)
        world.be(B, UP)
        await advance_time(150)
        assert world.told == [(100, A.id, NoticeKind.DOWN)]


@fake_time
async def test_nothing_is_told_of_a_server_that_a_person_does_not_want_to_hear_of() -> None:
    off = replace(A, notify=NotifySetting.OFF)
    async with telling(off) as world:
        world.be(off, DOWN)
        await advance_time(20)
        world.be(off, replace(UP, version="1.19.0"))
        await advance_time(20)
        world.be(off, DOWN)
        await advance_time(20)
        assert world.told == []
        # What is still so is told to one who does want to hear.
        world.change(replace(A, notify=NotifySetting.ON))
        await advance_time(1)
        assert world.told == [(60, A.id, NoticeKind.DOWN)]


@fake_time
async def test_a_snooze_that_is_cleared_counts_no_more() -> None:
    async with telling(A) as world:
        world.change(replace(A, snoozed_until=EPOCH + timedelta(hours=1)))
        world.be(A, DOWN)
        await advance_time(50)
        world.change(A)
        await advance_time(1)
        assert world.told == [(50, A.id, NoticeKind.DOWN)]


@fake_time
async def test_what_was_missed_in_a_flood_of_events_is_looked_at_anew() -> None:
    async with telling(A) as world:
        world.statuses[A.id] = replace(DOWN, since=EPOCH)
        world.announcer.announce(Event(kind=Kind.OVERFLOW))
        await advance_time(60)
        assert world.told == [(5, A.id, NoticeKind.DOWN)]


@fake_time
async def test_what_was_told_down_is_told_up_after_a_restart_and_not_down_again() -> None:
    told = Told()
    async with telling(A, told=told) as world:
        world.be(A, DOWN)
        await advance_time(10)
        assert [what for _, _, what in world.told] == [NoticeKind.DOWN]
    assert told.since.keys() == {A.id}
    async with telling(A, told=told, now=DOWN) as world:
        await advance_time(10)
        assert world.told == []
        world.be(A, UP)
        await advance_time(0.1)
        assert [what for _, _, what in world.told] == [NoticeKind.UP]
        assert told.since == {}
    (up,) = world.news
    assert up.downtime is not None
    assert up.downtime >= timedelta(seconds=20)


@fake_time
async def test_what_came_back_while_nothing_ran_is_told_up_at_the_start() -> None:
    told = Told(**{A.id: EPOCH - timedelta(hours=1)})
    async with telling(A, B, told=told) as world:
        await advance_time(1)
        assert [(server_id, what) for _, server_id, what in world.told] == [(A.id, NoticeKind.UP)]
    assert told.since == {}


@fake_time
async def test_an_edit_forgets_what_was_told_of_the_other_place() -> None:
    told = Told(**{A.id: EPOCH})
    async with telling(A, told=told, now=DOWN) as world:
        world.change(replace(A, url="http://elsewhere"))
        await advance_time(1)
        world.be(A, UP)
        await advance_time(1)
        assert world.told == []
    assert told.since == {}


@fake_time
async def test_a_store_that_fails_keeps_nobody_from_being_told() -> None:
    told = Told()
    told.broken = True
    async with telling(A, told=told) as world:
        world.be(A, DOWN)
        await advance_time(10)
        world.be(A, UP)
        await advance_time(1)
        assert (
            [what for _, _, what in world.told] == world.firsts == [NoticeKind.DOWN, NoticeKind.UP]
        )


@fake_time
async def test_of_two_processes_on_one_store_both_tell_and_one_is_the_first() -> None:
    told = Told()
    async with telling(A, told=told) as one, telling(A, told=told) as other:
        worlds = one, other
        for status in (DOWN, UP, replace(UP, version="1.19.0"), DOWN, UP):
            for world in worlds if status is DOWN else reversed(worlds):
                world.be(A, status)
                await advance_time(2)
            await advance_time(8)
        happened = [
            NoticeKind.DOWN,
            NoticeKind.UP,
            NoticeKind.VERSION,
            NoticeKind.DOWN,
            NoticeKind.UP,
        ]
        assert [what for _, _, what in one.told] == happened
        assert [what for _, _, what in other.told] == happened
        assert one.firsts == [NoticeKind.DOWN, NoticeKind.DOWN]
        assert other.firsts == [NoticeKind.UP, NoticeKind.VERSION, NoticeKind.UP]


@fake_time
async def test_a_store_that_fails_for_a_while_keeps_nothing_from_being_first() -> None:
    told = Told()
    async with telling(A, told=told) as world:
        for status in (DOWN, UP, DOWN):
            # The return can't be kept, and the next absence finds what is there of the last one.
            told.broken = status is UP
            world.be(A, status)
            await advance_time(10)
        assert world.firsts == [NoticeKind.DOWN, NoticeKind.UP, NoticeKind.DOWN]
