"""When each server is checked."""

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
from tests.unit.health.watching import watching

A, B, C = profile(1), profile(2), profile(3)


@fake_time
async def test_every_server_is_checked_at_once_and_then_every_ten_seconds() -> None:
    async with watching(A, B) as watch:
        await advance_time(25)
        assert watch.checks(A) == watch.checks(B) == [0, 10, 20]
        assert watch.state(A) is watch.state(B) is State.HEALTHY


@fake_time
async def test_chance_gives_or_takes_a_tenth_so_that_checks_do_not_bunch() -> None:
    async with watching(A, jitter=(0.0, 1.0, 0.75)) as watch:
        await advance_time(31)
        assert watch.checks(A) == [0, 9, 20, 30.5]


@fake_time
async def test_the_interval_counts_from_the_end_of_a_slow_check() -> None:
    network = FakeNetwork()
    network.script(A, health=delayed(0.2, HEALTHY))
    async with watching(A, network=network) as watch:
        await advance_time(21)
        assert watch.checks(A) == [0, 10.2, 20.4]


@fake_time
async def test_a_server_that_stops_answering_is_checked_again_after_half_a_second() -> None:
    network = FakeNetwork()
    async with watching(A, network=network) as watch:
        await advance_time(9)
        network.down(A)
        await advance_time(1.5)
        # One failed check, with its retries, from 10.0 to 10.3.
        assert watch.state(A) is State.HEALTHY
        assert watch.monitor.status(A.id).suspect
        await advance_time(1)
        assert watch.state(A) is State.UNHEALTHY
        assert watch.monitor.status(A.id).reason is Reason.REFUSED
        assert watch.checks(A) == [0, 10, 10.8]
        assert watch.told(A) == [0, 11.1]


@fake_time
async def test_a_hiccup_is_told_to_nobody() -> None:
    network = FakeNetwork()
    async with watching(A, network=network) as watch:
        await advance_time(9)
        network.down(A)
        await advance_time(1.5)
        network.up(A)
        await advance_time(15)
        assert watch.checks(A) == [0, 10, 10.8, 20.8]
        assert watch.told(A) == [0]


@fake_time
async def test_a_server_that_has_been_down_for_long_is_checked_less_often() -> None:
    network = FakeNetwork()
    network.down(A)
    async with watching(A, network=network) as watch:
        await advance_time(900)
        gaps = [round(b - a) for a, b in zip(watch.checks(A), watch.checks(A)[1:], strict=False)]
        assert set(gaps) == {10, 30, 60}
        assert gaps == sorted(gaps)
        assert sum(gap for gap in gaps if gap == 10) == pytest.approx(120, abs=10)
        assert sum(gap for gap in gaps if gap == 30) == pytest.approx(480, abs=30)


@fake_time
async def test_the_active_server_never_is() -> None:
    network = FakeNetwork()
    network.down(A)
    async with watching(A, network=network, active=A) as watch:
        await advance_time(900)
        checks = watch.checks(A)
        assert max(b - a for a, b in itertools.pairwise(checks)) < 11


@fake_time
async def test_a_server_that_comes_back_is_checked_as_often_as_others_again() -> None:
    network = FakeNetwork()
    network.down(A)
    async with watching(A, network=network) as watch:
        await advance_time(300)
        network.up(A)
        await advance_time(60)
        checks = watch.checks(A)
        assert round(checks[-1] - checks[-2]) == 10
        assert watch.state(A) is State.HEALTHY


@fake_time
async def test_a_server_that_becomes_active_is_checked_at_once() -> None:
    network = FakeNetwork()
    network.down(A)
    async with watching(A, B, network=network, active=B) as watch:
        await advance_time(905)
        network.up(A)
        watch.monitor.reconcile([A, B], A.id)
        await advance_time(0.1)
        assert watch.state(A) is State.HEALTHY


@fake_time
async def test_one_black_hole_delays_nobody() -> None:
    network = FakeNetwork()
    network.script(A, health=no_reply(), path=no_reply())
    async with watching(A, B, C, network=network) as watch:
        await advance_time(31)
        assert watch.checks(B) == watch.checks(C) == [0, 10, 20, 30]
        assert watch.checks(A) == [0, 13, 26]
        assert watch.monitor.status(A.id).reason is Reason.TIMEOUT


@fake_time
async def test_closing_does_not_wait_for_a_black_hole() -> None:
    network = FakeNetwork()
    network.script(A, health=no_reply(), path=no_reply())
    async with watching(A, network=network):
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
async def test_an_edit_that_reaches_another_server_starts_from_unknown(
    fields: dict[str, object],
) -> None:
    async with watching(A) as watch:
        await advance_time(5)
        edited = replace(A, **fields)  # type: ignore[arg-type] # each case names its own
        watch.network.script(edited, health=delayed(0.1, HEALTHY))
        watch.monitor.reconcile([edited], None)
        assert watch.monitor.status(A.id) == HealthStatus()
        await advance_time(10.2)
        assert watch.state(edited) is State.HEALTHY
        assert watch.checks(edited) == [0, 5, 15.1]
        assert watch.told(A) == [0, 5, 5.1]


@fake_time
async def test_what_a_check_from_before_the_edit_finds_counts_for_nothing() -> None:
    network = FakeNetwork()
    network.script(A, health=delayed(2, HEALTHY), path=no_reply())
    async with watching(A, network=network) as watch:
        await advance_time(1)
        edited = replace(A, url="http://elsewhere")
        network.down(edited)
        watch.monitor.reconcile([edited], None)
        await advance_time(0.4)
        assert watch.state(edited) is State.UNHEALTHY
        assert network.of(A).in_flight == 0
        await advance_time(2)
        assert watch.state(edited) is State.UNHEALTHY


@fake_time
async def test_a_new_label_changes_neither_the_status_nor_the_schedule() -> None:
    network = FakeNetwork()
    network.script(A, health=delayed(0.2, HEALTHY))
    async with watching(A, network=network) as watch:
        await advance_time(10.3)
        # Once between two checks, once during one.
        watch.monitor.reconcile([replace(A, label="One")], None)
        await advance_time(10)
        watch.monitor.reconcile([replace(A, label="Two")], None)
        await advance_time(11)
        assert watch.checks(A) == [0, 10.2, 20.4, 30.6]
        assert watch.told(A) == [0.2]


@fake_time
async def test_a_removed_server_is_forgotten_and_asked_no_more() -> None:
    network = FakeNetwork()
    network.script(B, health=no_reply(), path=no_reply())
    async with watching(A, B, C, network=network) as watch:
        await advance_time(1)
        watch.monitor.reconcile([C], None)
        await advance_time(0.1)
        assert network.of(B).in_flight == 0
        await advance_time(30)
        assert watch.checks(A) == watch.checks(B) == [0]
        assert watch.monitor.status(A.id) == watch.monitor.status(B.id) == HealthStatus()
        assert watch.checks(C) == [0, 10, 20, 30]


@fake_time
async def test_a_server_that_is_gone_cannot_be_checked_soon() -> None:
    # The race: a request fails at the moment at which its server is removed.
    async with watching(A, B) as watch:
        await advance_time(1)
        watch.monitor.reconcile([B], None)
        watch.monitor.check_soon(A.id)
        watch.monitor.resume(A.id)
        await advance_time(20)
        assert watch.checks(A) == [0]
        assert watch.checks(B) == [0, 10, 20]


@fake_time
async def test_a_server_may_be_checked_soon_without_a_second_schedule() -> None:
    network = FakeNetwork()
    network.script(A, health=delayed(0.2, HEALTHY))
    async with watching(A, network=network) as watch:
        await advance_time(5)
        watch.monitor.check_soon(A.id)
        watch.monitor.check_soon(A.id)
        await advance_time(0.1)
        watch.monitor.check_soon(A.id)
        await advance_time(30)
        assert watch.checks(A) == [0, 5, 15.2, 25.4]


@fake_time
async def test_a_server_on_hold_stays_as_it_is_said_to_be_until_it_is_released() -> None:
    starting = HealthStatus(detail="It is starting.")
    async with watching(A) as watch:
        await advance_time(5)
        watch.monitor.pause(A.id, starting)
        watch.monitor.check_soon(A.id)
        await advance_time(60)
        assert watch.checks(A) == [0]
        assert watch.monitor.status(A.id) == starting
        watch.monitor.resume(A.id)
        await advance_time(0.1)
        assert watch.state(A) is State.HEALTHY
        await advance_time(10)
        assert watch.checks(A) == [0, 65, 75]


@fake_time
async def test_a_check_under_way_does_not_end_a_hold() -> None:
    starting = HealthStatus(detail="It is starting.")
    network = FakeNetwork()
    network.script(A, health=delayed(0.2, HEALTHY))
    async with watching(A, network=network) as watch:
        await advance_time(0.1)
        watch.monitor.pause(A.id, starting)
        await advance_time(0.2)
        assert watch.monitor.status(A.id) == starting
        asked = watch.checks(A)
        assert await watch.monitor.check(A) == starting
        assert watch.checks(A) == asked


@fake_time
async def test_without_watching_only_what_is_asked_for_is_checked() -> None:
    async with watching(A, B, watch=False) as watch:
        await advance_time(60)
        assert watch.checks(A) == []
        assert (await watch.monitor.check(A)).state is State.HEALTHY
        assert (watch.checks(A), watch.checks(B)) == ([60], [])


@fake_time
async def test_all_that_are_asked_for_are_checked_side_by_side_up_to_a_bound() -> None:
    servers = [profile(number) for number in range(MAX_CONCURRENT_CHECKS + 2)]
    async with watching(*servers, watch=False) as watch:
        for server in servers:
            watch.network.script(server, health=delayed(0.2, HEALTHY))
        # The last one is gone before its turn comes.
        async with asyncio.TaskGroup() as group:
            group.create_task(watch.monitor.check_all(server.id for server in servers))
            await advance_time(0.1)
            watch.monitor.reconcile(servers[:-1], None)
        assert elapsed() == pytest.approx(0.4)
        assert [watch.checks(server) for server in servers[-3:]] == [[0.0], [0.2], []]
        assert {watch.state(server) for server in servers[:-1]} == {State.HEALTHY}


def answering_every_other_time(network: FakeNetwork, server: ServerProfile) -> None:
    network.script(server, health=[HEALTHY, failing_reply(Reason.TLS)] * 1000, path=no_reply())


@fake_time
async def test_a_check_of_a_server_that_answers_every_other_time_ends() -> None:
    # It is never good twice in a row, nor does it fail twice in a row.
    flapping = replace(A, health_check=HealthCheckSettings(rise=2, fall=2))
    network = FakeNetwork()
    answering_every_other_time(network, A)
    async with watching(flapping, network=network, watch=False) as watch, asyncio.timeout(600):
        assert (await watch.monitor.check(flapping)).state is State.UNKNOWN
        assert watch.checks(A) == [0, 0.5, 1]
        # The next ones begin where these ended.
        await watch.monitor.check_all([A.id])
        assert elapsed() == pytest.approx(2)


@fake_time
async def test_the_checks_that_settle_a_status_are_bounded_in_time_too() -> None:
    slow = replace(A, health_check=HealthCheckSettings(rise=10, fall=10, timeout=10))
    network = FakeNetwork()
    network.script(
        A, health=[delayed(9, HEALTHY), delayed(9, failing_reply(Reason.TLS))] * 9, path=no_reply()
    )
    async with watching(slow, network=network, watch=False) as watch, asyncio.timeout(600):
        await watch.monitor.check(slow)
        # After the first one, at 9 s, as many begin as fit into half a minute.
        assert elapsed() <= 9 + MAX_SETTLE_SECONDS + 9
        assert len(watch.checks(A)) == 5


@fake_time
async def test_the_failure_that_follows_a_long_timeout_counts() -> None:
    patient = replace(A, health_check=HealthCheckSettings(timeout=60))
    network = FakeNetwork()
    async with watching(patient, network=network, watch=False) as watch:
        assert (await watch.monitor.check(patient)).state is State.HEALTHY
        network.script(A, health=no_reply(), path=no_reply())
        await advance_time(1)
        assert (await watch.monitor.check(patient)).reason is Reason.TIMEOUT


@fake_time
async def test_a_server_that_never_settles_delays_no_other_ones_result() -> None:
    flapping = replace(A, health_check=HealthCheckSettings(rise=10, fall=10))
    network = FakeNetwork()
    answering_every_other_time(network, A)
    async with watching(flapping, B, network=network, watch=False) as watch, asyncio.timeout(600):
        await watch.monitor.check_all([A.id, B.id])
        assert watch.told(B) == [0]
        assert watch.state(B) is State.HEALTHY
        assert elapsed() == 5


@fake_time
async def test_servers_that_wait_for_their_next_check_take_up_no_place() -> None:
    careful = HealthCheckSettings(rise=10)
    rising = [profile(number, health_check=careful) for number in range(MAX_CONCURRENT_CHECKS)]
    last = profile(MAX_CONCURRENT_CHECKS)
    async with watching(*rising, last, watch=False) as watch:
        await watch.monitor.check_all(server.id for server in (*rising, last))
        assert watch.told(last) == [0]
        assert {watch.told(server)[-1] for server in rising} == {4.5}


@fake_time
async def test_each_server_is_checked_as_its_own_settings_say() -> None:
    often = replace(B, health_check=HealthCheckSettings(interval=4, timeout=1))
    seldom = replace(C, health_check=HealthCheckSettings(interval=300))
    network = FakeNetwork()
    network.script(B, health=no_reply(), path=no_reply())
    async with watching(A, often, seldom, network=network) as watch:
        await advance_time(21)
        assert watch.checks(A) == [0, 10, 20]
        assert watch.checks(B) == [0, 5, 10, 15, 20]
        assert watch.monitor.status(B.id).detail == "No answer within 1 s."
        await advance_time(600)
        assert watch.checks(C) == [0, 300, 600]
        # Not asked for five minutes, and still known.
        assert watch.state(seldom) is State.HEALTHY


@fake_time
async def test_new_settings_go_from_now_on_and_take_no_status_away() -> None:
    async with watching(A) as watch:
        await advance_time(12)
        often = replace(A, health_check=HealthCheckSettings(interval=2))
        watch.monitor.reconcile([often], None)
        assert watch.state(A) is State.HEALTHY
        await advance_time(4.5)
        assert watch.checks(A) == [0, 10, 14, 16]
        watch.monitor.reconcile([A], None)
        await advance_time(20)
        assert watch.checks(A) == [0, 10, 14, 16, 26.5]
        assert watch.told(A) == [0]


@fake_time
async def test_a_server_that_is_checked_seldom_is_not_checked_more_often_once_it_is_down() -> None:
    seldom = replace(A, health_check=HealthCheckSettings(interval=300))
    network = FakeNetwork()
    network.down(A)
    async with watching(seldom, network=network) as watch:
        await advance_time(1000)
        assert watch.checks(A) == [0, 300.3, 600.6, 900.9]


@fake_time
async def test_rise_and_fall_take_half_a_second_for_each_further_check() -> None:
    careful = replace(A, health_check=HealthCheckSettings(rise=2, fall=3))
    network = FakeNetwork()
    async with watching(careful, network=network) as watch:
        await advance_time(9)
        network.down(A)
        await advance_time(3)
        # Failed checks of 0.3 s, half a second apart, the first at 10.5: it rose at 0.5.
        assert watch.checks(A) == [0, 0.5, 10.5, 11.3]
        assert watch.state(A) is State.HEALTHY
        await advance_time(1)
        assert watch.state(A) is State.UNHEALTHY
        assert watch.told(A)[1:] == [0.5, 12.4]
        network.up(A)
        await advance_time(11)
        assert watch.state(A) is State.HEALTHY
        assert watch.told(A)[1:] == [0.5, 12.4, 22.9]
