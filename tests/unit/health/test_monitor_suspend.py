"""A sleep, a stopped process, a clock that is set: one round of checks and no false alarm."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from codewalk.health.suspend import RECHECK_SPREAD
from codewalk.reason import Reason, State
from codewalk.servers.health_check import HealthCheckSettings
from codewalk.servers.profile import ServerProfile
from tests.fake_time import advance_time, elapsed, fake_time, freeze
from tests.fakes import FakeNetwork, delayed, failing_reply, html_reply, no_reply, profile, utc_now
from tests.unit.health.monitor_harness import MonitorHarness, run_monitor

A, B, C = profile(1), profile(2), profile(3)
MANY = [profile(number) for number in range(1, 101)]
NIGHT = 8 * 3600.0


class Machine:
    """A machine that can sleep; `woken` holds when that was noticed."""

    def __init__(self) -> None:
        self.ahead = 0.0
        self.woken: list[float] = []

    def now(self) -> datetime:
        return utc_now() + timedelta(seconds=self.ahead)

    def wake(self) -> None:
        self.woken.append(elapsed())

    def sleep(self) -> None:
        """As Linux and macOS do: the monotonic clock stands still, the wall clock doesn't."""
        self.ahead += NIGHT

    def stop(self) -> None:
        """As a stopped process, a frozen virtual machine, or Windows: both detector go on."""
        freeze(NIGHT)

    def set_back(self) -> None:
        """As somebody who sets the clock."""
        self.ahead -= 3600


WAYS = pytest.mark.parametrize("way", [Machine.sleep, Machine.stop, Machine.set_back])
SLEEPS = pytest.mark.parametrize("way", [Machine.sleep, Machine.stop])
Way = Callable[[Machine], None]


def check_times_since(running: MonitorHarness, server: ServerProfile, since: float) -> list[float]:
    """When this server's checks began, in seconds after `since`; retries don't count."""
    return [round(at - since, 2) for at in running.check_times(server) if at >= since]


@WAYS
@fake_time
async def test_all_servers_are_checked_once_within_two_seconds_after_a_suspend(way: Way) -> None:
    machine = Machine()
    async with run_monitor(
        *MANY, active=MANY[70], now=machine.now, on_resume=machine.wake
    ) as running:
        await advance_time(25)
        way(machine)
        await advance_time(1)  # it is noticed within that
        (woken,) = machine.woken
        await advance_time(RECHECK_SPREAD + 0.1)
        begun = [check_times_since(running, server, woken - 0.05) for server in MANY]
        assert [len(each) for each in begun] == [1] * len(MANY)
        first = [each[0] for each in begun]
        for tenth in range(20):
            assert sum(tenth / 10 <= at < (tenth + 1) / 10 for at in first) <= 11
        assert begun[70][0] <= 0.1  # the active one
        assert max(first) > RECHECK_SPREAD * 0.9
        await advance_time(30)
        assert len(machine.woken) == 1
        assert len(check_times_since(running, MANY[0], woken)) == 4


@SLEEPS
@fake_time
async def test_a_check_in_flight_during_a_suspend_does_not_count(way: Way) -> None:
    # The race: its time ran out while nobody could have answered.
    machine, network = Machine(), FakeNetwork()
    async with run_monitor(A, B, network=network, now=machine.now) as running:
        await advance_time(9)
        for server in (A, B):
            network.script(server, health=no_reply(), path=no_reply())
        await advance_time(1.5)
        assert network.of(A).in_flight > 0
        way(machine)
        for server in (A, B):
            network.up(server)
        await advance_time(RECHECK_SPREAD + 1)
        assert running.state(A) is running.state(B) is State.HEALTHY
        assert {*running.states(A), *running.states(B)} == {State.HEALTHY}
        assert network.of(A).in_flight == 0


@SLEEPS
@fake_time
async def test_a_network_that_comes_back_late_makes_no_server_unhealthy(way: Way) -> None:
    machine, network = Machine(), FakeNetwork()
    async with run_monitor(A, network=network, now=machine.now, on_resume=machine.wake) as running:
        await advance_time(25)
        network.down(A, Reason.UNREACHABLE)
        way(machine)
        asked = len(network.of(A).requests)
        while len(network.of(A).requests) < asked + 3:  # one check, with its retries
            await advance_time(0.05)
        network.up(A)
        await advance_time(15)
        assert State.UNHEALTHY not in running.states(A)
        assert running.state(A) is State.HEALTHY


@SLEEPS
@fake_time
async def test_a_server_that_is_down_after_a_suspend_is_unhealthy_after_its_second_failure(
    way: Way,
) -> None:
    machine, network = Machine(), FakeNetwork()
    async with run_monitor(A, network=network, now=machine.now, on_resume=machine.wake) as running:
        await advance_time(25)
        network.down(A)
        way(machine)
        await advance_time(1)
        # Failed checks of 0.3 s, half a second apart: the first counts as none.
        await advance_time(2.5)
        assert running.monitor.status(A.id).reason is Reason.REFUSED
        assert running.change_times(A)[-1] - machine.woken[0] < 2.5


@fake_time
async def test_an_http_response_counts_after_a_suspend_too() -> None:
    machine, network = Machine(), FakeNetwork()
    async with run_monitor(A, network=network, now=machine.now) as running:
        await advance_time(25)
        network.script(A, health=html_reply(), path=html_reply())
        machine.sleep()
        await advance_time(1.1)
        assert running.monitor.status(A.id).reason is Reason.NOT_OPENCODE


@fake_time
async def test_a_check_that_ended_with_the_suspend_does_not_count() -> None:
    # The race: it had ended when the sleep was noticed, and wasn't looked at yet. Counted, it would
    # use up the one failure that each server has free, which the next check needs.
    machine, network = Machine(), FakeNetwork()
    strict = replace(A, health_check=HealthCheckSettings(fall=1))
    async with run_monitor(
        strict, network=network, now=machine.now, on_resume=machine.wake
    ) as running:
        await advance_time(9.5)
        network.script(A, health=delayed(0.05, failing_reply(Reason.TLS)))
        asked = network.of(A).requests
        while len(asked) < 2:
            await advance_time(0.01)
        asyncio.get_running_loop().call_at(asked[-1][1] + 0.05, machine.stop)
        while len(asked) < 3:
            await advance_time(0.01)
        await advance_time(0.1)
        network.up(A)
        await advance_time(3)
        assert len(machine.woken) == 1
        assert {*running.states(A)} == {State.HEALTHY}


@fake_time
async def test_a_link_that_a_suspend_broke_is_no_failure_of_its_server() -> None:
    machine, network = Machine(), FakeNetwork()
    async with run_monitor(A, network=network, now=machine.now, on_resume=machine.wake) as running:
        await advance_time(25)
        machine.ahead += 60
        network.down(A)
        while not machine.woken:
            await advance_time(0.01)
        running.monitor.report_link_failure(A.id)
        assert running.monitor.status(A.id).failures == 0


@fake_time
async def test_a_check_that_is_asked_for_after_a_suspend_is_settled() -> None:
    machine, network = Machine(), FakeNetwork()
    async with run_monitor(A, network=network, now=machine.now, on_resume=machine.wake) as running:
        await advance_time(25)
        machine.sleep()
        network.down(A)
        while not machine.woken:
            await advance_time(0.01)
        status = await running.monitor.check(A)
        assert (status.state, status.reason) == (State.UNHEALTHY, Reason.REFUSED)


@fake_time
async def test_a_result_from_before_a_suspend_is_not_reused() -> None:
    machine, last = Machine(), MANY[-1]
    async with run_monitor(*MANY, now=machine.now, on_resume=machine.wake) as running:
        await advance_time(25.7)
        await running.monitor.check(last)
        machine.sleep()
        while not machine.woken:
            await advance_time(0.01)
        asked = len(running.network.of(last).requests)
        await running.monitor.check(last)
        assert len(running.network.of(last).requests) == asked + 1


@fake_time
async def test_a_paused_server_stays_paused_after_a_suspend() -> None:
    machine = Machine()
    async with run_monitor(A, B, now=machine.now) as running:
        await advance_time(5)
        running.monitor.pause(A.id)
        machine.sleep()
        await advance_time(30)
        assert running.check_times(A) == [0]
        assert len(running.check_times(B)) > 2


@fake_time
async def test_a_busy_second_is_no_suspend() -> None:
    machine = Machine()
    async with run_monitor(A, now=machine.now, on_resume=machine.wake) as running:
        for _ in range(20):
            await advance_time(1.3)
            freeze(1.5)
        assert machine.woken == []
        assert running.change_times(A) == [0]
