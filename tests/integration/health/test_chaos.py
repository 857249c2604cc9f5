"""A server behind a network that fails in one way or another, and one beside it that is well."""

import asyncio
from collections.abc import AsyncIterator, Callable
from time import monotonic

import pytest

import codewalk
from codewalk.app.app import App
from codewalk.events import Event, Kind
from codewalk.reason import Reason, State
from codewalk.servers.draft import Change
from codewalk.settings import Settings
from tests.chaos import LATENCY, ChaosProxy, Fault
from tests.mock_opencode import MockOpenCode

SOON = 20.0
"""Seconds for anything here, on a machine that others use too."""

OFTEN = {"interval": 1.0, "timeout": 1.0}


class ObservedApp:
    """The running app, and the states and reasons of its servers as it announced them."""

    def __init__(self, app: App, events: "asyncio.Queue[Event]") -> None:
        self.app = app
        self._events = events
        self.announced: dict[str, list[tuple[State, Reason]]] = {"far": [], "near": []}

    def health(self, name: str) -> tuple[State, Reason]:
        health = self.app.server(name).health
        return health.state, health.reason

    async def until(self, true: Callable[[], bool]) -> float:
        """Return the seconds until `true` holds, tested with each event."""
        began = monotonic()
        async with asyncio.timeout(SOON):
            while not true():
                event = await self._events.get()
                for name, announced in self.announced.items():
                    if event.kind is Kind.HEALTH and event.server_id == self.app.server(name).id:
                        announced.append(self.health(name))
        return monotonic() - began

    async def until_red(self, reason: Reason) -> float:
        return await self.until(lambda: self.health("far") == (State.UNHEALTHY, reason))

    async def until_green(self) -> float:
        return await self.until(lambda: self.health("far") == (State.HEALTHY, Reason.OK))

    def neighbour_never_changed(self) -> bool:
        return set(self.announced["near"]) <= {(State.HEALTHY, Reason.OK)}


@pytest.fixture
async def server() -> AsyncIterator[MockOpenCode]:
    async with MockOpenCode() as server:
        yield server


@pytest.fixture
async def proxy(server: MockOpenCode) -> AsyncIterator[ChaosProxy]:
    async with ChaosProxy(server.port) as proxy:
        yield proxy


@pytest.fixture
async def observed(
    settings: Settings, server: MockOpenCode, proxy: ChaosProxy
) -> AsyncIterator[ObservedApp]:
    """A healthy server behind the proxy, with a live link, and one on its own."""
    async with MockOpenCode() as near, codewalk.open(settings, watch=True) as app:
        with app.announcer.listen() as events:
            for label, url in (("near", near.url), ("far", proxy.url)):
                await app.add_server(url, label=label, check=False)
                await app.edit_server(label, Change(health_check=OFTEN))
            observed = ObservedApp(app, events)
            await observed.until(lambda: observed.health("near")[0] is State.HEALTHY)
            await observed.until_green()
            for mock in (near, server):
                await asyncio.wait_for(mock.wait_for_requests("/global/event"), SOON)
            yield observed


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fault.RESET, Reason.UNREACHABLE),
        (Fault.CUT, Reason.UNREACHABLE),
        (Fault.BLACK_HOLE, Reason.TIMEOUT),
        (Fault.DRIPPING, Reason.TIMEOUT),
    ],
)
async def test_a_network_that_lets_nothing_through_makes_red_and_says_why_and_green_again(
    observed: ObservedApp, proxy: ChaosProxy, fault: Fault, reason: Reason
) -> None:
    proxy.fault = fault
    await observed.until_red(reason)
    assert observed.app.server("far").health.detail
    proxy.fault = Fault.NONE
    await observed.until_green()
    assert State.UNKNOWN not in {state for state, _ in observed.announced["far"][1:]}
    assert observed.neighbour_never_changed()


async def test_a_slow_network_is_no_failure(
    observed: ObservedApp, server: MockOpenCode, proxy: ChaosProxy
) -> None:
    proxy.fault = Fault.SLOW
    checks = server.count("/global/health")
    await asyncio.wait_for(server.wait_for_requests("/global/health", checks + 4), SOON)
    latency = observed.app.server("far").health.latency_ms
    assert latency is not None
    assert latency > LATENCY * 900
    assert {state for state, _ in observed.announced["far"]} <= {State.HEALTHY}


async def test_connections_that_died_without_a_word_are_replaced_and_nobody_is_red(
    observed: ObservedApp, server: MockOpenCode, proxy: ChaosProxy
) -> None:
    # As a router that was restarted does it: the next check hangs, and the one after it is well.
    opened, checks = proxy.opened, server.count("/global/health")
    proxy.fault = Fault.HALF_OPEN
    await asyncio.wait_for(server.wait_for_requests("/global/health", checks + 2), SOON)
    assert proxy.opened > opened
    assert observed.health("far") == (State.HEALTHY, Reason.OK)
    assert {state for state, _ in observed.announced["far"]} <= {State.HEALTHY}
    assert observed.neighbour_never_changed()


async def test_one_lost_connection_is_told_to_nobody(
    observed: ObservedApp, server: MockOpenCode, proxy: ChaosProxy
) -> None:
    checks = server.count("/global/health")
    for _ in range(2):
        proxy.reset_next(1)
        checks += 2
        await asyncio.wait_for(server.wait_for_requests("/global/health", checks), SOON)
    assert {state for state, _ in observed.announced["far"]} <= {State.HEALTHY}


async def test_the_link_is_opened_again_after_the_network_was_gone(
    observed: ObservedApp, server: MockOpenCode, proxy: ChaosProxy
) -> None:
    links = server.count("/global/event")
    proxy.fault = Fault.RESET
    await observed.until_red(Reason.UNREACHABLE)
    assert server.count("/global/event") == links
    proxy.fault = Fault.NONE
    await observed.until_green()
    await asyncio.wait_for(server.wait_for_requests("/global/event", links + 1), SOON)
