"""Failures of this machine's network, and failures of a server."""

from collections.abc import Callable

import pytest

from codewalk.health.checker import Checker
from codewalk.reason import TRANSPORT_FAILURES, Reason, State
from tests.fake_time import advance_time, elapsed, fake_time
from tests.fakes import FakeNetwork, html_reply, profile
from tests.unit.health.monitor_harness import run_monitor

A, B = profile(1), profile(2)
HERE = profile(3, url="http://127.0.0.1:4096")


def checking(network: FakeNetwork, *, route: Callable[[str], bool]) -> Checker:
    return Checker(network.connect, route=route, clock=elapsed)


@pytest.mark.parametrize("reason", [Reason.TIMEOUT, Reason.DNS, Reason.UNREACHABLE])
@fake_time
async def test_without_a_route_a_server_that_cannot_be_reached_is_offline(reason: Reason) -> None:
    network = FakeNetwork()
    network.down(A, reason)
    asked: list[str] = []

    def route(url: str) -> bool:
        asked.append(url)
        return False

    async with checking(network, route=route) as checker:
        assert (await checker.check(A)).reason is Reason.OFFLINE
    assert asked == [A.url]


@pytest.mark.parametrize("reason", sorted(TRANSPORT_FAILURES))
@fake_time
async def test_with_a_route_a_failure_is_the_servers(reason: Reason) -> None:
    network = FakeNetwork()
    network.down(A, reason)
    async with checking(network, route=lambda _: True) as checker:
        assert (await checker.check(A)).reason is reason


@pytest.mark.parametrize("reason", sorted(TRANSPORT_FAILURES))
@fake_time
async def test_a_server_on_this_machine_is_never_offline(reason: Reason) -> None:
    network = FakeNetwork()
    network.down(HERE, reason)
    async with checking(network, route=lambda _: False) as checker:
        assert (await checker.check(HERE)).reason is reason


@pytest.mark.parametrize("reason", [Reason.REFUSED, Reason.TLS])
@fake_time
async def test_a_server_that_was_reached_is_not_offline(reason: Reason) -> None:
    # A name that /etc/hosts knows, on a network without a way out: something there answered.
    network = FakeNetwork()
    network.down(A, reason)
    async with checking(network, route=lambda _: False) as checker:
        assert (await checker.check(A)).reason is reason


@fake_time
async def test_an_http_response_is_never_offline() -> None:
    network = FakeNetwork()
    network.script(A, health=html_reply(), path=html_reply())
    async with checking(network, route=lambda _: False) as checker:
        assert (await checker.check(A)).reason is Reason.NOT_OPENCODE


@fake_time
async def test_servers_are_checked_at_once_when_the_network_is_back() -> None:
    network, routed = FakeNetwork(), True
    for server in (A, B):
        network.up(server)
    async with run_monitor(A, B, HERE, network=network, route=lambda _: routed) as running:
        await advance_time(25)
        routed = False
        for server in (A, B):
            network.down(server, Reason.UNREACHABLE)
        await advance_time(12)
        assert {running.monitor.status(s.id).reason for s in (A, B)} == {Reason.OFFLINE}
        assert {running.state(s) for s in (A, B)} == {State.UNKNOWN}
        assert running.state(HERE) is State.HEALTHY
        here = len(running.check_times(HERE))
        await advance_time(7.6)
        routed = True
        for server in (A, B):
            network.up(server)
        back = elapsed()
        await advance_time(1.1)
        for server in (A, B):
            assert running.states(server) == [State.HEALTHY, State.UNKNOWN, State.HEALTHY]
            assert running.change_times(server)[-1] - back <= 1
        # The one that was never away isn't asked more often for that.
        assert len(running.check_times(HERE)) - here <= 1


@fake_time
async def test_an_incomplete_network_that_comes_back_makes_no_server_unhealthy() -> None:
    network, routed = FakeNetwork(), True
    async with run_monitor(A, network=network, route=lambda _: routed) as running:
        await advance_time(15)
        routed = False
        network.down(A, Reason.UNREACHABLE)
        await advance_time(20)
        # The route is back, and the name server not yet.
        routed = True
        network.down(A, Reason.DNS)
        asked = len(network.of(A).requests)
        while len(network.of(A).requests) < asked + 3:
            await advance_time(0.05)
        network.up(A)
        await advance_time(1.2)
        assert running.states(A) == [State.HEALTHY, State.UNKNOWN, State.HEALTHY]


@fake_time
async def test_a_network_outage_makes_no_server_unhealthy() -> None:
    network, routed = FakeNetwork(), True
    async with run_monitor(A, B, network=network, route=lambda _: routed) as running:
        await advance_time(15)
        routed = False
        for server in (A, B):
            network.down(server, Reason.TIMEOUT)
        await advance_time(60)
        for server in (A, B):
            assert running.states(server) == [State.HEALTHY, State.UNKNOWN]
            # Checked no more often than others: looking up the routes costs less.
            assert len([at for at in running.check_times(server) if at > 20]) <= 6
