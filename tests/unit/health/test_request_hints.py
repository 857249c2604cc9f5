"""What real requests tell of their servers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
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
    delayed,
    failing_reply,
    html_reply,
    json_reply,
    profile,
)
from tests.unit.health.watching import Watch, watching

A, B = profile(1), profile(2)
SESSION = "/session"


class Heard:
    """Requests to servers that are watched."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self._observer = RequestObserver(watch.monitor)

    async def ask(self, server: ServerProfile) -> Any:
        connection = self.watch.network.of(server)
        heard = connection.with_call_context(lambda: self._observer.observe(server.id))
        return await heard.get_json(SESSION)

    def checks_since(self, server: ServerProfile, since: float) -> list[float]:
        return [round(at - since, 1) for at in self.watch.checks(server) if at > since - 0.05]


@asynccontextmanager
async def hearing(
    *servers: ServerProfile, network: FakeNetwork | None = None
) -> AsyncIterator[Heard]:
    """Healthy servers, three seconds after they were checked."""
    async with watching(*servers, network=network) as watch:
        for server in servers:
            watch.network.of(server).script[SESSION] = json_reply([])
        await advance_time(3)
        yield Heard(watch)


@pytest.mark.parametrize("reason", [Reason.REFUSED, Reason.SERVER_ERROR, Reason.AUTH_REJECTED])
@fake_time
async def test_a_failed_request_has_its_server_checked_at_once_and_no_other(reason: Reason) -> None:
    async with hearing(A, B) as heard:
        heard.watch.network.of(A).script[SESSION] = failing_reply(reason)
        with pytest.raises(RequestFailed):
            await heard.ask(A)
        await advance_time(0.1)
        assert heard.checks_since(A, 3) == [0]
        assert heard.checks_since(B, 3) == []
        # The check is good, and a request that fails for its own sake makes nothing red.
        assert heard.watch.states(A) == [State.HEALTHY]


@fake_time
async def test_an_answer_that_is_none_of_opencode_counts_as_a_failure() -> None:
    async with hearing(A) as heard:
        heard.watch.network.of(A).script[SESSION] = html_reply()
        with pytest.raises(RequestFailed):
            await heard.ask(A)
        await advance_time(0.1)
        assert heard.checks_since(A, 3) == [0]


@fake_time
async def test_requests_that_fail_again_and_again_lead_to_a_check_a_second() -> None:
    async with hearing(A) as heard:
        heard.watch.network.of(A).script[SESSION] = failing_reply(Reason.SERVER_ERROR)
        for _ in range(100):
            with pytest.raises(RequestFailed):
                await heard.ask(A)
            await advance_time(0.04)
        assert len(heard.checks_since(A, 3)) == 4


@fake_time
async def test_a_slow_request_has_its_server_checked_while_it_waits() -> None:
    async with hearing(A, B) as heard:
        heard.watch.network.of(A).script[SESSION] = delayed(2.5, json_reply([]))
        heard.watch.network.of(B).script[SESSION] = delayed(SLOW_AFTER - 0.1, json_reply([]))
        async with asyncio.TaskGroup() as group:
            for server in (A, B):
                group.create_task(heard.ask(server), name="ask")
        assert heard.checks_since(A, 3) == [SLOW_AFTER]
        assert heard.checks_since(B, 3) == []


@fake_time
async def test_a_hung_server_is_red_long_before_its_next_check_by_the_clock() -> None:
    async with hearing(A) as heard:
        network = heard.watch.network
        network.down(A, Reason.TIMEOUT)
        network.of(A).script[SESSION] = delayed(60, json_reply([]))
        async with asyncio.TaskGroup() as group:
            asking = group.create_task(heard.ask(A), name="ask")
            await advance_time(SLOW_AFTER + 1)
            assert heard.watch.state(A) is State.UNHEALTHY
            asking.cancel()


@fake_time
async def test_a_cancelled_request_tells_nothing() -> None:
    # As a switch does, while the answer is on its way.
    async with hearing(A) as heard:
        heard.watch.network.of(A).script[SESSION] = delayed(0.9, json_reply([]))
        async with asyncio.TaskGroup() as group:
            asking = group.create_task(heard.ask(A), name="ask")
            await advance_time(0.5)
            asking.cancel()
        await advance_time(2)
        assert heard.checks_since(A, 3) == []


@fake_time
async def test_a_good_answer_ends_suspicion() -> None:
    async with hearing(A) as heard:
        watch = heard.watch
        watch.network.down(A, Reason.TIMEOUT)
        watch.monitor.check_soon(A.id)
        await advance_time(0.2)
        assert watch.monitor.status(A.id).suspect
        before = watch.monitor.status(A.id)
        await heard.ask(A)
        after = watch.monitor.status(A.id)
        assert not after.suspect
        # What only a check can tell stays as one found it.
        assert (after.checked_at, after.latency_ms) == (before.checked_at, before.latency_ms)
        # The failure that follows is a first one again, the next is the second.
        await advance_time(0.5)
        assert watch.monitor.status(A.id).suspect
        await advance_time(0.5)
        assert watch.state(A) is State.UNHEALTHY


@fake_time
async def test_an_answer_to_what_was_asked_before_the_failure_forgives_nothing() -> None:
    # The race: the server went down right after it had answered.
    async with hearing(A) as heard:
        watch = heard.watch
        watch.network.of(A).script[SESSION] = delayed(0.4, json_reply([]))
        async with asyncio.TaskGroup() as group:
            group.create_task(heard.ask(A), name="ask")
            await advance_time(0.1)
            watch.network.down(A)
            watch.monitor.report_link_failure(A.id)
        assert elapsed() == pytest.approx(3.4)
        await advance_time(0.1)
        assert watch.state(A) is State.UNHEALTHY


@fake_time
async def test_a_good_answer_of_a_red_server_has_it_checked_and_makes_nothing_green() -> None:
    network = FakeNetwork()
    network.script(
        A, health=failing_reply(Reason.AUTH_REJECTED), path=failing_reply(Reason.AUTH_REJECTED)
    )
    async with hearing(A, network=network) as heard:
        assert heard.watch.monitor.status(A.id).reason is Reason.AUTH_REJECTED
        await heard.ask(A)
        await advance_time(0.1)
        assert heard.checks_since(A, 3) == [0]
        assert heard.watch.monitor.status(A.id).reason is Reason.AUTH_REJECTED
        network.script(A, health=HEALTHY)
        await advance_time(1)
        await heard.ask(A)
        await advance_time(0.1)
        assert heard.watch.state(A) is State.HEALTHY


@fake_time
async def test_a_good_answer_of_a_healthy_server_changes_nothing() -> None:
    async with hearing(A) as heard:
        before = heard.watch.monitor.status(A.id)
        for _ in range(10):
            await heard.ask(A)
        await advance_time(8)
        assert heard.watch.checks(A) == [0, 10]
        assert before.checked_at != heard.watch.monitor.status(A.id).checked_at


@fake_time
async def test_an_answer_of_a_server_that_is_gone_or_on_hold_is_nobodys() -> None:
    # The race: it was removed, or stopped, while it answered.
    async with hearing(A, B) as heard:
        watch = heard.watch
        watch.monitor.pause(B.id, HealthStatus(detail="It is starting."))
        watch.monitor.reconcile([B], None)
        for server in (A, B):
            await heard.ask(server)
        await advance_time(1)
        assert watch.monitor.status(A.id) == HealthStatus()
        assert watch.monitor.status(B.id).detail == "It is starting."
        assert heard.checks_since(A, 3) == heard.checks_since(B, 3) == []
