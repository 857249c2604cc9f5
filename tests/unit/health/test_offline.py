"""Whose fault it is that a server can't be reached."""

from collections.abc import Callable

import pytest

from codewalk.health.checker import Checker
from codewalk.health.status import TRANSPORT, Reason
from tests.fake_time import elapsed, fake_time
from tests.fakes import Network, page, profile

A = profile(1)
HERE = profile(3, url="http://127.0.0.1:4096")


def checking(network: Network, *, route: Callable[[str], bool]) -> Checker:
    return Checker(network.connect, route=route, clock=elapsed)


@pytest.mark.parametrize("reason", [Reason.TIMEOUT, Reason.DNS, Reason.UNREACHABLE])
@fake_time
async def test_without_a_route_a_server_that_cannot_be_reached_is_offline(reason: Reason) -> None:
    network = Network()
    network.down(A, reason)
    asked: list[str] = []

    def route(url: str) -> bool:
        asked.append(url)
        return False

    async with checking(network, route=route) as checker:
        assert (await checker.check(A)).reason is Reason.OFFLINE
    assert asked == [A.url]


@pytest.mark.parametrize("reason", sorted(TRANSPORT))
@fake_time
async def test_with_a_route_it_is_the_servers_fault(reason: Reason) -> None:
    network = Network()
    network.down(A, reason)
    async with checking(network, route=lambda _: True) as checker:
        assert (await checker.check(A)).reason is reason


@pytest.mark.parametrize("reason", sorted(TRANSPORT))
@fake_time
async def test_a_server_on_this_machine_is_never_offline(reason: Reason) -> None:
    network = Network()
    network.down(HERE, reason)
    async with checking(network, route=lambda _: False) as checker:
        assert (await checker.check(HERE)).reason is reason


@pytest.mark.parametrize("reason", [Reason.REFUSED, Reason.TLS])
@fake_time
async def test_who_was_refused_has_a_network(reason: Reason) -> None:
    # A name that /etc/hosts knows, on a network without a way out: something there answered.
    network = Network()
    network.down(A, reason)
    async with checking(network, route=lambda _: False) as checker:
        assert (await checker.check(A)).reason is reason


@fake_time
async def test_a_definite_answer_is_never_offline() -> None:
    network = Network()
    network.script(A, health=page(), path=page())
    async with checking(network, route=lambda _: False) as checker:
        assert (await checker.check(A)).reason is Reason.NOT_OPENCODE
