"""Check results as the monitor applies, announces, records and saves them."""

import asyncio
import logging
from dataclasses import replace
from datetime import timedelta

import pytest

from codewalk.errors import RequestFailed
from codewalk.health.status import HealthStatus
from codewalk.reason import Reason, State
from codewalk.servers.health_check import HealthCheckSettings
from tests.fake_time import advance_time, elapsed, fake_time
from tests.fakes import (
    EPOCH,
    HEALTHY,
    FakeNetwork,
    FakeStatusStore,
    Reply,
    delayed,
    failing_reply,
    html_reply,
    no_reply,
    profile,
)
from tests.unit.health.monitor_harness import run_monitor

A, B, C = profile(1), profile(2), profile(3)

WELL = HealthStatus(
    state=State.HEALTHY, reason=Reason.OK, version="1.18.33", checked_at=EPOCH, since=EPOCH
)


def seen(status: HealthStatus, *, minutes_ago: float) -> HealthStatus:
    moment = EPOCH - timedelta(minutes=minutes_ago)
    return HealthStatus(
        state=status.state,
        reason=status.reason,
        version=status.version,
        checked_at=moment,
        since=moment,
    )


@fake_time
async def test_a_check_that_is_asked_for_settles_the_status() -> None:
    network = FakeNetwork()
    async with run_monitor(A, network=network, watch=False) as running:
        assert (await running.monitor.check(A)).state is State.HEALTHY
        network.down(A)
        await advance_time(1)
        status = await running.monitor.check(A)
        assert (status.state, status.reason) == (State.UNHEALTHY, Reason.REFUSED)
        # Two checks of 0.3 s each, half a second apart.
        assert elapsed() == pytest.approx(2.1)


@fake_time
async def test_a_check_with_several_waiters_counts_once() -> None:
    # The race: two waiters apply one result, and one lost packet counts as two failures in a row.
    network = FakeNetwork()
    async with run_monitor(A, network=network, watch=False) as running:
        await running.monitor.check(A)
        await advance_time(1)
        network.script(A, health=[failing_reply(Reason.UNREACHABLE)] * 3 + [HEALTHY])
        statuses = await asyncio.gather(*(running.monitor.check(A) for _ in range(5)))
        assert {status.state for status in statuses} == {State.HEALTHY}
        assert running.change_times(A) == [0]
        assert len(network.of(A).requests) == 1 + 3 + 1


@fake_time
async def test_a_result_that_is_reused_counts_once() -> None:
    network = FakeNetwork()
    network.down(A)
    async with run_monitor(A, network=network, watch=False) as running:
        for _ in range(3):
            await running.monitor.check(A)
        assert running.monitor.status(A.id).failures == 1


@fake_time
async def test_the_scheduler_and_a_caller_share_one_check() -> None:
    network = FakeNetwork()
    network.script(A, health=delayed(0.2, HEALTHY))
    async with run_monitor(A, network=network) as running:
        await advance_time(10.1)
        assert (await running.monitor.check(A)).state is State.HEALTHY
        assert running.check_times(A) == [0, 10.1]


@fake_time
async def test_a_check_has_the_budget_that_it_is_given() -> None:
    network = FakeNetwork()
    network.script(A, health=no_reply(), path=no_reply())
    async with run_monitor(A, network=network, watch=False) as running:
        status = await running.monitor.check(A, budget=0.5)
        assert (status.reason, status.detail) == (Reason.TIMEOUT, "No answer within 0.5 s.")


@fake_time
async def test_a_check_without_a_budget_has_the_servers_timeout() -> None:
    patient = replace(A, health_check=HealthCheckSettings(timeout=5))
    network = FakeNetwork()
    network.script(A, health=delayed(4, HEALTHY), path=no_reply())
    async with run_monitor(patient, network=network, watch=False) as running:
        assert (await running.monitor.check(patient)).state is State.HEALTHY
        # A server that isn't saved, as for the Test button.
        draft = replace(patient, id="draft")
        network.connections["draft"] = network.of(A)
        assert (await running.monitor.check(draft)).state is State.HEALTHY
        await advance_time(1)
        assert (await running.monitor.check(draft, budget=3)).reason is Reason.TIMEOUT


@fake_time
async def test_a_check_that_is_asked_for_waits_until_the_server_has_risen() -> None:
    careful = replace(A, health_check=HealthCheckSettings(rise=3))
    async with run_monitor(careful, watch=False) as running:
        assert (await running.monitor.check(careful)).state is State.HEALTHY
        assert elapsed() == 1


@fake_time
async def test_one_good_check_is_enough_for_a_server_that_is_not_watched() -> None:
    careful = replace(A, health_check=HealthCheckSettings(rise=3))
    async with run_monitor(watch=False) as running:
        assert (await running.monitor.check(careful)).state is State.HEALTHY
        assert elapsed() == 0


@fake_time
async def test_the_status_of_a_server_that_is_not_watched_is_not_stored() -> None:
    network = FakeNetwork()
    network.script(A, health=html_reply(), path=html_reply())
    async with run_monitor(B, network=network, watch=False) as running:
        assert (await running.monitor.check(A)).reason is Reason.NOT_OPENCODE
        assert running.monitor.status(A.id) == HealthStatus()
        assert running.changes == []
        await running.monitor.save()
        assert running.store.batches == []


@fake_time
async def test_one_transport_failure_is_enough_for_a_server_that_is_not_watched() -> None:
    network = FakeNetwork()
    network.down(A)
    async with run_monitor(network=network, watch=False) as running:
        assert (await running.monitor.check(A)).reason is Reason.REFUSED
        assert network.of(A).paths == ["/global/health"]
        assert elapsed() == 0


@fake_time
async def test_a_check_that_was_cancelled_by_a_change_does_not_count() -> None:
    network = FakeNetwork()
    network.script(A, health=no_reply(), path=no_reply())
    async with (
        run_monitor(A, network=network, watch=False) as running,
        asyncio.TaskGroup() as group,
    ):
        asked = group.create_task(running.monitor.check(A), name="check")
        await advance_time(0.1)
        running.monitor.forget(A.id)
        assert (await asked).state is State.UNKNOWN
        assert running.monitor.status(A.id) == HealthStatus()


@fake_time
async def test_a_stored_status_counts_until_it_is_three_minutes_old() -> None:
    store = FakeStatusStore({A.id: seen(WELL, minutes_ago=2.9), B.id: seen(WELL, minutes_ago=3.1)})
    async with run_monitor(A, B, store=store, watch=False) as running:
        assert running.state(A) is State.HEALTHY
        assert running.state(B) is State.UNKNOWN
        assert running.monitor.status(B.id).version == "1.18.33"
        await advance_time(60)
        assert running.state(A) is State.UNKNOWN


@fake_time
async def test_a_stale_healthy_status_does_not_excuse_a_failure() -> None:
    network, store = FakeNetwork(), FakeStatusStore({A.id: seen(WELL, minutes_ago=1440)})
    network.down(A)
    async with run_monitor(A, network=network, store=store) as running:
        while running.state(A) is not State.UNHEALTHY:
            assert running.state(A) is State.UNKNOWN
            await advance_time(0.05)
        assert elapsed() < 0.5


@fake_time
async def test_a_stale_status_that_becomes_healthy_again_is_announced() -> None:
    store = FakeStatusStore({A.id: seen(WELL, minutes_ago=1440)})
    async with run_monitor(A, store=store) as running:
        assert running.state(A) is State.UNKNOWN
        await advance_time(0.1)
        assert running.state(A) is State.HEALTHY
        assert running.change_times(A) == [0]
        assert running.monitor.status(A.id).since == EPOCH


@fake_time
async def test_only_visible_changes_are_announced() -> None:
    async with run_monitor(A) as running:
        await advance_time(35)
        assert len(running.check_times(A)) == 4
        assert running.change_times(A) == [0]
        running.network.script(A, health=html_reply(), path=html_reply())
        await advance_time(10)
        assert running.change_times(A) == [0, 40]


@fake_time
async def test_a_state_is_logged_when_it_changes_and_not_while_it_lasts(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    network = FakeNetwork()
    async with run_monitor(A, network=network):
        await advance_time(25)
        network.script(A, health=html_reply(), path=html_reply())
        await advance_time(25)
    assert [record.getMessage() for record in caplog.records] == [
        f"Server {A.id} is healthy: ok",
        f"Server {A.id} is unhealthy: not_opencode",
    ]


@fake_time
async def test_a_status_can_be_set_from_outside() -> None:
    async with run_monitor(A, watch=False) as running:
        running.monitor.set_status(A.id, WELL)
        assert running.monitor.status(A.id) == WELL
        assert running.change_times(A) == [0]


@fake_time
async def test_each_check_that_counts_is_recorded_once_with_its_change() -> None:
    async with run_monitor(A) as running:
        await advance_time(0.1)
        running.network.script(A, health=html_reply(), path=html_reply())
        await asyncio.gather(*(running.monitor.check(A) for _ in range(3)))
        await advance_time(11)
        # The checks that somebody asked for reused the result of the first one.
        first, second = running.records
        for (server, left, before, after, result, interval), states, reason in (
            (first, (State.UNKNOWN, State.HEALTHY), Reason.OK),
            (second, (State.HEALTHY, State.UNHEALTHY), Reason.NOT_OPENCODE),
        ):
            assert (server, left, (before.state, after.state)) == (A.id, before, states)
            assert interval == A.health_check.interval
            assert result is not None
            assert result.reason is reason
        assert second[1] is first[3]
        assert second[3] is running.monitor.status(A.id)


@fake_time
async def test_a_stale_status_is_recorded_as_stored_and_as_it_counted() -> None:
    old = seen(WELL, minutes_ago=1440)
    async with run_monitor(A, store=FakeStatusStore({A.id: old})) as running:
        await advance_time(0.1)
        ((_, left, before, after, *_),) = running.records
        assert left == old
        assert before == old.as_of(EPOCH)
        assert before.state is State.UNKNOWN
        assert after.state is State.HEALTHY


@fake_time
async def test_a_status_set_from_outside_is_recorded_without_a_check() -> None:
    async with run_monitor(A, B, watch=False) as running:
        running.monitor.set_status(A.id, WELL)
        running.monitor.pause(A.id, HealthStatus(detail="It starts."))
        running.monitor.reconcile([replace(A, url="http://elsewhere"), B], None)
        details = [after.detail for _, _, _, after, *_ in running.records]
        assert details == [None, "It starts.", f"Its URL was {A.url} before."]
        assert {result for *_, result, _ in running.records} == {None}
        await running.monitor.check(profile(9))
        assert len(running.records) == 3


@fake_time
async def test_statuses_are_saved_in_batches_once_a_second_and_only_where_checked() -> None:
    async with run_monitor(A, B, C) as running:
        await advance_time(5)
        [(at, batch)] = running.store.batches
        assert (at, set(batch)) == (1, {A.id, B.id, C.id})
        await advance_time(7)
        assert [at for at, _ in running.store.batches] == [1, 11]


@fake_time
async def test_statuses_that_could_not_be_saved_are_saved_when_the_store_works_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = FakeStatusStore()
    store.broken = True
    async with run_monitor(A, B, store=store) as running:
        await advance_time(4)
        assert running.state(A) is State.HEALTHY
        store.broken = False
        await advance_time(1)
        assert set(store.statuses) == {A.id, B.id}
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert "The disk is full." in warnings[0].getMessage()


@fake_time
async def test_statuses_whose_batch_failed_with_an_unforeseen_error_are_saved_later() -> None:
    store = FakeStatusStore()
    store.fault = KeyError("unforeseen")
    async with run_monitor(A, B, store=store):
        await advance_time(4)
        store.fault = None
        await advance_time(1)
        assert set(store.statuses) == {A.id, B.id}


@fake_time
async def test_closing_saves_everything() -> None:
    async with run_monitor(A) as running:
        await advance_time(0.1)
        assert running.store.batches == []
    assert running.store.statuses[A.id].state is State.HEALTHY


@fake_time
async def test_a_batch_that_closing_interrupts_is_saved_all_the_same() -> None:
    store = FakeStatusStore()
    store.gate = asyncio.Event()
    async with run_monitor(A, store=store):
        await advance_time(1.5)
        assert store.batches == []
        loop = asyncio.get_running_loop()
        loop.call_later(0.1, store.gate.set)
    assert store.statuses[A.id].state is State.HEALTHY


@fake_time
async def test_a_failure_of_this_process_does_not_count_against_a_server() -> None:
    network = FakeNetwork()
    full = Reply(
        failure=RequestFailed(Reason.UNREACHABLE, "Too many connections.", local_fault=True)
    )
    async with run_monitor(A, network=network) as running:
        await advance_time(5)
        network.script(A, health=full, path=full)
        await advance_time(60)
        assert running.states(A) == [State.HEALTHY]
        # Asked again in vain, it is no more than that: nobody has looked for long.
        await advance_time(200)
        assert (running.state(A), running.monitor.status(A.id).reason) == (
            State.UNKNOWN,
            Reason.UNCHECKED,
        )


@fake_time
async def test_a_store_that_fails_while_closing_breaks_nothing_else() -> None:
    store = FakeStatusStore()
    async with run_monitor(A, store=store):
        await advance_time(0.1)
        store.broken = True


@fake_time
async def test_a_removed_servers_status_is_not_saved() -> None:
    async with run_monitor(A, B) as running:
        await advance_time(0.5)
        running.monitor.reconcile([B], None)
        await advance_time(1)
        assert set(running.store.statuses) == {B.id}


@fake_time
async def test_a_check_of_a_server_that_is_edited_meanwhile_ends() -> None:
    # The race: the old URL fails once, and the server is edited before the second check.
    network = FakeNetwork()
    async with run_monitor(A, network=network) as running, asyncio.TaskGroup() as group:
        await advance_time(1)
        network.down(A)
        asked = group.create_task(running.monitor.check(A), name="check")
        await advance_time(0.5)
        moved = replace(A, url="http://elsewhere")
        running.monitor.reconcile([moved], None)
        running.monitor.set_status(A.id, WELL)
        await asyncio.wait_for(asked, 2)
        assert running.state(moved) is State.HEALTHY
