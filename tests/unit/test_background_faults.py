"""An unforeseen error in a background job is logged by name, and the job works again after it."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from typing import cast

import pytest

from codewalk.events import Event, Kind
from codewalk.health.link import LinkState
from codewalk.health.status import HealthStatus
from codewalk.history.history import Batch
from codewalk.history.recorder import Recorder
from codewalk.reason import Reason, State
from codewalk.tasks import RESTART_DELAY
from tests.fake_time import advance_time, elapsed, fake_time, freeze
from tests.fakes import FakeHistoryStore, FakeNetwork, FakeStatusStore, profile, utc_now
from tests.unit.health.links_harness import run_links
from tests.unit.health.monitor_harness import run_monitor

A = profile(1)


class Fault:
    """Raises an unforeseen error wherever it is called, while it is `active`."""

    def __init__(self) -> None:
        self.active = False
        self.raised = 0

    def __call__(self) -> None:
        if self.active:
            self.raised += 1
            raise KeyError("unforeseen")


@dataclass(frozen=True, kw_only=True)
class Job:
    """A running background job.

    Attributes:
        provoke: Has the job run into the fault.
        check: Asserts that the job does its work.
    """

    provoke: Callable[[], Awaitable[None]]
    check: Callable[[], Awaitable[None]]


RunJob = Callable[[Fault], AbstractAsyncContextManager[Job]]


@asynccontextmanager
async def health_scheduler(fault: Fault) -> AsyncIterator[Job]:
    def idle_clock() -> float:
        fault()
        return elapsed()

    async with run_monitor(A, idle_clock=idle_clock) as running:

        async def provoke() -> None:
            while not fault.raised:
                await advance_time(0.5)

        async def check() -> None:
            began = elapsed()
            await advance_time(25)
            assert sum(at > began for at in running.check_times(A)) >= 2

        yield Job(provoke=provoke, check=check)


@asynccontextmanager
async def suspend_and_network_watch(fault: Fault) -> AsyncIterator[Job]:
    network = FakeNetwork()
    server, online = replace(A, url="http://192.0.2.1:4096"), False

    def route(_: str) -> bool:
        fault()
        return online

    async def go_offline() -> None:
        nonlocal online
        network.down(server, Reason.UNREACHABLE)
        online = False
        await running.monitor.check(server)
        assert running.monitor.status(server.id).reason is Reason.OFFLINE

    async def provoke() -> None:
        await advance_time(1)

    async def check() -> None:
        nonlocal online
        await go_offline()
        network.up(server)
        online = True
        # Long before the next scheduled check.
        await advance_time(2)
        assert running.state(server) is State.HEALTHY
        await go_offline()

    async with run_monitor(server, network=network, route=route) as running:
        yield Job(provoke=provoke, check=check)


@asynccontextmanager
async def link_supervisor(fault: Fault) -> AsyncIterator[Job]:
    async with run_links(A) as running:

        async def provoke() -> None:
            # The job can't look up a server whose id can't be hashed.
            fault.raised += 1
            running.announcer.announce(Event(kind=Kind.HEALTH, server_id=cast("str", [])))
            await advance_time(0)
            running.of(A).kill()
            await advance_time(5)

        async def check() -> None:
            running.of(A).restart()
            await advance_time(30)
            assert running.state(A) is LinkState.LIVE
            running.of(A).kill()
            await advance_time(5)
            assert running.state(A) is LinkState.POLLING
            running.of(A).restart()
            await advance_time(5)
            assert running.state(A) is LinkState.LIVE

        yield Job(provoke=provoke, check=check)


@asynccontextmanager
async def link(fault: Fault) -> AsyncIterator[Job]:
    def jitter() -> float:
        fault()
        return 0.0

    async with run_links(A, jitter=jitter) as running:

        async def provoke() -> None:
            running.of(A).current.end()
            await advance_time(0.5)

        async def check() -> None:
            running.of(A).current.end()
            await advance_time(5)
            assert running.state(A) is LinkState.LIVE

        yield Job(provoke=provoke, check=check)


@asynccontextmanager
async def health_writer(fault: Fault) -> AsyncIterator[Job]:
    class Store(FakeStatusStore):
        async def save(self, statuses: Mapping[str, HealthStatus]) -> None:
            fault()
            await super().save(statuses)

    store = Store()
    async with run_monitor(A, store=store):

        async def check() -> None:
            store.batches.clear()
            await advance_time(12)
            assert store.batches

        yield Job(provoke=lambda: advance_time(12), check=check)


@asynccontextmanager
async def history_writer(fault: Fault) -> AsyncIterator[Job]:
    class Store(FakeHistoryStore):
        async def save(self, batch: Batch) -> None:
            fault()
            await super().save(batch)

    store = Store()
    async with Recorder(store, now=utc_now) as recorder:

        async def record() -> None:
            status = HealthStatus(state=State.HEALTHY, checked_at=utc_now(), since=utc_now())
            recorder.record(A.id, HealthStatus(), HealthStatus(), status)
            await advance_time(12)

        async def check() -> None:
            store.batches.clear()
            await record()
            assert store.changes

        yield Job(provoke=record, check=check)


RESTARTED = "The background job {!r} failed; it is started again."


@pytest.mark.parametrize(
    ("run_job", "message"),
    [
        (health_scheduler, RESTARTED.format("health scheduler")),
        (suspend_and_network_watch, RESTARTED.format("suspend and network watch")),
        (link_supervisor, RESTARTED.format("link supervisor")),
        (link, RESTARTED.format(f"link {A.id}")),
        (health_writer, "Health can't be saved"),
        (history_writer, "History can't be saved"),
    ],
)
def test_a_background_job_survives_an_unforeseen_error(
    run_job: RunJob, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    @fake_time
    async def run() -> None:
        fault = Fault()
        async with run_job(fault) as job:
            await job.check()
            assert not caplog.records
            fault.active = True
            await job.provoke()
            fault.active = False
            assert fault.raised
            [record] = caplog.records
            assert record.getMessage() == message
            assert record.exc_info
            await advance_time(RESTART_DELAY)
            await job.check()
        assert len(caplog.records) == 1

    run()


@pytest.mark.parametrize("callback", ["record", "on_change"])
def test_a_server_is_checked_again_after_a_callback_for_its_status_failed(
    callback: str, caplog: pytest.LogCaptureFixture
) -> None:
    @fake_time
    async def run() -> None:
        fault, network = Fault(), FakeNetwork()
        no_fault = Fault()
        async with run_monitor(
            A,
            network=network,
            record=fault if callback == "record" else no_fault,
            on_change=fault if callback == "on_change" else no_fault,
        ) as running:
            await advance_time(1)
            assert running.state(A) is State.HEALTHY
            fault.active = True
            network.down(A)
            await advance_time(12)
            assert fault.raised
            # The status counts all the same, and one callback has no part in the other's fault.
            assert running.state(A) is State.UNHEALTHY
            changed = [State.HEALTHY, State.UNHEALTHY] if callback == "record" else [State.HEALTHY]
            assert running.states(A) == changed
            assert {record.getMessage() for record in caplog.records} == {
                f"The result of a check of server {A.id} can't be applied"
            }
            fault.active = False
            network.up(A)
            await advance_time(12)
            assert running.state(A) is State.HEALTHY
            assert running.states(A)[-1] is State.HEALTHY

    run()


@fake_time
async def test_servers_are_checked_after_a_suspend_even_if_its_callback_fails(
    caplog: pytest.LogCaptureFixture,
) -> None:
    fault = Fault()
    async with run_monitor(A, on_resume=fault) as running:
        await advance_time(5)
        fault.active = True
        began = elapsed()
        freeze(3600)
        await advance_time(5)
        assert fault.raised == 1
        assert [at > began for at in running.check_times(A)] == [False, True]
        [record] = caplog.records
        assert record.getMessage() == "What follows a suspend failed"
        await advance_time(10)
        assert len(running.check_times(A)) == 3
