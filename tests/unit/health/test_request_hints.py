"""Checks that follow from requests."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from codewalk.errors import RequestFailed
from codewalk.health.request_hints import SLOW_AFTER, RequestObserver
from codewalk.health.status import HealthStatus
from codewalk.reason import Reason, State
from codewalk.servers.profile import ServerProfile
from tests.fake_time import advance_time, elapsed, fake_time
from tests.fakes import (
    HEALTHY,
    FakeNetwork,
    Reply,
    delayed,
    failing_reply,
    html_reply,
    json_reply,
    profile,
)
from tests.unit.health.monitor_harness import MonitorHarness, run_monitor

A, B = profile(1), profile(2)
SESSION = "/session"


class ObservedRequests:
    """Requests to servers that are watched."""

    def __init__(self, running: MonitorHarness) -> None:
        self.running = running
        self._observer = RequestObserver(running.monitor)

    async def send(self, server: ServerProfile) -> Any:
        connection = self.running.network.of(server)
        observed = connection.with_call_context(lambda: self._observer.observe(server.id))
        return await observed.get_json(SESSION)

    def checks_since(self, server: ServerProfile, since: float) -> list[float]:
        return [
            round(at - since, 1) for at in self.running.check_times(server) if at > since - 0.05
        ]


@asynccontextmanager
async def observe_requests(
    *servers: ServerProfile, network: FakeNetwork | None = None
) -> AsyncIterator[ObservedRequests]:
    """Healthy servers, three seconds after they were checked."""
    async with run_monitor(*servers, network=network) as running:
        for server in servers:
            running.network.of(server).script[SESSION] = json_reply([])
        await advance_time(3)
        yield ObservedRequests(running)


@pytest.mark.parametrize("reason", [Reason.REFUSED, Reason.SERVER_ERROR, Reason.AUTH_REJECTED])
@fake_time
async def test_a_failed_request_leads_to_a_check_of_its_server_and_no_other(reason: Reason) -> None:
    async with observe_requests(A, B) as requests:
        requests.running.network.of(A).script[SESSION] = failing_reply(reason)
        with pytest.raises(RequestFailed):
            await requests.send(A)
        await advance_time(0.1)
        assert requests.checks_since(A, 3) == [0]
        assert requests.checks_since(B, 3) == []
        # The check is good, and a request that fails for its own sake makes nothing red.
        assert requests.running.states(A) == [State.HEALTHY]


@fake_time
async def test_a_response_that_is_not_opencodes_counts_as_a_failure() -> None:
    async with observe_requests(A) as requests:
        requests.running.network.of(A).script[SESSION] = html_reply()
        with pytest.raises(RequestFailed):
            await requests.send(A)
        await advance_time(0.1)
        assert requests.checks_since(A, 3) == [0]


@fake_time
async def test_failing_requests_lead_to_one_check_a_second() -> None:
    async with observe_requests(A) as requests:
        requests.running.network.of(A).script[SESSION] = failing_reply(Reason.SERVER_ERROR)
        for _ in range(100):
            with pytest.raises(RequestFailed):
                await requests.send(A)
            await advance_time(0.04)
        assert len(requests.checks_since(A, 3)) == 4


@fake_time
async def test_a_slow_request_leads_to_a_check_while_it_waits() -> None:
    async with observe_requests(A, B) as requests:
        requests.running.network.of(A).script[SESSION] = delayed(2.5, json_reply([]))
        requests.running.network.of(B).script[SESSION] = delayed(SLOW_AFTER - 0.1, json_reply([]))
        async with asyncio.TaskGroup() as group:
            for server in (A, B):
                group.create_task(requests.send(server), name="request")
        assert requests.checks_since(A, 3) == [SLOW_AFTER]
        assert requests.checks_since(B, 3) == []


@fake_time
async def test_a_hung_server_is_unhealthy_long_before_its_next_scheduled_check() -> None:
    async with observe_requests(A) as requests:
        network = requests.running.network
        network.down(A, Reason.TIMEOUT)
        network.of(A).script[SESSION] = delayed(60, json_reply([]))
        async with asyncio.TaskGroup() as group:
            sending = group.create_task(requests.send(A), name="request")
            await advance_time(SLOW_AFTER + 1)
            assert requests.running.state(A) is State.UNHEALTHY
            sending.cancel()


@fake_time
async def test_a_cancelled_request_leads_to_no_check() -> None:
    # As a switch does, while the answer is on its way.
    async with observe_requests(A) as requests:
        requests.running.network.of(A).script[SESSION] = delayed(0.9, json_reply([]))
        async with asyncio.TaskGroup() as group:
            sending = group.create_task(requests.send(A), name="request")
            await advance_time(0.5)
            sending.cancel()
        await advance_time(2)
        assert requests.checks_since(A, 3) == []


@fake_time
async def test_a_good_response_ends_suspicion() -> None:
    async with observe_requests(A) as requests:
        running = requests.running
        running.network.down(A, Reason.TIMEOUT)
        running.monitor.check_soon(A.id)
        await advance_time(0.2)
        assert running.monitor.status(A.id).suspect
        before = running.monitor.status(A.id)
        await requests.send(A)
        after = running.monitor.status(A.id)
        assert not after.suspect
        # What only a check measures stays as it was.
        assert (after.checked_at, after.latency_ms) == (before.checked_at, before.latency_ms)
        # The failure that follows is a first one again, the next is the second.
        await advance_time(0.5)
        assert running.monitor.status(A.id).suspect
        await advance_time(0.5)
        assert running.state(A) is State.UNHEALTHY


@fake_time
async def test_a_response_to_a_request_from_before_the_failure_ends_no_suspicion() -> None:
    # The race: the server went down right after it had answered.
    async with observe_requests(A) as requests:
        running = requests.running
        running.network.of(A).script[SESSION] = delayed(0.4, json_reply([]))
        async with asyncio.TaskGroup() as group:
            group.create_task(requests.send(A), name="request")
            await advance_time(0.1)
            running.network.down(A)
            running.monitor.report_link_failure(A.id)
        assert elapsed() == pytest.approx(3.4)
        await advance_time(0.1)
        assert running.state(A) is State.UNHEALTHY


@fake_time
async def test_a_good_response_of_an_unhealthy_server_leads_to_a_check() -> None:
    network = FakeNetwork()
    network.script(
        A, health=failing_reply(Reason.AUTH_REJECTED), path=failing_reply(Reason.AUTH_REJECTED)
    )
    async with observe_requests(A, network=network) as requests:
        assert requests.running.monitor.status(A.id).reason is Reason.AUTH_REJECTED
        await requests.send(A)
        await advance_time(0.1)
        assert requests.checks_since(A, 3) == [0]
        assert requests.running.monitor.status(A.id).reason is Reason.AUTH_REJECTED
        network.script(A, health=HEALTHY)
        await advance_time(1)
        await requests.send(A)
        await advance_time(0.1)
        assert requests.running.state(A) is State.HEALTHY


@fake_time
async def test_a_good_response_of_a_healthy_server_changes_nothing() -> None:
    async with observe_requests(A) as requests:
        before = requests.running.monitor.status(A.id)
        for _ in range(10):
            await requests.send(A)
        await advance_time(8)
        assert requests.running.check_times(A) == [0, 10]
        assert before.checked_at != requests.running.monitor.status(A.id).checked_at


@fake_time
async def test_a_response_of_a_removed_or_paused_server_changes_nothing() -> None:
    # The race: it was removed, or stopped, while it answered.
    async with observe_requests(A, B) as requests:
        running = requests.running
        running.monitor.pause(B.id, HealthStatus(detail="It is starting."))
        running.monitor.reconcile([B], None)
        for server in (A, B):
            await requests.send(server)
        await advance_time(1)
        assert running.monitor.status(A.id) == HealthStatus()
        assert running.monitor.status(B.id).detail == "It is starting."
        assert requests.checks_since(A, 3) == requests.checks_since(B, 3) == []


@fake_time
async def test_a_busy_response_to_a_request_lets_further_ones_wait_and_checks_nothing() -> None:
    async with observe_requests(A) as requests:
        monitor, connection = requests.running.monitor, requests.running.network.of(A)
        busy = RequestFailed(Reason.BUSY, "Too many.", status=429, retry_after=20.0)
        connection.script[SESSION] = Reply(failure=busy)
        asked = len(connection.requests)
        with pytest.raises(RequestFailed):
            await requests.send(A)
        await advance_time(5)
        assert len(connection.requests) == asked + 1
        with pytest.raises(RequestFailed, match="Too many"):
            await monitor.require_usable(A)
        await advance_time(15)
        await monitor.require_usable(A)
        assert monitor.state(A.id) is State.HEALTHY


@fake_time
async def test_an_edit_ends_the_wait_of_a_busy_server() -> None:
    async with observe_requests(A) as requests:
        monitor = requests.running.monitor
        failure = RequestFailed(Reason.BUSY, "Too many.", status=429, retry_after=20.0)
        monitor.report_busy(A.id, failure)
        edited = replace(A, url="http://other:4096")
        monitor.reconcile([edited], None)
        await monitor.require_usable(edited)
