"""The times at which each server is checked."""

import asyncio
import itertools
from dataclasses import replace

import pytest

from codewalk.health.monitor import MAX_CONCURRENT_CHECKS, MAX_SETTLE_SECONDS
from codewalk.health.status import HealthStatus
from codewalk.reason import Reason, State
from codewalk.secret import Secret
from codewalk.servers.health_check import HealthCheckSettings
from codewalk.servers.profile import ServerProfile
from tests.fake_time import advance_time, elapsed, fake_time
from tests.fakes import HEALTHY, FakeNetwork, delayed, failing_reply, no_reply, profile
from tests.unit.health.monitor_harness import run_monitor

A, B, C = profile(1), profile(2), profile(3)


@fake_time
async def test_every_server_is_checked_at_once_and_then_every_ten_seconds() -> None:
    async with run_monitor(A, B) as running:
        await advance_time(25)
        assert running.check_times(A) == running.check_times(B) == [0, 10, 20]
        assert running.state(A) is running.state(B) is State.HEALTHY


@fake_time
async def test_jitter_changes_the_interval_by_up_to_a_tenth() -> None:
    async with run_monitor(A, jitter=(0.0, 1.0, 0.75)) as running:
        await advance_time(31)
        assert running.check_times(A) == [0, 9, 20, 30.5]


@fake_time
async def test_the_interval_counts_from_the_end_of_a_slow_check() -> None:
    network = FakeNetwork()
    network.script(A, health=delayed(0.2, HEALTHY))
    async with run_monitor(A, network=network) as running:
        await advance_time(21)
        assert running.check_times(A) == [0, 10.2, 20.4]


@fake_time
async def test_a_server_that_stops_answering_is_checked_again_after_half_a_second() -> None:
    network = FakeNetwork()
    async with run_monitor(A, network=network) as running:
        await advance_time(9)
        network.down(A)
        await advance_time(1.5)
        # One failed check, with its retries, from 10.0 to 10.3.
        assert running.state(A) is State.HEALTHY
        assert running.monitor.status(A.id).suspect
        await advance_time(1)
        assert running.state(A) is State.UNHEALTHY
        assert running.monitor.status(A.id).reason is Reason.REFUSED
        assert running.check_times(A) == [0, 10, 10.8]
        assert running.change_times(A) == [0, 11.1]


@fake_time
async def test_a_single_failed_check_is_not_announced() -> None:
    network = FakeNetwork()
    async with run_monitor(A, network=network) as running:
        await advance_time(9)
        network.down(A)
        await advance_time(1.5)
        network.up(A)
        await advance_time(15)
        assert running.check_times(A) == [0, 10, 10.8, 20.8]
        assert running.change_times(A) == [0]


@fake_time
async def test_a_server_that_has_been_down_for_long_is_checked_less_often() -> None:
    network = FakeNetwork()
    network.down(A)
    async with run_monitor(A, network=network) as running:
        await advance_time(900)
        gaps = [
            round(b - a)
            for a, b in zip(running.check_times(A), running.check_times(A)[1:], strict=False)
        ]
        assert set(gaps) == {10, 30, 60}
        assert gaps == sorted(gaps)
        assert sum(gap for gap in gaps if gap == 10) == pytest.approx(120, abs=10)
        assert sum(gap for gap in gaps if gap == 30) == pytest.approx(480, abs=30)


@fake_time
async def test_the_active_server_is_never_checked_less_often() -> None:
    network = FakeNetwork()
    network.down(A)
    async with run_monitor(A, network=network, active=A) as running:
        await advance_time(900)
        checks = running.check_times(A)
        assert max(b - a for a, b in itertools.pairwise(checks)) < 11


@fake_time
async def test_a_server_that_recovers_is_checked_as_often_as_others_again() -> None:
    network = FakeNetwork()
    network.down(A)
    async with run_monitor(A, network=network) as running:
        await advance_time(300)
        network.up(A)
        await advance_time(60)
        checks = running.check_times(A)
        assert round(checks[-1] - checks[-2]) == 10
        assert running.state(A) is State.HEALTHY


@fake_time
async def test_a_server_that_becomes_active_is_checked_at_once() -> None:
    network = FakeNetwork()
    network.down(A)
    async with run_monitor(A, B, network=network, active=B) as running:
        await advance_time(905)
        network.up(A)
        running.monitor.reconcile([A, B], A.id)
        await advance_time(0.1)
        assert running.state(A) is State.HEALTHY


@fake_time
async def test_a_server_that_never_answers_delays_no_other_check() -> None:
    network = FakeNetwork()
    network.script(A, health=no_reply(), path=no_reply())
    async with run_monitor(A, B, C, network=network) as running:
        await advance_time(31)
        assert running.check_times(B) == running.check_times(C) == [0, 10, 20, 30]
        assert running.check_times(A) == [0, 13, 26]
        assert running.monitor.status(A.id).reason is Reason.TIMEOUT


@fake_time
async def test_closing_does_not_wait_for_a_server_that_never_answers() -> None:
    network = FakeNetwork()
    network.script(A, health=no_reply(), path=no_reply())
    async with run_monitor(A, network=network):
        await advance_time(1)
    assert elapsed() == 1


@pytest.mark.parametrize(
    "fields",
    [
        {"url": "http://elsewhere"},
        {"basic_auth_enabled": True},
        {"basic_auth_username": "other"},
        {"basic_auth_password": Secret("other")},
    ],
    ids=lambda fields: next(iter(fields)),
)
@fake_time
async def test_a_server_that_is_reached_differently_is_unknown_until_it_is_checked(
    fields: dict[str, object],
) -> None:
    async with run_monitor(A) as running:
        await advance_time(5)
        edited = replace(A, **fields)  # type: ignore[arg-type] # each case names its own
        running.network.script(edited, health=delayed(0.1, HEALTHY))
        running.monitor.reconcile([edited], None)
        moved = f"Its URL was {A.url} before." if "url" in fields else None
        assert running.monitor.status(A.id) == HealthStatus(detail=moved)
        await advance_time(10.2)
        assert running.state(edited) is State.HEALTHY
        assert running.check_times(edited) == [0, 5, 15.1]
        assert running.change_times(A) == [0, 5, 5.1]


@fake_time
async def test_a_check_from_before_an_edit_does_not_count() -> None:
    network = FakeNetwork()
    network.script(A, health=delayed(2, HEALTHY), path=no_reply())
    async with run_monitor(A, network=network) as running:
        await advance_time(1)
        edited = replace(A, url="http://elsewhere")
        network.down(edited)
        running.monitor.reconcile([edited], None)
        await advance_time(0.4)
        assert running.state(edited) is State.UNHEALTHY
        assert network.of(A).in_flight == 0
        await advance_time(2)
        assert running.state(edited) is State.UNHEALTHY


@fake_time
async def test_a_new_label_changes_neither_the_status_nor_the_schedule() -> None:
    network = FakeNetwork()
    network.script(A, health=delayed(0.2, HEALTHY))
    async with run_monitor(A, network=network) as running:
        await advance_time(10.3)
        # Once between two checks, once during one.
        running.monitor.reconcile([replace(A, label="One")], None)
        await advance_time(10)
        running.monitor.reconcile([replace(A, label="Two")], None)
        await advance_time(11)
        assert running.check_times(A) == [0, 10.2, 20.4, 30.6]
        assert running.change_times(A) == [0.2]


@fake_time
async def test_a_removed_server_is_forgotten_and_not_checked_again() -> None:
    network = FakeNetwork()
    network.script(B, health=no_reply(), path=no_reply())
    async with run_monitor(A, B, C, network=network) as running:
        await advance_time(1)
        running.monitor.reconcile([C], None)
        await advance_time(0.1)
        assert network.of(B).in_flight == 0
        await advance_time(30)
        assert running.check_times(A) == running.check_times(B) == [0]
        assert running.monitor.status(A.id) == running.monitor.status(B.id) == HealthStatus()
        assert running.check_times(C) == [0, 10, 20, 30]


@fake_time
async def test_a_removed_server_cannot_be_checked_soon() -> None:
    # The race: a request fails at the moment at which its server is removed.
    async with run_monitor(A, B) as running:
        await advance_time(1)
        running.monitor.reconcile([B], None)
        running.monitor.check_soon(A.id)
        running.monitor.resume(A.id)
        await advance_time(20)
        assert running.check_times(A) == [0]
        assert running.check_times(B) == [0, 10, 20]


@fake_time
async def test_check_soon_replaces_the_scheduled_check() -> None:
    network = FakeNetwork()
    network.script(A, health=delayed(0.2, HEALTHY))
    async with run_monitor(A, network=network) as running:
        await advance_time(5)
        running.monitor.check_soon(A.id)
        running.monitor.check_soon(A.id)
        await advance_time(0.1)
        running.monitor.check_soon(A.id)
        await advance_time(30)
        assert running.check_times(A) == [0, 5, 15.2, 25.4]


@fake_time
async def test_a_paused_server_keeps_its_status_until_it_is_resumed() -> None:
    starting = HealthStatus(detail="It is starting.")
    async with run_monitor(A) as running:
        await advance_time(5)
        running.monitor.pause(A.id, starting)
        running.monitor.check_soon(A.id)
        await advance_time(60)
        assert running.check_times(A) == [0]
        assert running.monitor.status(A.id) == starting
        running.monitor.resume(A.id)
        await advance_time(0.1)
        assert running.state(A) is State.HEALTHY
        await advance_time(10)
        assert running.check_times(A) == [0, 65, 75]


@fake_time
async def test_a_check_in_flight_does_not_change_a_paused_server() -> None:
    starting = HealthStatus(detail="It is starting.")
    network = FakeNetwork()
    network.script(A, health=delayed(0.2, HEALTHY))
    async with run_monitor(A, network=network) as running:
        await advance_time(0.1)
        running.monitor.pause(A.id, starting)
        await advance_time(0.2)
        assert running.monitor.status(A.id) == starting
        asked = running.check_times(A)
        assert await running.monitor.check(A) == starting
        assert running.check_times(A) == asked


@fake_time
async def test_without_watch_only_servers_that_are_asked_for_are_checked() -> None:
    async with run_monitor(A, B, watch=False) as running:
        await advance_time(60)
        assert running.check_times(A) == []
        assert (await running.monitor.check(A)).state is State.HEALTHY
        assert (running.check_times(A), running.check_times(B)) == ([60], [])


@fake_time
async def test_check_all_checks_servers_side_by_side_up_to_a_bound() -> None:
    servers = [profile(number) for number in range(MAX_CONCURRENT_CHECKS + 2)]
    async with run_monitor(*servers, watch=False) as running:
        for server in servers:
            running.network.script(server, health=delayed(0.2, HEALTHY))
        # The last one is gone before its turn comes.
        async with asyncio.TaskGroup() as group:
            group.create_task(running.monitor.check_all(server.id for server in servers))
            await advance_time(0.1)
            running.monitor.reconcile(servers[:-1], None)
        assert elapsed() == pytest.approx(0.4)
        assert [running.check_times(server) for server in servers[-3:]] == [[0.0], [0.2], []]
        assert {running.state(server) for server in servers[:-1]} == {State.HEALTHY}


def answering_every_other_time(network: FakeNetwork, server: ServerProfile) -> None:
    network.script(server, health=[HEALTHY, failing_reply(Reason.TLS)] * 1000, path=no_reply())


@fake_time
async def test_a_check_of_a_server_that_answers_every_other_time_ends() -> None:
    # It is never good twice in a row, nor does it fail twice in a row.
    flapping = replace(A, health_check=HealthCheckSettings(rise=2, fall=2))
    network = FakeNetwork()
    answering_every_other_time(network, A)
    async with run_monitor(flapping, network=network, watch=False) as running, asyncio.timeout(600):
        assert (await running.monitor.check(flapping)).state is State.UNKNOWN
        assert running.check_times(A) == [0, 0.5, 1]
        # The next ones begin where these ended.
        await running.monitor.check_all([A.id])
        assert elapsed() == pytest.approx(2)


@fake_time
async def test_the_checks_that_settle_a_status_are_bounded_in_time_too() -> None:
    slow = replace(A, health_check=HealthCheckSettings(rise=10, fall=10, timeout=10))
    network = FakeNetwork()
    network.script(
        A, health=[delayed(9, HEALTHY), delayed(9, failing_reply(Reason.TLS))] * 9, path=no_reply()
    )
    async with run_monitor(slow, network=network, watch=False) as running, asyncio.timeout(600):
        await running.monitor.check(slow)
        # After the first one, at 9 s, as many begin as fit into half a minute.
        assert elapsed() <= 9 + MAX_SETTLE_SECONDS + 9
        assert len(running.check_times(A)) == 5


@fake_time
async def test_the_failure_that_follows_a_long_timeout_counts() -> None:
    patient = replace(A, health_check=HealthCheckSettings(timeout=60))
    network = FakeNetwork()
    async with run_monitor(patient, network=network, watch=False) as running:
        assert (await running.monitor.check(patient)).state is State.HEALTHY
        network.script(A, health=no_reply(), path=no_reply())
        await advance_time(1)
        assert (await running.monitor.check(patient)).reason is Reason.TIMEOUT


@fake_time
async def test_a_server_that_never_settles_delays_no_other_ones_result() -> None:
    flapping = replace(A, health_check=HealthCheckSettings(rise=10, fall=10))
    network = FakeNetwork()
    answering_every_other_time(network, A)
    async with (
        run_monitor(flapping, B, network=network, watch=False) as running,
        asyncio.timeout(600),
    ):
        await running.monitor.check_all([A.id, B.id])
        assert running.change_times(B) == [0]
        assert running.state(B) is State.HEALTHY
        assert elapsed() == 5


@fake_time
async def test_servers_that_wait_for_their_next_check_do_not_count_as_concurrent() -> None:
    careful = HealthCheckSettings(rise=10)
    rising = [profile(number, health_check=careful) for number in range(MAX_CONCURRENT_CHECKS)]
    last = profile(MAX_CONCURRENT_CHECKS)
    async with run_monitor(*rising, last, watch=False) as running:
        await running.monitor.check_all(server.id for server in (*rising, last))
        assert running.change_times(last) == [0]
        assert {running.change_times(server)[-1] for server in rising} == {4.5}


@fake_time
async def test_each_server_is_checked_by_its_own_settings() -> None:
    often = replace(B, health_check=HealthCheckSettings(interval=4, timeout=1))
    seldom = replace(C, health_check=HealthCheckSettings(interval=300))
    network = FakeNetwork()
    network.script(B, health=no_reply(), path=no_reply())
    async with run_monitor(A, often, seldom, network=network) as running:
        await advance_time(21)
        assert running.check_times(A) == [0, 10, 20]
        assert running.check_times(B) == [0, 5, 10, 15, 20]
        assert running.monitor.status(B.id).detail == "No answer within 1 s."
        await advance_time(600)
        assert running.check_times(C) == [0, 300, 600]
        # Not checked for five minutes, and not stale.
        assert running.state(seldom) is State.HEALTHY


@fake_time
async def test_new_settings_apply_at_once_and_keep_the_status() -> None:
    async with run_monitor(A) as running:
        await advance_time(12)
        often = replace(A, health_check=HealthCheckSettings(interval=2))
        running.monitor.reconcile([often], None)
        assert running.state(A) is State.HEALTHY
        await advance_time(4.5)
        assert running.check_times(A) == [0, 10, 14, 16]
        running.monitor.reconcile([A], None)
        await advance_time(20)
        assert running.check_times(A) == [0, 10, 14, 16, 26.5]
        assert running.change_times(A) == [0]


@fake_time
async def test_a_long_interval_is_not_shortened_for_a_server_that_is_down() -> None:
    seldom = replace(A, health_check=HealthCheckSettings(interval=300))
    network = FakeNetwork()
    network.down(A)
    async with run_monitor(seldom, network=network) as running:
        await advance_time(1000)
        assert running.check_times(A) == [0, 300, 600, 900]


@fake_time
async def test_the_further_checks_of_rise_and_fall_are_half_a_second_apart() -> None:
    careful = replace(A, health_check=HealthCheckSettings(rise=2, fall=3))
    network = FakeNetwork()
    async with run_monitor(careful, network=network) as running:
        await advance_time(9)
        network.down(A)
        await advance_time(3)
        # Failed checks of 0.3 s, half a second apart, the first at 10.5: it rose at 0.5.
        assert running.check_times(A) == [0, 0.5, 10.5, 11.3]
        assert running.state(A) is State.HEALTHY
        await advance_time(1)
        assert running.state(A) is State.UNHEALTHY
        assert running.change_times(A)[1:] == [0.5, 12.4]
        network.up(A)
        await advance_time(11)
        assert running.state(A) is State.HEALTHY
        assert running.change_times(A)[1:] == [0.5, 12.4, 22.9]
