"""The records of the recorder, and the times of its writes."""

import asyncio
import logging
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codewalk.health.status import CheckResult, HealthStatus, advance
from codewalk.history.history import MAX_RECENT_CHECKS, History
from codewalk.history.period import DAY, MINUTE, merge_periods
from codewalk.history.recorder import (
    COMPACTION_INTERVAL,
    MAX_BATCH_SIZE,
    MAX_PENDING,
    MAX_SERVERS_PER_MINUTE,
    WRITE_INTERVAL,
    Recorder,
)
from codewalk.reason import Reason, State
from codewalk.servers.health_check import DEFAULT_SETTINGS, STALE_AFTER
from tests.fake_time import advance_time, elapsed, fake_time
from tests.fakes import EPOCH, FakeHistoryStore, utc_now

A, B = "a", "b"
START = EPOCH.replace(second=0, microsecond=0)
OK = CheckResult(reason=Reason.OK, version="1.18.33", latency_ms=3.0)
DOWN = CheckResult(reason=Reason.SERVER_ERROR, detail="It fails.")
OFFLINE = CheckResult(reason=Reason.OFFLINE)


@dataclass
class Monitored:
    """A recorder and the statuses that a monitor would keep; `now` is its clock."""

    recorder: Recorder
    now: datetime = START
    statuses: dict[str, HealthStatus] = field(default_factory=dict)

    def check(self, result: CheckResult, server: str = A, *, at: datetime | None = None) -> None:
        self.now = at or self.now
        stored = self.statuses.get(server, HealthStatus())
        before = stored.as_of(self.now)
        self.statuses[server] = advance(before, result, self.now, DEFAULT_SETTINGS)
        interval = DEFAULT_SETTINGS.interval
        self.recorder.record(server, stored, before, self.statuses[server], result, interval)

    def every(self, seconds: float, *results: CheckResult) -> None:
        for result in results:
            self.check(result)
            self.now += timedelta(seconds=seconds)

    async def history(self, server: str = A) -> History:
        status = self.statuses.get(server, HealthStatus()).as_of(self.now)
        return await self.recorder.history(
            server, status, since=self.now - DAY, now=self.now + timedelta(seconds=1)
        )


def in_command(store: FakeHistoryStore | None = None) -> Monitored:
    """One whose writer doesn't run, on a clock that the test sets."""
    monitored = Monitored(
        recorder=Recorder(store or FakeHistoryStore(), watch=False, now=lambda: monitored.now)
    )
    return monitored


@fake_time
async def test_a_minute_has_the_counts_of_its_checks() -> None:
    monitored = in_command()
    slow = CheckResult(reason=Reason.OK, latency_ms=9.0)
    monitored.every(10, OK, OK, OK, DOWN, DOWN, slow)
    (period,) = (await monitored.history()).periods
    assert (period.begins, period.checks, period.failures, period.answers) == (START, 6, 2, 4)
    assert (period.latency_min_ms, period.latency_mean_ms, period.latency_p95_ms) == (3, 4.5, 9)
    # Healthy for three times ten seconds, then down for two; before the first check, nobody knows.
    assert (period.up_ms, period.down_ms) == (30_000, 20_000)


@fake_time
async def test_frequent_checks_of_a_server_that_is_down_leave_the_recent_ones_alone() -> None:
    monitored = in_command()
    refused = CheckResult(reason=Reason.REFUSED)
    timed_out = CheckResult(reason=Reason.TIMEOUT)
    monitored.every(10, *[OK] * MAX_RECENT_CHECKS)
    # As a live link has them made: 0.75 s apart for two minutes.
    monitored.every(0.75, *[refused] * 80, timed_out, *[refused] * 79)
    recent = [check.reason for check in monitored.recorder.recent_checks(A)]
    # One in nine seconds, and one more where the reason changed.
    assert recent == [
        *[Reason.OK] * (MAX_RECENT_CHECKS - 15),
        *[Reason.REFUSED] * 7,
        Reason.TIMEOUT,
        *[Reason.REFUSED] * 7,
    ]
    assert sum(period.failures for period in (await monitored.history()).periods) == 160
    # Scheduled checks are at least nine seconds apart, and all of them are there.
    monitored.now += timedelta(seconds=9)
    monitored.every(9, *[refused] * MAX_RECENT_CHECKS)
    reasons = {check.reason for check in monitored.recorder.recent_checks(A)}
    assert reasons == {Reason.REFUSED}


@fake_time
async def test_one_lost_packet_is_a_failed_check_and_no_time_down() -> None:
    monitored = in_command()
    monitored.every(10, OK, CheckResult(reason=Reason.TIMEOUT), OK)
    history = await monitored.history()
    assert [(p.failures, p.up_ms, p.down_ms) for p in history.periods] == [(1, 20_000, 0)]
    assert [t.after for t in history.transitions] == [State.HEALTHY]


@fake_time
async def test_checks_on_an_offline_machine_say_nothing_about_the_server() -> None:
    monitored = in_command()
    monitored.every(10, OK, OFFLINE, OFFLINE, OK, OK)
    history = await monitored.history()
    assert [(p.checks, p.failures, p.up_ms, p.down_ms) for p in history.periods] == [
        (3, 0, 20_000, 0)
    ]
    assert [c.reason for c in history.checks] == [
        Reason.OK,
        *[Reason.OFFLINE] * 2,
        *[Reason.OK] * 2,
    ]
    after = [t.after for t in history.transitions]
    assert after == [State.HEALTHY, State.UNKNOWN, State.HEALTHY]


@fake_time
async def test_time_in_which_the_machine_slept_is_neither_up_nor_down() -> None:
    monitored = in_command()
    monitored.every(10, DOWN, DOWN)
    asleep = monitored.now - timedelta(seconds=10)
    monitored.now += timedelta(hours=8)
    monitored.every(10, OK, OK)
    history = await monitored.history()
    up, down = sum(p.up_ms for p in history.periods), sum(p.down_ms for p in history.periods)
    assert (up, down) == (10_000, 10_000)
    back, gone, first = history.transitions
    assert (first.after, gone.after, back.after) == (
        State.UNHEALTHY,
        State.UNKNOWN,
        State.HEALTHY,
    )
    assert gone.at == asleep + STALE_AFTER


@fake_time
async def test_a_status_without_a_check_is_a_transition_only() -> None:
    monitored = in_command()
    monitored.every(10, OK)
    well = monitored.statuses[A]
    stopped = HealthStatus(detail="It runs while `codewalk up` does.")
    monitored.recorder.record(A, well, well, stopped)
    monitored.statuses[A] = stopped
    history = await monitored.history()
    assert [(t.after, t.detail) for t in history.transitions] == [
        (State.UNKNOWN, "It runs while `codewalk up` does."),
        (State.HEALTHY, None),
    ]
    assert len(history.checks) == 1


@fake_time
async def test_after_the_clock_is_set_back_checks_count_in_the_minute_that_it_shows() -> None:
    monitored = in_command()
    monitored.every(10, *[OK] * 7)
    monitored.now = START + timedelta(seconds=30)
    monitored.every(10, *[OK] * 4)
    monitored.now = START + timedelta(minutes=2)
    history = await monitored.history()
    assert [(p.begins - START, p.checks) for p in history.periods] == [
        (timedelta(0), 6 + 3),
        (MINUTE, 1 + 1),
    ]
    # From 60 s to 30 s, no time passed.
    assert sum(p.up_ms for p in history.periods) == 60_000 + 30_000


@fake_time
async def test_a_transition_never_comes_before_the_one_that_it_follows() -> None:
    monitored = in_command()
    monitored.every(0, OK)
    monitored.check(DOWN, at=START + timedelta(seconds=30))
    # The race: the system's clock is corrected by a second while the server is checked again.
    monitored.check(OK, at=START + timedelta(seconds=29))
    monitored.now = START + MINUTE
    history = await monitored.history()
    assert [t.after for t in history.transitions] == [State.HEALTHY, State.UNHEALTHY, State.HEALTHY]
    assert history.transitions[0].at - history.transitions[1].at == timedelta(microseconds=1)


@fake_time
async def test_after_a_large_step_back_the_time_of_the_clock_is_recorded() -> None:
    monitored = in_command()
    monitored.check(OK, at=START + timedelta(days=365))
    monitored.check(DOWN, at=START)
    history = await monitored.history()
    assert [(t.at, t.after) for t in history.transitions] == [(START, State.UNHEALTHY)]


RESULTS = st.sampled_from([OK, OK, DOWN, OFFLINE, CheckResult(reason=Reason.TIMEOUT)])
STEPS = st.timedeltas(timedelta(minutes=-3), timedelta(minutes=5))


@given(st.lists(st.tuples(STEPS, RESULTS, st.booleans()), max_size=30))
def test_no_clock_corrupts_the_history(steps: list[tuple[timedelta, CheckResult, bool]]) -> None:
    async def run() -> None:
        store = FakeHistoryStore()
        monitored = in_command(store)
        async with monitored.recorder:
            for step, result, save in steps:
                monitored.check(result, at=monitored.now + step)
                if save:
                    await monitored.recorder.save()
        periods = merge_periods(period for _, period in store.periods)
        informed = [result for _, result, _ in steps if result.reason is not Reason.OFFLINE]
        assert sum(p.checks for p in periods) == len(informed)
        assert sum(p.failures for p in periods) == sum(not result.ok for result in informed)
        assert all(p.begins.second == 0 for p in periods)
        forward = sum((max(step, timedelta(0)) for step, _, _ in steps), timedelta(0))
        known = sum(p.up_ms + p.down_ms for p in periods)
        assert 0 <= known <= forward / timedelta(milliseconds=1)
        log = [transition for _, transition in store.changes]
        assert all(t.before is not t.after for t in log)
        assert all(one.after is other.before for one, other in pairwise(log))

    fake_time(run)()


@dataclass
class Watched(Monitored):
    """One on the test's clock, whose servers are checked every ten seconds."""

    async def run(self, seconds: float, *servers: str, result: CheckResult = OK) -> None:
        end = elapsed() + seconds
        while elapsed() < end:
            for server in servers:
                self.check(result, server, at=utc_now())
            await advance_time(min(10, end - elapsed()))


def in_app(store: FakeHistoryStore) -> Watched:
    return Watched(recorder=Recorder(store, now=utc_now))


@fake_time
async def test_a_minute_is_written_once_it_is_over() -> None:
    store = FakeHistoryStore()
    monitored = in_app(store)
    async with monitored.recorder:
        # The clock starts ten seconds before a full minute.
        await monitored.run(69, A, B)
        assert [(server, p.checks) for server, p in store.periods] == [(A, 1), (B, 1)]
        await monitored.run(10, A)
        assert [(server, p.checks) for server, p in store.periods[2:]] == []
        await advance_time(WRITE_INTERVAL)
        monitored.check(OK, at=utc_now())
        await advance_time(WRITE_INTERVAL)
        assert [(server, p.checks) for server, p in store.periods[2:]] == [(A, 7)]
        # B's minute is over too, though nobody looked since.
        await advance_time(60)
        assert [(server, p.checks) for server, p in store.periods[3:]] == [(B, 6)]
    assert [(server, p.checks) for server, p in store.periods[4:]] == [(A, 1)]


@fake_time
async def test_a_transition_is_written_within_seconds() -> None:
    store = FakeHistoryStore()
    monitored = in_app(store)
    async with monitored.recorder:
        await advance_time(20)
        monitored.check(OK, at=utc_now())
        await advance_time(WRITE_INTERVAL + 0.1)
        assert [(server, t.after) for server, t in store.changes] == [(A, State.HEALTHY)]
        assert store.periods == []


@fake_time
async def test_the_checks_go_with_their_minute_and_come_back_after_a_restart() -> None:
    store = FakeHistoryStore()
    monitored = in_app(store)
    async with monitored.recorder:
        await monitored.run(60 * 15, A)
        now = monitored.recorder.recent_checks(A)
        assert len(now) == MAX_RECENT_CHECKS
    again = Recorder(store, now=utc_now)
    async with again:
        assert again.recent_checks(A) == now
        assert again.recent_checks(B) == []


@fake_time
async def test_a_command_reads_the_checks_that_a_running_app_wrote() -> None:
    store = FakeHistoryStore()
    running = in_app(store)
    async with running.recorder:
        await running.run(65, A)
    command = in_command(store)
    async with command.recorder:
        command.check(DOWN, at=utc_now())
        history = await command.history()
    assert [c.ok for c in history.checks] == [True] * 7 + [False]
    # Its check is stored beside those that were there.
    running.now = utc_now()
    assert [c.ok for c in (await running.history()).checks] == [True] * 7 + [False]


@fake_time
async def test_at_the_end_nothing_is_written_twice() -> None:
    # The race: the end comes while a batch is on its way to the disk.
    store = FakeHistoryStore()
    monitored = in_app(store)
    store.gate = asyncio.Event()
    async with monitored.recorder:
        await monitored.run(30, A)
        assert store.batches == []
        asyncio.get_running_loop().call_later(0.5, store.gate.set)
    assert sum(p.checks for _, p in store.periods) == 3
    assert len(store.changes) == 1


@fake_time
async def test_a_batch_that_is_being_written_is_read_exactly_once() -> None:
    # The race: the batch is no longer in memory and not yet in the store.
    store = FakeHistoryStore()
    monitored = in_app(store)
    async with monitored.recorder:
        store.gate = asyncio.Event()
        await monitored.run(12, A)
        assert store.batches == []
        asyncio.get_running_loop().call_later(0.5, store.gate.set)
        history = await monitored.history()
        assert store.batches
        assert sum(p.checks for p in history.periods) == 2
        assert len(history.transitions) == 1
        assert len(history.checks) == 2


@fake_time
async def test_a_batch_that_failed_is_written_when_the_store_works_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = FakeHistoryStore()
    store.broken = True
    monitored = in_app(store)
    async with monitored.recorder:
        await monitored.run(150, A)
        assert store.batches == []
        store.broken = False
        await monitored.run(10, A)
        assert [p.checks for _, p in store.periods] == [1, 6, 6]
        assert len(store.changes) == 1
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert "The disk is full." in warnings[0].getMessage()


@fake_time
async def test_a_batch_that_failed_with_an_unforeseen_error_is_written_later() -> None:
    store = FakeHistoryStore()
    store.fault = KeyError("unforeseen")
    monitored = in_app(store)
    async with monitored.recorder:
        await monitored.run(150, A)
        assert store.batches == []
        store.fault = None
        await monitored.run(10, A)
        assert [p.checks for _, p in store.periods] == [1, 6, 6]
        assert len(store.changes) == 1


@pytest.mark.parametrize("cancellations", [1, 2])
def test_a_second_interrupt_while_the_last_batch_is_written_loses_nothing(
    cancellations: int,
) -> None:
    # The race: the task is cancelled while the exit waits for the writer. Nothing may write any
    # more once the exit has returned: the store is closed then.
    @fake_time
    async def run() -> None:
        store = FakeHistoryStore()
        monitored = in_app(store)

        async def use() -> None:
            async with monitored.recorder:
                await monitored.run(15, A)
                store.gate = asyncio.Event()
                asyncio.get_running_loop().call_later(0.5, store.gate.set)
            raise AssertionError("the exit must pass the cancellation on")

        async with asyncio.TaskGroup() as group:
            task = group.create_task(use(), name="app")
            await advance_time(15.1)
            for _ in range(cancellations):
                task.cancel()
                await advance_time(0.1)
        assert task.cancelled()
        written = len(store.batches)
        assert sum(p.checks for _, p in store.periods) == 2
        assert len(store.changes) == 1
        await advance_time(WRITE_INTERVAL * 2)
        assert len(store.batches) == written

    run()


@fake_time
async def test_a_store_that_fails_at_the_end_raises_nothing() -> None:
    store = FakeHistoryStore()
    monitored = in_app(store)
    async with monitored.recorder:
        await monitored.run(5, A)
        store.broken = True


@fake_time
async def test_while_the_store_fails_only_so_much_waits() -> None:
    store = FakeHistoryStore()
    monitored = in_command(store)
    for number in range(MAX_PENDING + 10):
        monitored.check(OK, at=START + number * MINUTE)
    await monitored.recorder.save(flush=True)
    assert len(store.periods) == MAX_PENDING
    # The oldest are the ones that were given up.
    assert store.periods[-1][1].begins == monitored.now


@fake_time
async def test_many_servers_are_written_in_batches() -> None:
    store = FakeHistoryStore()
    monitored = in_app(store)
    servers = [f"{number}" for number in range(2 * MAX_BATCH_SIZE + 1)]
    async with monitored.recorder:
        await monitored.run(1, *servers)
    for sizes in (
        [len(batch.minutes) for _, batch in store.batches],
        [len(batch.transitions) for _, batch in store.batches],
    ):
        assert [size for size in sizes if size] == [MAX_BATCH_SIZE, MAX_BATCH_SIZE, 1]


@fake_time
async def test_of_many_servers_each_is_written_every_few_minutes() -> None:
    store = FakeHistoryStore()
    monitored = in_app(store)
    servers = [f"{number}" for number in range(3 * MAX_SERVERS_PER_MINUTE)]
    async with monitored.recorder:
        for _ in range(10):
            await monitored.run(1, *servers)
            await advance_time(59)
        # Three minutes at a time, of a third of the servers.
        batches = [batch.minutes for _, batch in store.batches if batch.minutes]
        later = [minutes for minutes in batches if len(minutes) != len(servers)][-3:]
        for minutes in later:
            owners = [record.server_id for record in minutes]
            assert {owners.count(server) for server in set(owners)} == {3}
            assert len(set(owners)) == pytest.approx(MAX_SERVERS_PER_MINUTE, rel=0.3)
        # Who asks learns of what waits as well.
        history = await monitored.history("7")
        assert sum(period.checks for period in history.periods) == 10
        written = [period for server, period in store.periods if server == "7"]
        assert 10 - 4 <= len(written) < 10
    assert len(store.periods) == 10 * len(servers)


@fake_time
async def test_without_checks_nothing_is_written() -> None:
    store = FakeHistoryStore()
    async with Recorder(store, watch=False, now=utc_now):
        await advance_time(100)
    async with Recorder(store, now=utc_now):
        await advance_time(100)
    assert store.batches == []


@fake_time
async def test_the_store_is_compacted_step_by_step_and_again_after_a_while() -> None:
    store = FakeHistoryStore()
    async with Recorder(store, now=utc_now):
        await advance_time(COMPACTION_INTERVAL + 30)
    steps = [after for _, after in store.compactions]
    assert steps[:4] == ["", "b", "d", ""]
    assert store.compactions[2][0] - store.compactions[0][0] == pytest.approx(2 * WRITE_INTERVAL)
    assert store.compactions[3][0] - store.compactions[2][0] >= COMPACTION_INTERVAL


@fake_time
async def test_a_command_that_recorded_something_compacts_a_few_servers() -> None:
    store = FakeHistoryStore()
    monitored = in_command(store)
    async with monitored.recorder:
        monitored.check(OK)
    assert len(store.compactions) == 1


@fake_time
async def test_a_removed_server_is_forgotten_after_a_while() -> None:
    store = FakeHistoryStore()
    monitored = in_app(store)
    async with monitored.recorder:
        await monitored.run(60, A, B)
        monitored.recorder.retain([B])
        await monitored.run(60, B)
        monitored.recorder.retain([A, B])
        assert len(monitored.recorder.recent_checks(A)) == 6
        monitored.recorder.retain([B])
        await monitored.run(2 * COMPACTION_INTERVAL, B)
        assert monitored.recorder.recent_checks(A) == []
        assert len(monitored.recorder.recent_checks(B)) == MAX_RECENT_CHECKS
