"""From the servers' health to announced and delivered notices."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta

from codewalk.errors import StorageError
from codewalk.events import Announcer, Event, Kind
from codewalk.health.status import HealthStatus
from codewalk.notifications.notice import Notice, NoticeEvent, NoticeKind
from codewalk.notifications.notifier import BATCH_SIZE, Notifier
from codewalk.notifications.outbox import OutgoingNotice, Report
from codewalk.reason import Reason, State
from codewalk.servers.profile import NotifySetting, ServerProfile
from codewalk.servers.removal import MAX_REMOVALS
from codewalk.tasks import keep_running
from tests.fake_time import advance_time, elapsed, fake_time
from tests.fakes import EPOCH, profile, utc_now

A, B = profile(1), profile(2)
UP = HealthStatus(state=State.HEALTHY, reason=Reason.OK, version="1.18.33")
DOWN = HealthStatus(state=State.UNHEALTHY, reason=Reason.REFUSED, version="1.18.33")


class FakeReports:
    """What was reported before, in memory.

    `broken` makes it fail as a full disk does; `errors` are raised by the next calls of `claim`.
    """

    def __init__(self, **down_since: datetime) -> None:
        self.down_since = dict(down_since)
        self.versions: dict[str, str | None] = {}
        self.batches: list[int] = []
        self.broken = False
        self.errors: list[Exception] = []

    async def load(self) -> dict[str, datetime]:
        self._require_working()
        return dict(self.down_since)

    async def claim(self, reports: Sequence[Report]) -> list[OutgoingNotice]:
        self._require_working()
        if self.errors:
            raise self.errors.pop()
        self.batches.append(len(reports))
        claimed = [report for report in reports if self._claim(report) or report.uncertain]
        return [
            OutgoingNotice(id="row", kind=r.kind, payload=r.payload, created_at=r.at)
            for r in claimed
            if r.payload is not None
        ]

    def _claim(self, report: Report) -> bool:
        if report.kind is NoticeKind.VERSION:
            before = self.versions.get(report.server_id)
            self.versions[report.server_id] = report.version
            return before != report.version
        if report.down_since is None:
            return self.down_since.pop(report.server_id, None) is not None
        return self.down_since.setdefault(report.server_id, report.down_since) is report.down_since

    def _require_working(self) -> None:
        if self.broken:
            raise StorageError("The disk is full.")


class World:
    """Servers, their health, and the notices about them: `(seconds, server id, kind)`.

    `delivered` are the kinds of the notices that this process handed to the hooks. `payload_errors`
    are raised for the next notices, `clock_errors` when the time is read.
    """

    def __init__(self, *servers: ServerProfile, reports: FakeReports, status: HealthStatus) -> None:
        self.servers = list(servers)
        self.statuses = {server.id: replace(status, since=EPOCH) for server in servers}
        self.announcer = Announcer()
        self.notifier = Notifier(
            self.announcer,
            profiles=lambda: self.servers,
            status=lambda server_id: self.statuses.get(server_id, HealthStatus()),
            reports=reports,
            payload=self._payload,
            deliver=self._deliver,
            now=self._now,
        )
        self.notices: list[Notice] = []
        self.announced: list[tuple[float, str, NoticeKind]] = []
        self.delivered: list[NoticeKind] = []
        self.outgoing: list[OutgoingNotice] = []
        self.gone: set[str] = set()
        self.payload_errors: list[Exception] = []
        self.clock_errors: list[Exception] = []

    def set_status(self, server: ServerProfile, status: HealthStatus) -> None:
        self.statuses[server.id] = replace(status, since=utc_now())
        self.announcer.announce(Event(kind=Kind.HEALTH, server_id=server.id))

    def change(self, *servers: ServerProfile) -> None:
        self.servers = list(servers)
        self.announcer.announce(Event(kind=Kind.SERVERS))

    async def listen(self) -> None:
        with self.announcer.listen() as events:
            while True:
                event = await events.get()
                if isinstance(event, NoticeEvent):
                    notice = event.notice
                    self.notices.append(notice)
                    self.announced.append((elapsed(), notice.server_id, notice.kind))

    def _now(self) -> datetime:
        if self.clock_errors:
            raise self.clock_errors.pop()
        return utc_now()

    def _payload(self, notice: Notice) -> bytes | None:
        if self.payload_errors:
            raise self.payload_errors.pop()
        gone = notice.server_id in self.gone
        return None if gone else f"{notice.server_id} {notice.kind}".encode()

    def _deliver(self, notices: Sequence[OutgoingNotice]) -> None:
        self.outgoing += notices
        self.delivered += [notice.kind for notice in notices]


@asynccontextmanager
async def notifying(
    *servers: ServerProfile,
    reports: FakeReports | None = None,
    status: HealthStatus = UP,
    restart: bool = False,
) -> AsyncIterator[World]:
    """Run a notifier; with `restart`, as the app does, which runs it again after a failure."""
    world = World(*servers, reports=reports or FakeReports(), status=status)
    run = world.notifier.run
    runs = keep_running(run, name="notifier") if restart else run()
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(world.listen(), name="listen"),
            group.create_task(runs, name="notifier"),
        ]
        await advance_time(0)
        yield world
        for task in tasks:
            task.cancel()


@fake_time
async def test_a_server_that_goes_down_and_comes_back_is_announced() -> None:
    async with notifying(A, B) as world:
        await advance_time(10)
        world.set_status(A, DOWN)
        await advance_time(2)
        world.set_status(B, DOWN)
        await advance_time(60)
        world.set_status(A, UP)
        await advance_time(1)
        assert world.announced == [
            (15, A.id, NoticeKind.DOWN),
            (17, B.id, NoticeKind.DOWN),
            (72, A.id, NoticeKind.UP),
        ]
        assert world.notices[2].downtime == timedelta(seconds=62)


@fake_time
async def test_a_short_outage_is_not_announced() -> None:
    async with notifying(A) as world:
        for _ in range(5):
            world.set_status(A, DOWN)
            await advance_time(4.9)
            world.set_status(A, UP)
            await advance_time(10)
        assert world.announced == []


@fake_time
async def test_an_upgrade_is_announced_once() -> None:
    async with notifying(A) as world:
        await advance_time(5)
        for _ in range(3):
            world.set_status(A, replace(UP, version="1.19.0"))
            await advance_time(10)
        assert world.announced == [(5, A.id, NoticeKind.VERSION)]
        assert world.notices[0].previous_version == "1.18.33"
        assert world.notifier.previous_version(A.id) == "1.18.33"
        world.change(replace(A, url="http://elsewhere"))
        await advance_time(1)
        assert world.notifier.previous_version(A.id) is None
        assert world.notifier.previous_version("unknown") is None


@fake_time
async def test_a_server_at_another_url_starts_anew() -> None:
    async with notifying(A) as world:
        world.set_status(A, DOWN)
        await advance_time(3)
        world.statuses[A.id] = HealthStatus()
        world.change(replace(A, url="http://elsewhere"))
        await advance_time(1)
        world.set_status(A, replace(DOWN, version="1.0.0"))
        await advance_time(60)
        assert world.announced == []


@fake_time
async def test_an_edit_of_the_label_changes_nothing() -> None:
    async with notifying(A) as world:
        world.set_status(A, DOWN)
        await advance_time(3)
        world.change(replace(A, label="New"))
        await advance_time(60)
        assert world.announced == [(5, A.id, NoticeKind.DOWN)]


@fake_time
async def test_there_are_no_notices_about_a_removed_server() -> None:
    async with notifying(A, B) as world:
        world.set_status(A, DOWN)
        world.set_status(B, DOWN)
        await advance_time(3)
        world.change(B)
        await advance_time(60)
        assert world.announced == [(5, B.id, NoticeKind.DOWN)]


@fake_time
async def test_after_an_undone_removal_an_outage_goes_on() -> None:
    reports = FakeReports()
    async with notifying(A, B, reports=reports) as world:
        world.set_status(A, DOWN)
        await advance_time(10)
        stored = dict(reports.down_since)
        world.change(B)
        world.statuses[A.id] = HealthStatus()
        await advance_time(3)
        world.change(A, B)
        await advance_time(1)
        world.set_status(A, DOWN)
        await advance_time(10)
        # What was stored went with the server, and came back with it.
        assert reports.down_since == stored
        world.set_status(A, UP)
        await advance_time(1)
        assert (
            [kind for _, _, kind in world.announced]
            == world.delivered
            == [NoticeKind.DOWN, NoticeKind.UP]
        )
        assert reports.down_since == {}
    assert world.notices[1].downtime == timedelta(seconds=24)


@fake_time
async def test_only_so_many_removed_servers_are_remembered() -> None:
    many = [profile(number) for number in range(1, MAX_REMOVALS + 2)]
    async with notifying(*many) as world:
        for server in many:
            world.set_status(server, DOWN)
        await advance_time(10)
        for number in range(1, len(many) + 1):
            world.change(*many[number:])
            await advance_time(0.1)
        world.change(*many)
        await advance_time(0.1)
        for server in many:
            world.set_status(server, UP)
        await advance_time(1)
        back = [server_id for _, server_id, kind in world.announced if kind is NoticeKind.UP]
        assert back == [server.id for server in many[1:]]


@fake_time
async def test_a_snoozed_server_that_is_still_down_is_announced_when_the_snooze_ends() -> None:
    until = EPOCH + timedelta(seconds=100)
    async with notifying(A, B) as world:
        world.change(*(replace(server, snoozed_until=until) for server in (A, B)))
        world.set_status(A, DOWN)
        world.set_status(B, DOWN)
        await advance_time(50)
        world.set_status(B, UP)
        await advance_time(150)
        assert world.announced == [(100, A.id, NoticeKind.DOWN)]


@fake_time
async def test_there_are_no_notices_about_a_server_whose_notifications_are_off() -> None:
    off = replace(A, notify=NotifySetting.OFF)
    async with notifying(off) as world:
        world.set_status(off, DOWN)
        await advance_time(20)
        world.set_status(off, replace(UP, version="1.19.0"))
        await advance_time(20)
        world.set_status(off, DOWN)
        await advance_time(20)
        assert world.announced == []
        # What is still so is announced once they are on.
        world.change(replace(A, notify=NotifySetting.ON))
        await advance_time(1)
        assert world.announced == [(60, A.id, NoticeKind.DOWN)]


@fake_time
async def test_a_cleared_snooze_has_no_effect() -> None:
    async with notifying(A) as world:
        world.change(replace(A, snoozed_until=EPOCH + timedelta(hours=1)))
        world.set_status(A, DOWN)
        await advance_time(50)
        world.change(A)
        await advance_time(1)
        assert world.announced == [(50, A.id, NoticeKind.DOWN)]


@fake_time
async def test_after_lost_events_all_servers_are_looked_at() -> None:
    async with notifying(A) as world:
        world.statuses[A.id] = replace(DOWN, since=EPOCH)
        world.announcer.announce(Event(kind=Kind.OVERFLOW))
        await advance_time(60)
        assert world.announced == [(5, A.id, NoticeKind.DOWN)]


@fake_time
async def test_after_a_restart_a_server_reported_as_down_is_not_reported_again() -> None:
    reports = FakeReports()
    async with notifying(A, reports=reports) as world:
        world.set_status(A, DOWN)
        await advance_time(10)
        assert [kind for _, _, kind in world.announced] == [NoticeKind.DOWN]
    assert reports.down_since.keys() == {A.id}
    async with notifying(A, reports=reports, status=DOWN) as world:
        await advance_time(10)
        assert world.announced == []
        world.set_status(A, UP)
        await advance_time(0.1)
        assert [kind for _, _, kind in world.announced] == [NoticeKind.UP]
        assert reports.down_since == {}
    (up,) = world.notices
    assert up.downtime is not None
    assert up.downtime >= timedelta(seconds=20)


@fake_time
async def test_a_server_that_came_back_while_nothing_ran_is_announced_at_the_start() -> None:
    reports = FakeReports(**{A.id: EPOCH - timedelta(hours=1)})
    async with notifying(A, B, reports=reports) as world:
        await advance_time(1)
        assert [(server_id, kind) for _, server_id, kind in world.announced] == [
            (A.id, NoticeKind.UP)
        ]
    assert reports.down_since == {}


@fake_time
async def test_another_url_removes_what_was_reported_about_the_old_one() -> None:
    reports = FakeReports(**{A.id: EPOCH})
    async with notifying(A, reports=reports, status=DOWN) as world:
        world.change(replace(A, url="http://elsewhere"))
        await advance_time(1)
        world.set_status(A, UP)
        await advance_time(1)
        assert world.announced == []
    assert reports.down_since == {}


@fake_time
async def test_notices_are_delivered_though_the_store_fails() -> None:
    reports = FakeReports()
    reports.broken = True
    async with notifying(A, reports=reports) as world:
        world.set_status(A, DOWN)
        await advance_time(10)
        world.set_status(A, UP)
        await advance_time(1)
        assert (
            [kind for _, _, kind in world.announced]
            == world.delivered
            == [NoticeKind.DOWN, NoticeKind.UP]
        )


@fake_time
async def test_of_two_processes_on_one_store_both_announce_and_one_delivers() -> None:
    reports = FakeReports()
    async with notifying(A, reports=reports) as one, notifying(A, reports=reports) as other:
        worlds = one, other
        for status in (DOWN, UP, replace(UP, version="1.19.0"), DOWN, UP):
            for world in worlds if status is DOWN else reversed(worlds):
                world.set_status(A, status)
                await advance_time(2)
            await advance_time(8)
        happened = [
            NoticeKind.DOWN,
            NoticeKind.UP,
            NoticeKind.VERSION,
            NoticeKind.DOWN,
            NoticeKind.UP,
        ]
        assert [kind for _, _, kind in one.announced] == happened
        assert [kind for _, _, kind in other.announced] == happened
        assert one.delivered == [NoticeKind.DOWN, NoticeKind.DOWN]
        assert other.delivered == [NoticeKind.UP, NoticeKind.VERSION, NoticeKind.UP]


@fake_time
async def test_after_a_failure_of_the_store_the_next_notice_is_delivered() -> None:
    reports = FakeReports()
    async with notifying(A, reports=reports) as world:
        for status in (DOWN, UP, DOWN):
            # The return can't be stored, and the next outage finds what is stored of the last one.
            reports.broken = status is UP
            world.set_status(A, status)
            await advance_time(10)
        assert world.delivered == [NoticeKind.DOWN, NoticeKind.UP, NoticeKind.DOWN]


@fake_time
async def test_many_servers_that_go_down_at_once_are_stored_in_batches_and_all_delivered() -> None:
    many = [profile(number) for number in range(10 * BATCH_SIZE)]
    reports = FakeReports()
    async with notifying(*many, reports=reports) as world:
        await advance_time(1)
        for server in many:
            world.set_status(server, DOWN)
        await advance_time(10)
        assert len(world.delivered) == len(reports.down_since) == len(many)
        assert reports.batches == [BATCH_SIZE] * 10
        assert {notice.payload for notice in world.outgoing} == {
            f"{server.id} down".encode() for server in many
        }


@fake_time
async def test_what_happens_during_a_snooze_is_stored_and_not_delivered() -> None:
    reports = FakeReports()
    async with notifying(A, reports=reports) as world:
        world.set_status(A, DOWN)
        await advance_time(10)
        world.change(replace(A, snoozed_until=utc_now() + timedelta(hours=1)))
        world.set_status(A, replace(UP, version="1.19.0"))
        await advance_time(10)
        assert reports.down_since == reports.versions == {}
        assert world.delivered == [NoticeKind.DOWN]


@fake_time
async def test_a_notice_about_a_server_that_is_gone_is_not_delivered() -> None:
    async with notifying(A, B) as world:
        world.gone.add(A.id)
        world.set_status(A, DOWN)
        world.set_status(B, DOWN)
        await advance_time(10)
        assert [notice.payload for notice in world.outgoing] == [f"{B.id} down".encode()]


@fake_time
async def test_notices_are_delivered_after_an_unexpected_error_of_the_store() -> None:
    reports = FakeReports()
    async with notifying(A, B, reports=reports, restart=True) as world:
        reports.errors = [ZeroDivisionError()]
        world.set_status(A, DOWN)
        world.set_status(B, DOWN)
        await advance_time(20)
        assert reports.errors == []
        assert reports.down_since.keys() == {A.id, B.id}
        assert {notice.payload for notice in world.outgoing} == {
            f"{server.id} down".encode() for server in (A, B)
        }
        assert len(world.outgoing) == len(world.announced) == 2


@fake_time
async def test_a_notice_whose_payload_failed_is_announced_and_delivered_later() -> None:
    async with notifying(A, restart=True) as world:
        world.payload_errors = [ZeroDivisionError()]
        world.set_status(A, DOWN)
        await advance_time(20)
        assert world.payload_errors == []
        assert world.delivered == [NoticeKind.DOWN]
        assert [kind for _, _, kind in world.announced] == [NoticeKind.DOWN]


@fake_time
async def test_notices_go_on_after_an_error_while_rosters_are_compared() -> None:
    reports = FakeReports()
    async with notifying(A, B, reports=reports, restart=True) as world:
        world.set_status(A, DOWN)
        await advance_time(10)
        # The time is read to report that the server at the old URL is gone.
        world.clock_errors = [ZeroDivisionError()]
        world.change(replace(A, url="http://elsewhere"), B)
        await advance_time(5)
        assert world.clock_errors == []
        assert reports.down_since == {}
        world.set_status(B, DOWN)
        await advance_time(10)
        assert [(server_id, kind) for _, server_id, kind in world.announced] == [
            (A.id, NoticeKind.DOWN),
            (B.id, NoticeKind.DOWN),
        ]
        assert reports.down_since.keys() == {B.id}


@fake_time
async def test_reports_that_are_loaded_again_do_not_count_for_a_server_that_is_added_again() -> (
    None
):
    many = [profile(number) for number in range(2, MAX_REMOVALS + 3)]
    reports = FakeReports()
    async with notifying(A, *many, reports=reports, restart=True) as world:
        world.set_status(A, DOWN)
        await advance_time(10)
        reports.errors = [ZeroDivisionError()]
        world.set_status(A, UP)
        await advance_time(10)
        assert reports.errors == []
        # Removed too long ago for its state to be remembered.
        for number in range(len(many) + 1):
            world.change(*many[number:])
            await advance_time(0.1)
        world.change(A)
        await advance_time(1)
        assert [kind for _, _, kind in world.announced] == [NoticeKind.DOWN, NoticeKind.UP]
