"""The requests to a server that refuses credentials, is busy, or isn't OpenCode."""

from dataclasses import replace
from datetime import timedelta

import pytest

from codewalk.errors import RequestFailed
from codewalk.health.status import HealthStatus
from codewalk.reason import Reason, State
from codewalk.secret import Secret
from codewalk.servers.profile import ServerProfile
from tests.fake_time import advance_time, elapsed, fake_time
from tests.fakes import (
    EPOCH,
    HEALTHY,
    PATH,
    FakeConnection,
    FakeNetwork,
    FakeStatusStore,
    Reply,
    delayed,
    html_reply,
    json_reply,
    profile,
    raw_reply,
    text_reply,
)
from tests.unit.health.monitor_harness import MonitorHarness, run_monitor

A, B = profile(1, basic_auth_enabled=True, basic_auth_password=Secret("wrong")), profile(2)

HEALTH_ENDPOINT = "/global/health"
MINUTE = 60.0
REFUSED = raw_reply(b"", "text/plain", 401)


def refusing_network(reply: Reply = REFUSED) -> tuple[FakeNetwork, FakeConnection]:
    """Return a network whose server A refuses the user name `opencode` and its password."""
    connection = FakeConnection({HEALTH_ENDPOINT: reply}, password=Secret("wrong"))
    return FakeNetwork(connections={A.id: connection}), connection


def busy_reply(seconds: float) -> Reply:
    detail = f"It is asked again after {seconds:g} s."
    return Reply(failure=RequestFailed(Reason.BUSY, detail, status=429, retry_after=seconds))


@fake_time
async def test_refused_credentials_are_sent_three_times_in_five_minutes_then_rarely() -> None:
    network, connection = refusing_network()
    async with run_monitor(A, network=network, active=A) as running:
        await advance_time(5 * MINUTE)
        assert connection.requests == [(HEALTH_ENDPOINT, at) for at in (0, 60, 240)]
        assert running.monitor.status(A.id).reason is Reason.AUTH_REJECTED
        await advance_time(60 * MINUTE)
        assert [at for _, at in connection.requests[3:]] == pytest.approx(
            [840, 1440, 2040, 2640, 3240, 3840]
        )
        # It is asked so rarely that its status would be too old, did that not count.
        assert running.monitor.status(A.id).reason is Reason.AUTH_REJECTED


@fake_time
async def test_refused_credentials_are_sent_rarely_whatever_fails_meanwhile() -> None:
    network, connection = refusing_network()
    async with run_monitor(A, network=network, active=A) as running:
        for _ in range(100):
            await advance_time(1.1)
            running.monitor.check_soon(A.id)
            running.monitor.report_link_failure(A.id)
            running.monitor.reconcile([A], None)
            running.monitor.reconcile([A], A.id)
            running.monitor.handle_suspend()
        assert len(connection.requests) == 2


@fake_time
async def test_a_ban_after_refused_credentials_keeps_their_reason_and_pace() -> None:
    network, connection = refusing_network()
    async with run_monitor(A, network=network) as running:
        await advance_time(1)
        network.down(A, Reason.UNREACHABLE)
        await advance_time(5 * MINUTE)
        status = running.monitor.status(A.id)
        assert (status.state, status.reason) == (State.UNHEALTHY, Reason.AUTH_REJECTED)
        assert status.detail == (
            "fake:4096 refused the user name 'opencode' or its password. "
            "It now refuses the connection too."
        )
        assert len(connection.requests) == 3
        # The bar of recent checks shows what each of them found.
        results = [result.reason for *_, result, _ in running.records if result]
        assert results == [Reason.AUTH_REJECTED, Reason.UNREACHABLE, Reason.UNREACHABLE]


@pytest.mark.parametrize(
    "edited",
    [replace(A, url="http://other:4096"), replace(A, basic_auth_password=Secret("other"))],
    ids=["url", "password"],
)
@fake_time
async def test_an_edit_of_refused_credentials_is_checked_at_once(edited: ServerProfile) -> None:
    network, connection = refusing_network()
    async with run_monitor(A, network=network) as running:
        await advance_time(10 * MINUTE)
        asked = len(connection.requests)
        running.monitor.reconcile([edited], None)
        await advance_time(0.1)
        assert len(connection.requests) == asked + 1


@fake_time
async def test_a_requested_check_of_refused_credentials_is_made_and_ends_the_restraint() -> None:
    network, connection = refusing_network()
    async with run_monitor(A, network=network) as running:
        await advance_time(20 * MINUTE)
        asked = len(connection.requests)
        assert (await running.monitor.check(A)).reason is Reason.AUTH_REJECTED
        assert len(connection.requests) == asked + 1
        await advance_time(1)
        network.up(A)
        assert (await running.monitor.check(A)).state is State.HEALTHY
        await advance_time(21)
        assert len(connection.requests) == asked + 4


@fake_time
async def test_a_slow_refusal_is_asked_for_once_from_the_second_check_on() -> None:
    network, connection = refusing_network(delayed(2.9, REFUSED))
    connection.script["/path"] = delayed(2.9, REFUSED)
    async with run_monitor(A, network=network) as running:
        await advance_time(5 * MINUTE)
        assert running.monitor.status(A.id).reason is Reason.AUTH_REJECTED
        assert len(connection.requests) == 4


@fake_time
async def test_a_server_with_unproven_credentials_that_never_answers_health_is_recognised() -> None:
    network, connection = refusing_network(Reply())
    connection.script["/path"] = PATH
    async with run_monitor(A, network=network) as running:
        await advance_time(2)
        assert running.state(A) is State.HEALTHY
        assert elapsed() < A.health_check.timeout


@fake_time
async def test_a_busy_server_is_asked_again_when_it_says() -> None:
    network = FakeNetwork()
    connection = network.script(B, health=[HEALTHY, busy_reply(45), HEALTHY])
    async with run_monitor(B, network=network, active=B) as running:
        await advance_time(10.1)
        status = running.monitor.status(B.id)
        assert (status.state, status.reason) == (State.UNKNOWN, Reason.BUSY)
        assert status.detail == "It is asked again after 45 s."
        for _ in range(44):
            await advance_time(1)
            running.monitor.check_soon(B.id)
            running.monitor.handle_suspend()
        assert [round(at) for _, at in connection.requests] == [0, 10]
        await advance_time(2)
        assert [round(at) for _, at in connection.requests] == [0, 10, 55]
        assert running.state(B) is State.HEALTHY
        assert running.states(B) == [State.HEALTHY, State.UNKNOWN, State.HEALTHY]
        await advance_time(20)
        assert len(connection.requests) == 5


@fake_time
async def test_a_busy_server_keeps_its_status_until_it_is_asked_again() -> None:
    network = FakeNetwork()
    network.script(B, health=busy_reply(600))
    async with run_monitor(B, network=network) as running:
        await advance_time(599)
        assert running.monitor.status(B.id).reason is Reason.BUSY


@fake_time
async def test_a_requested_check_that_is_told_to_wait_postpones_the_next_one() -> None:
    network = FakeNetwork()
    connection = network.of(B)
    async with run_monitor(B, network=network) as running:
        await advance_time(5)
        network.script(B, health=busy_reply(100))
        await running.monitor.check(B)
        await advance_time(95)
        assert len(connection.requests) == 2


@fake_time
async def test_another_program_at_the_address_gets_two_requests_a_check() -> None:
    network = FakeNetwork()
    network.connections[B.id] = connection = FakeConnection({})
    connection.script = dict.fromkeys((HEALTH_ENDPOINT, "/path"), html_reply(404))
    async with run_monitor(B, network=network, active=B) as running:
        await advance_time(2 * MINUTE - 1)
        assert running.monitor.status(B.id).reason is Reason.NOT_OPENCODE
        # Whether it is OpenCode 2 is asked once.
        assert len(connection.requests) == 2 * 12 + 2
        await advance_time(10 * MINUTE)
        assert connection.paths.count("/api/health") == 2
        await running.monitor.check(B)
        assert connection.paths.count("/api/health") == 3


@fake_time
async def test_opencode_2_stays_incompatible_between_the_questions_about_it() -> None:
    network = FakeNetwork()
    network.connections[B.id] = connection = FakeConnection(
        {"/api/health": json_reply({"healthy": True, "version": "2.0.1"})}
    )
    async with run_monitor(B, network=network) as running:
        await advance_time(5 * MINUTE)
        status = running.monitor.status(B.id)
        assert (status.reason, status.version) == (Reason.INCOMPATIBLE, "2.0.1")
        assert running.change_times(B) == [0]
        assert connection.paths.count("/api/health") == 1
        network.script(B, health=HEALTHY)
        await running.monitor.check(B)
        assert running.state(B) is State.HEALTHY


@pytest.mark.parametrize("reason", [Reason.REFUSED, Reason.DNS, Reason.UNREACHABLE])
@fake_time
async def test_a_failed_request_is_only_sent_again_to_a_server_that_was_healthy(
    reason: Reason,
) -> None:
    network = FakeNetwork()
    connection = network.down(B, reason)
    async with run_monitor(B, network=network, active=B) as running:
        await advance_time(25)
        assert [round(at) for _, at in connection.requests] == [0, 10, 20]
        network.up(B)
        await advance_time(10)
        asked = len(connection.requests)
        network.down(B, reason)
        await advance_time(12)
        # Two checks of three attempts each decide.
        assert running.state(B) is State.UNHEALTHY
        assert len(connection.requests) - asked == 6


@fake_time
async def test_a_server_that_reports_itself_unhealthy_slowly_is_never_green() -> None:
    network = FakeNetwork()
    network.script(B, health=json_reply({"healthy": False}), path=PATH)
    async with run_monitor(B, network=network) as running:
        await advance_time(1)
        network.script(B, health=delayed(1, json_reply({"healthy": False})))
        await advance_time(30)
        assert running.states(B) == [State.UNHEALTHY]
        assert "/path" not in network.of(B).paths


async def require_usable(running: MonitorHarness) -> str | None:
    """Return why a request to A isn't sent, None where it may be."""
    try:
        await running.monitor.require_usable(A)
    except RequestFailed as exc:
        return f"{exc.reason}: {exc.detail}"
    return None


@fake_time
async def test_a_request_waits_for_the_first_check_of_this_process() -> None:
    stored = HealthStatus(
        state=State.HEALTHY, reason=Reason.OK, checked_at=EPOCH, since=EPOCH - timedelta(days=1)
    )
    network, connection = refusing_network(delayed(0.2, REFUSED))
    store = FakeStatusStore({A.id: stored})
    async with run_monitor(A, network=network, store=store, active=A) as running:
        refusal = "auth_rejected: fake:4096 refused the user name 'opencode' or its password."
        assert await require_usable(running) == refusal
        later = "Nothing was sent; check the server again once that is corrected."
        assert await require_usable(running) == f"{refusal} {later}"
        assert len(connection.requests) == 1
        await advance_time(1)
        network.up(A)
        await running.monitor.check(A)
        assert await require_usable(running) is None
        assert len(connection.requests) == 2


@fake_time
async def test_a_request_to_a_busy_server_is_not_sent() -> None:
    network, connection = refusing_network(busy_reply(30))
    async with run_monitor(A, network=network) as running:
        await advance_time(1)
        assert await require_usable(running) == "busy: It is asked again after 30 s."
        assert len(connection.requests) == 1


@fake_time
async def test_a_command_sends_its_request_without_a_check() -> None:
    network, connection = refusing_network()
    async with run_monitor(A, network=network, watch=False) as running:
        assert await require_usable(running) is None
        assert connection.requests == []
        await running.monitor.check(A)
        assert str(await require_usable(running)).startswith("auth_rejected: ")


@fake_time
async def test_a_password_that_cannot_be_read_is_tried_at_the_usual_pace() -> None:
    unreadable = Reply(failure=RequestFailed(Reason.AUTH_REQUIRED, "Stored under another key."))
    network, connection = refusing_network(unreadable)
    async with run_monitor(A, network=network):
        await advance_time(25)
        assert [round(at) for _, at in connection.requests] == [0, 10, 20]


@fake_time
async def test_an_old_release_whose_path_is_refused_gets_two_requests_a_check() -> None:
    network, connection = refusing_network(text_reply(404))
    connection.script["/path"] = REFUSED
    async with run_monitor(A, network=network) as running:
        await advance_time(30)
        assert running.monitor.status(A.id).reason is Reason.AUTH_REJECTED
        assert connection.paths == [HEALTH_ENDPOINT, "/path"]


@fake_time
async def test_a_stored_green_that_is_confirmed_is_announced() -> None:
    stored = HealthStatus(
        state=State.HEALTHY, reason=Reason.OK, version="1.18.33", checked_at=EPOCH, since=EPOCH
    )
    store = FakeStatusStore({B.id: stored})
    async with run_monitor(B, store=store) as running:
        assert not running.monitor.is_confirmed(B.id)
        await advance_time(25)
        assert running.monitor.is_confirmed(B.id)
        # Whoever waits for a first good check has to hear of it.
        assert running.change_times(B) == [0]
