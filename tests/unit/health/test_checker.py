"""The check that the monitor, the Test button and the command line share."""

import asyncio
import logging
from dataclasses import replace

import pytest

from codewalk.errors import StorageError
from codewalk.health.checker import (
    PATH_ONLY_SECONDS,
    RESULT_MAX_AGE,
    STARTUP_CHECK_TIMEOUT,
    STARTUP_SECONDS,
    Checker,
)
from codewalk.health.status import CheckResult, HealthStatus
from codewalk.opencode.connection import Connection
from codewalk.reason import Reason, State
from codewalk.servers.profile import ServerProfile
from tests.fake_time import advance_time, elapsed, fake_time, freeze
from tests.fakes import (
    HEALTHY,
    PATH,
    FakeNetwork,
    delayed,
    failing_reply,
    no_reply,
    profile,
    text_reply,
)

A, B = profile(1), profile(2)


def checking(network: FakeNetwork) -> Checker:
    return Checker(network.connect, route=lambda _: True, clock=elapsed)


@fake_time
async def test_concurrent_checks_of_one_server_are_one_check() -> None:
    network = FakeNetwork()
    connection = network.script(A, health=delayed(0.2, HEALTHY))
    async with checking(network) as checker:
        results = await asyncio.gather(*(checker.check(A) for _ in range(20)))
    assert connection.paths == ["/global/health"]
    assert all(result is results[0] for result in results)


@fake_time
async def test_checks_of_different_servers_run_side_by_side() -> None:
    network = FakeNetwork()
    network.script(A, health=no_reply(), path=no_reply())
    network.script(B, health=delayed(0.2, HEALTHY))
    async with checking(network) as checker, asyncio.TaskGroup() as group:
        black_hole = group.create_task(checker.check(A), name="black hole")
        assert (await checker.check(B)).ok
        assert elapsed() == pytest.approx(0.2)
        assert not black_hole.done()


@fake_time
async def test_a_result_is_reused_for_750_ms_from_its_end() -> None:
    network = FakeNetwork()
    connection = network.script(A, health=delayed(0.2, HEALTHY))
    async with checking(network) as checker:
        first = await checker.check(A)
        await advance_time(RESULT_MAX_AGE - 0.01)
        assert await checker.check(A) is first
        await advance_time(0.02)
        assert await checker.check(A) is not first
    assert len(connection.requests) == 2


@fake_time
async def test_a_fresh_check_reuses_no_result_but_joins_the_check_in_flight() -> None:
    network = FakeNetwork()
    connection = network.script(A, health=delayed(0.2, HEALTHY))
    async with checking(network) as checker:
        first = await checker.check(A)
        second, third = await asyncio.gather(
            checker.check(A, fresh=True), checker.check(A, fresh=True)
        )
    assert second is third
    assert second is not first
    assert len(connection.requests) == 2


@fake_time
async def test_a_cancelled_waiter_does_not_cancel_the_check() -> None:
    network = FakeNetwork()
    connection = network.script(A, health=delayed(0.2, HEALTHY))
    async with checking(network) as checker, asyncio.TaskGroup() as group:
        patient = group.create_task(checker.check(A), name="patient")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await checker.check(A)
        assert (await patient).ok
    assert len(connection.requests) == 1


@fake_time
async def test_a_check_goes_on_after_its_only_waiter_was_cancelled() -> None:
    network = FakeNetwork()
    network.script(A, health=delayed(0.2, HEALTHY))
    async with checking(network) as checker:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await checker.check(A)
        await advance_time(0.2)
        assert (await checker.check(A)).ok
        assert elapsed() == pytest.approx(0.3)


@fake_time
async def test_forgetting_a_server_cancels_its_check_and_releases_its_waiters() -> None:
    network = FakeNetwork()
    connection = network.script(A, health=no_reply(), path=no_reply())
    async with checking(network) as checker, asyncio.TaskGroup() as group:
        waiting = [group.create_task(checker.check(A), name="waiter") for _ in range(2)]
        await advance_time(0.1)
        checker.forget(A.id)
        for waiter in waiting:
            assert (await waiter).reason is Reason.UNCHECKED
        assert elapsed() == pytest.approx(0.1)
        assert connection.in_flight == 0


@fake_time
async def test_a_forgotten_server_is_checked_again_when_asked_for() -> None:
    network = FakeNetwork()
    async with checking(network) as checker:
        await checker.check(A)
        checker.forget(A.id)
        checker.forget("nobody")
        await checker.check(A)
    assert len(network.of(A).requests) == 2


@fake_time
async def test_a_check_that_begins_while_a_forgotten_one_ends_counts() -> None:
    network = FakeNetwork()
    network.script(A, health=[no_reply(), HEALTHY], path=no_reply())
    async with checking(network) as checker, asyncio.TaskGroup() as group:
        old = group.create_task(checker.check(A), name="old")
        await advance_time(0.1)
        checker.forget(A.id)
        new = await checker.check(A)
        assert new.ok
        assert (await old).reason is Reason.UNCHECKED
        assert await checker.check(A) is new


@fake_time
async def test_a_longer_budget_starts_a_check_of_its_own() -> None:
    network = FakeNetwork()
    network.script(A, health=delayed(2, HEALTHY), path=no_reply())
    async with checking(network) as checker:
        hasty, patient = await asyncio.gather(
            checker.check(A, budget=0.5), checker.check(A, budget=5)
        )
    assert (hasty.reason, patient.reason) == (Reason.TIMEOUT, Reason.OK)


@fake_time
async def test_forgetting_a_server_cancels_checks_of_every_budget() -> None:
    network = FakeNetwork()
    connection = network.script(A, health=no_reply(), path=no_reply())
    async with checking(network) as checker, asyncio.TaskGroup() as group:
        for budget in (1.0, 2.0, 3.0):
            group.create_task(checker.check(A, budget=budget), name=f"{budget} s")
        await advance_time(0.1)
        checker.forget(A.id)
    assert elapsed() == pytest.approx(0.1)
    assert connection.in_flight == 0


@fake_time
async def test_closing_cancels_every_check_also_of_a_server_that_was_renamed() -> None:
    network = FakeNetwork()
    for server in (A, B):
        network.script(server, health=no_reply(), path=no_reply())
    async with checking(network) as checker:
        begun = [checker.start(server) for server in (A, replace(A, label="Renamed"), B)]
        await advance_time(0.1)
    assert elapsed() == pytest.approx(0.1)
    assert all(task.cancelled() for task in begun)
    assert network.of(A).in_flight == network.of(B).in_flight == 0


@fake_time
async def test_an_edited_server_gets_a_check_of_its_own() -> None:
    network = FakeNetwork()
    async with checking(network) as checker:
        await checker.check(A)
        await checker.check(replace(A))
        assert len(network.connected) == 1
        await checker.check(replace(A, url="http://elsewhere"))
        assert len(network.connected) == 2


@fake_time
async def test_an_unforeseen_error_is_logged_and_fails_only_its_own_check(
    caplog: pytest.LogCaptureFixture,
) -> None:
    network = FakeNetwork()

    async def connect(server: ServerProfile) -> Connection:
        if server == A:
            raise ZeroDivisionError
        return await network.connect(server)

    async with Checker(connect, route=lambda _: True, clock=elapsed) as checker:
        broken, well = await asyncio.gather(checker.check(A), checker.check(B))
    assert (broken.reason, well.reason) == (Reason.NOT_OPENCODE, Reason.OK)
    assert broken.detail
    [record] = caplog.records
    assert record.levelno == logging.ERROR
    assert A.id in record.getMessage()


@fake_time
async def test_an_unreadable_password_gives_auth_required() -> None:
    async def connect(server: ServerProfile) -> Connection:
        raise StorageError("Stored under another key.")

    async with Checker(connect, route=lambda _: True, clock=elapsed) as checker:
        result = await checker.check(A)
    assert result == CheckResult(reason=Reason.AUTH_REQUIRED, detail="Stored under another key.")


@fake_time
async def test_unlocking_a_password_counts_within_the_budget() -> None:
    network = FakeNetwork()
    network.script(A, health=no_reply(), path=no_reply())

    async def connect(server: ServerProfile) -> Connection:
        await asyncio.sleep(1.25)
        return await network.connect(server)

    async with Checker(connect, route=lambda _: True, clock=elapsed) as checker:
        result = await checker.check(A, budget=3.0)
    assert elapsed() == pytest.approx(3.0)
    assert result == CheckResult(reason=Reason.TIMEOUT, detail="No answer within 3 s.")


@pytest.mark.parametrize("budget", [0.1, 3.0])
def test_a_password_that_is_not_unlocked_within_the_budget_ends_the_check(budget: float) -> None:
    @fake_time
    async def run() -> None:
        network = FakeNetwork(gate=asyncio.Event())
        async with checking(network) as checker:
            result = await checker.check(A, budget=budget)
        assert elapsed() == pytest.approx(budget)
        assert result.reason is Reason.AUTH_REQUIRED
        assert result.detail == (
            "The key for stored passwords can't be read: the system keyring hasn't answered "
            f"within {budget:g} s. Unlock it and try again, or set CODEWALK_SECRET_KEY."
        )

    run()


@fake_time
async def test_a_password_is_unlocked_again_where_this_process_was_late() -> None:
    network, delays = FakeNetwork(), [0.2, 0.0]

    async def connect(server: ServerProfile) -> Connection:
        # As the import of the HTTP client does, which the first connection needs.
        freeze(delays.pop(0))
        await asyncio.sleep(0.01)
        return await network.connect(server)

    async with Checker(connect, route=lambda _: True, clock=elapsed) as checker:
        assert (await checker.check(A, budget=0.1)).ok
    assert delays == []


@fake_time
async def test_a_server_that_is_starting_waits_for_its_password_as_long_as_for_its_response() -> (
    None
):
    network = FakeNetwork()
    network.down(A)
    async with checking(network) as checker:
        await checker.check(A)
        network.gate = asyncio.Event()
        began = elapsed()
        result = await checker.check(A, fresh=True, status=HealthStatus(state=State.UNHEALTHY))
        assert elapsed() - began == pytest.approx(STARTUP_CHECK_TIMEOUT)
        assert result.reason is Reason.AUTH_REQUIRED


@fake_time
async def test_a_fault_of_the_route_lookup_fails_only_its_own_check(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def route(url: str) -> bool:
        raise KeyError("unforeseen")

    network = FakeNetwork()
    network.down(A, Reason.UNREACHABLE)
    async with Checker(network.connect, route=route, clock=elapsed) as checker:
        broken, well = await asyncio.gather(checker.check(A), checker.check(B))
    assert (broken.reason, well.reason) == (Reason.NOT_OPENCODE, Reason.OK)
    [record] = caplog.records
    assert A.id in record.getMessage()


@fake_time
async def test_a_path_only_server_gets_no_health_request_for_a_while() -> None:
    network = FakeNetwork()
    connection = network.script(A, health=text_reply(404), path=PATH)
    async with checking(network) as checker:
        await checker.check(A)
        while elapsed() < PATH_ONLY_SECONDS - 20:
            await advance_time(10)
            assert (await checker.check(A)).path_only
        assert connection.paths.count("/global/health") == 1
        await advance_time(30)
        connection.script["/global/health"] = HEALTHY
        assert (await checker.check(A)).version == "1.18.33"


@fake_time
async def test_a_failure_ends_path_only() -> None:
    network = FakeNetwork()
    network.script(A, health=text_reply(404), path=PATH)
    async with checking(network) as checker:
        await checker.check(A)
        network.script(A, health=HEALTHY, path=failing_reply(Reason.TLS))
        await checker.check(A, fresh=True)
        network.up(A)
        await checker.check(A, fresh=True)
    assert network.of(A).paths[-1] == "/global/health"


async def _late(share: float, budget: float) -> None:
    """This process stands still for so much of a check's time, just before that has passed."""
    await asyncio.sleep(budget * (1 - share) * 0.9)
    freeze(budget * (share + 0.1))


@fake_time
async def test_a_check_that_times_out_while_this_process_is_late_is_repeated() -> None:
    network = FakeNetwork()
    network.script(A, health=[delayed(0.95, HEALTHY), HEALTHY], path=no_reply())
    async with checking(network) as checker, asyncio.TaskGroup() as group:
        group.create_task(_late(0.4, 1.0), name="a busy machine")
        result = await checker.check(A, budget=1.0)
    assert result.ok
    assert len(network.of(A).requests) > 1


@fake_time
async def test_a_check_that_times_out_counts_where_this_process_was_hardly_late() -> None:
    network = FakeNetwork()
    network.script(A, health=no_reply(), path=no_reply())
    async with checking(network) as checker, asyncio.TaskGroup() as group:
        group.create_task(_late(0.1, 1.0), name="a machine that does something else")
        result = await checker.check(A, budget=1.0)
    assert (result.reason, elapsed() < 1.5) == (Reason.TIMEOUT, True)


@fake_time
async def test_a_server_that_never_answers_times_out_on_a_busy_machine_too() -> None:
    network = FakeNetwork()
    network.script(A, health=no_reply(), path=no_reply())

    async def starve() -> None:
        while True:
            await asyncio.sleep(0.05)
            freeze(0.1)

    async with checking(network) as checker, asyncio.TaskGroup() as group:
        starving = group.create_task(starve(), name="a busy machine")
        result = await checker.check(A, budget=1.0)
        starving.cancel()
    assert result.reason is Reason.TIMEOUT
    assert 3.0 <= elapsed() < 3.6


@fake_time
async def test_an_http_response_counts_however_late_this_process_is() -> None:
    network = FakeNetwork()
    connection = network.script(A, health=delayed(0.05, text_reply(401)))
    async with checking(network) as checker, asyncio.TaskGroup() as group:
        group.create_task(_late(0.9, 1.0), name="a busy machine")
        result = await checker.check(A, budget=1.0)
    assert result.reason is Reason.AUTH_REQUIRED
    assert len(connection.requests) == 1


@fake_time
async def test_a_check_of_an_unhealthy_server_that_has_just_started_has_a_short_timeout() -> None:
    network = FakeNetwork()
    network.down(A)
    async with checking(network) as checker:
        await checker.check(A)
        await advance_time(1)
        network.script(A, health=no_reply(), path=no_reply())

        async def taken(*, state: State) -> float:
            begun = elapsed()
            assert (
                await checker.check(A, fresh=True, status=HealthStatus(state=state))
            ).reason is Reason.TIMEOUT
            return elapsed() - begun

        assert await taken(state=State.UNHEALTHY) == pytest.approx(STARTUP_CHECK_TIMEOUT)
        # A healthy server may only be slow, and so may one that was refused long ago.
        assert await taken(state=State.HEALTHY) == pytest.approx(A.health_check.timeout)
        await advance_time(STARTUP_SECONDS)
        assert await taken(state=State.UNHEALTHY) == pytest.approx(A.health_check.timeout)


@fake_time
async def test_a_check_with_the_short_timeout_is_not_repeated() -> None:
    network = FakeNetwork()
    network.down(A)
    async with checking(network) as checker, asyncio.TaskGroup() as group:
        await checker.check(A)
        connection = network.script(A, health=no_reply(), path=no_reply())
        asked = len(connection.requests)
        group.create_task(_late(0.5, STARTUP_CHECK_TIMEOUT), name="a busy machine")
        await checker.check(A, fresh=True, status=HealthStatus(state=State.UNHEALTHY))
        # Health, and the path beside it.
        assert len(connection.requests) - asked == 2
