"""Notices on their way to the hooks, in both stores: none is lost with its process."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial

import pytest

from codewalk.notifications.hook import new_command
from codewalk.notifications.hook_runner import TAKE_OVER_INTERVAL
from codewalk.notifications.notice import NoticeKind
from codewalk.notifications.outbox import OutgoingNotice, Report
from codewalk.servers.profile import ServerProfile
from codewalk.servers.roster import Roster
from codewalk.servers.rules import add
from codewalk.storage.hook_outbox import LEASE_DURATION, HookOutbox
from codewalk.storage.hooks import HookStore
from codewalk.storage.reports import ReportStore
from codewalk.storage.tables import hook_outbox
from tests.fakes import EPOCH, profile
from tests.integration.storage.conftest import Stores
from tests.integration.storage.workers import Workers

SERVERS = [profile(number) for number in range(3)]
SECOND = timedelta(seconds=1)
LIMIT = 100


class Process:
    """One of several processes on a store, with a clock that the test sets."""

    def __init__(self, stores: Stores, now: Callable[[], datetime]) -> None:
        self._now = now
        self.outbox = HookOutbox(stores.database, now=now)
        self._reports = ReportStore(stores.database, self.outbox)

    async def claim(
        self, kind: NoticeKind = NoticeKind.DOWN, servers: Sequence[ServerProfile] = SERVERS
    ) -> list[OutgoingNotice]:
        """Claim that these servers are down, or up again."""
        reports = [
            Report(
                server_id=server.id,
                kind=kind,
                at=self._now(),
                down_since=EPOCH if kind is NoticeKind.DOWN else None,
                payload=server.id.encode(),
            )
            for server in servers
        ]
        return list(await self._reports.claim(reports))


class World:
    """Two processes on one store, whose clocks show `now`."""

    def __init__(self, stores: Stores, other: Stores) -> None:
        self.now = EPOCH
        self.one = Process(stores, lambda: self.now)
        self.other = Process(other, lambda: self.now)


@pytest.fixture
async def world(stores: Stores, other: Stores) -> World:
    await prepare(stores)
    return World(stores, other)


async def prepare(stores: Stores) -> None:
    """Store the servers and a hook."""
    roster = Roster()
    for server in SERVERS:
        roster = await stores.roster.update(roster, partial(add, profile=server))
    await HookStore(stores.database, stores.vault).add(new_command(["notify"], (), EPOCH))


async def test_notices_are_taken_over_once_when_the_lease_of_their_process_ends(
    world: World,
) -> None:
    claimed = await world.one.claim()
    assert [notice.payload.decode() for notice in claimed] == [server.id for server in SERVERS]
    world.now = EPOCH + LEASE_DURATION - SECOND
    assert list(await world.other.outbox.take_over(LIMIT)) == []
    world.now = EPOCH + LEASE_DURATION
    left = await world.other.outbox.take_over(LIMIT)
    assert [(notice.id, notice.kind, notice.payload) for notice in left] == [
        (notice.id, notice.kind, notice.payload) for notice in claimed
    ]
    # They are its own from here on.
    assert list(await world.other.outbox.take_over(LIMIT)) == []
    assert list(await world.one.outbox.take_over(LIMIT)) == []


async def test_the_oldest_notices_are_taken_over_up_to_the_limit(world: World) -> None:
    claimed = await world.one.claim()
    await world.one.outbox.release()
    assert list(await world.other.outbox.take_over(0)) == []
    first = await world.other.outbox.take_over(2)
    assert [notice.id for notice in first] == [notice.id for notice in claimed[:2]]
    (last,) = await world.other.outbox.take_over(2)
    assert last.id == claimed[2].id


async def test_a_lease_that_is_renewed_lasts(world: World) -> None:
    await world.one.claim()
    for _ in range(3):
        world.now += LEASE_DURATION / 3
        await world.one.outbox.take_over(LIMIT)
    world.now += LEASE_DURATION / 3
    assert list(await world.other.outbox.take_over(LIMIT)) == []


async def test_a_process_that_ends_leaves_its_notices_at_once(world: World) -> None:
    await world.one.claim()
    await world.one.outbox.release()
    assert len(await world.other.outbox.take_over(LIMIT)) == len(SERVERS)


async def test_a_process_takes_over_what_it_released_and_not_what_it_claimed_afterwards(
    world: World,
) -> None:
    released = await world.one.claim()
    await world.one.outbox.release()
    (later,) = await world.one.claim(NoticeKind.UP, SERVERS[:1])
    taken = await world.one.outbox.take_over(LIMIT)
    assert [notice.id for notice in taken] == [notice.id for notice in released]
    assert list(await world.one.outbox.take_over(LIMIT)) == []
    assert list(await world.other.outbox.take_over(LIMIT)) == []
    # All of them are under the new lease.
    await world.one.outbox.release()
    assert {notice.id for notice in await world.other.outbox.take_over(LIMIT)} == {
        notice.id for notice in (later, *released)
    }


async def test_what_is_delivered_is_not_taken_over(world: World) -> None:
    first, second, third = await world.one.claim()
    assert first.id
    assert second.id
    await world.one.outbox.save_progress({first.id: None, second.id: {"hook-b", "hook-a"}})
    await world.one.outbox.release()
    left = await world.other.outbox.take_over(LIMIT)
    assert [notice.id for notice in left] == [second.id, third.id]
    assert left[0].delivered_to == {"hook-a", "hook-b"}
    assert left[1].delivered_to == frozenset()


async def test_a_notice_of_an_unknown_kind_is_removed(world: World, stores: Stores) -> None:
    await world.one.claim()
    await stores.database.write(lambda c: c.execute(hook_outbox.update().values(kind="moved")))
    await world.one.outbox.release()
    assert list(await world.other.outbox.take_over(LIMIT)) == []
    assert await stores.database.read(lambda c: c.execute(hook_outbox.select()).all()) == []


def test_a_lease_lasts_for_several_renewals() -> None:
    assert timedelta(seconds=3 * TAKE_OVER_INTERVAL) <= LEASE_DURATION


async def test_a_killed_process_loses_no_claimed_notice(stores: Stores, workers: Workers) -> None:
    await prepare(stores)
    victim = await workers.start("claim", SERVERS[0].id)
    await victim.ready()
    await victim.go()
    assert await victim.line() == "claimed 1"
    victim.process.kill()
    await victim.process.wait()
    # The lease is by the real clock.
    later = datetime.now(EPOCH.tzinfo) + LEASE_DURATION
    outbox = HookOutbox(stores.database, now=lambda: later)
    (left,) = await outbox.take_over(LIMIT)
    assert (left.kind, left.payload) == (NoticeKind.DOWN, b"payload")
