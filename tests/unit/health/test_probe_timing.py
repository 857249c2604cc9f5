"""The time that one check takes: its budget, its retries, and its other requests."""

import asyncio

import pytest

from codewalk.health.probe import DEFAULT_BUDGET, probe
from codewalk.reason import Reason
from tests.fake_time import elapsed, fake_time
from tests.fakes import (
    HEALTHY,
    PATH,
    FakeConnection,
    Reply,
    delayed,
    failing_reply,
    html_reply,
    no_reply,
    raw_reply,
    text_reply,
)

BASE = "/global/health"


@pytest.mark.parametrize("reason", [Reason.REFUSED, Reason.DNS, Reason.UNREACHABLE])
@fake_time
async def test_a_transport_failure_is_retried_after_100_and_200_ms(reason: Reason) -> None:
    connection = FakeConnection({BASE: failing_reply(reason), "/path": failing_reply(reason)})
    result = await probe(connection)
    assert (result.reason, result.detail) == (reason, f"It failed: {reason}.")
    asked = [at for path, at in connection.requests if path == BASE]
    assert asked == pytest.approx([0, 0.1, 0.3])
    assert elapsed() <= 0.7


@pytest.mark.parametrize("failures", [1, 2])
@fake_time
async def test_a_retry_that_succeeds_makes_the_check_good(failures: int) -> None:
    connection = FakeConnection({BASE: [failing_reply(Reason.UNREACHABLE)] * failures + [HEALTHY]})
    result = await probe(connection)
    assert (result.reason, result.version) == (Reason.OK, "1.18.33")
    assert set(connection.paths) == {BASE}


@fake_time
async def test_a_tls_failure_is_not_retried() -> None:
    connection = FakeConnection(
        {BASE: failing_reply(Reason.TLS), "/path": failing_reply(Reason.TLS)}
    )
    assert (await probe(connection)).reason is Reason.TLS
    assert elapsed() == 0


@fake_time
async def test_a_server_that_never_answers_takes_the_budget_and_no_more() -> None:
    connection = FakeConnection({BASE: no_reply(), "/path": no_reply()})
    result = await probe(connection)
    assert (result.reason, result.detail) == (Reason.TIMEOUT, "No answer within 3 s.")
    assert elapsed() == pytest.approx(DEFAULT_BUDGET)
    assert connection.in_flight == 0


@pytest.mark.parametrize("budget", [0.5, 10.0])
@fake_time
async def test_the_budget_is_the_callers(budget: float) -> None:
    connection = FakeConnection({BASE: no_reply(), "/path": no_reply()})
    assert (await probe(connection, budget=budget)).reason is Reason.TIMEOUT
    assert elapsed() == pytest.approx(budget)


@fake_time
async def test_a_longer_budget_reaches_a_slower_server() -> None:
    connection = FakeConnection({BASE: delayed(5, HEALTHY), "/path": no_reply()})
    assert (await probe(connection, budget=10)).ok


@fake_time
async def test_retries_end_with_the_budget() -> None:
    slow_failure = delayed(0.4, failing_reply(Reason.UNREACHABLE))
    connection = FakeConnection({BASE: slow_failure, "/path": slow_failure})
    result = await probe(connection, budget=0.7)
    assert result.reason is Reason.TIMEOUT
    assert elapsed() == pytest.approx(0.7)


@fake_time
async def test_after_300_ms_without_a_response_the_path_is_requested_too() -> None:
    connection = FakeConnection({BASE: delayed(2, HEALTHY), "/path": PATH})
    result = await probe(connection)
    assert result.ok
    assert connection.requests == [(BASE, 0), ("/path", pytest.approx(0.3))]
    assert elapsed() == pytest.approx(0.3)
    assert connection.in_flight == 0


@fake_time
async def test_a_server_that_is_only_slow_is_not_taken_for_an_old_release() -> None:
    connection = FakeConnection({BASE: delayed(2, HEALTHY), "/path": PATH})
    assert not (await probe(connection)).path_only


@fake_time
async def test_a_response_within_300_ms_leads_to_no_other_request() -> None:
    connection = FakeConnection({BASE: delayed(0.29, HEALTHY)})
    assert (await probe(connection)).ok
    assert connection.paths == [BASE]


@fake_time
async def test_a_slow_health_response_counts_where_the_path_has_none() -> None:
    connection = FakeConnection({BASE: delayed(1, HEALTHY), "/path": html_reply()})
    result = await probe(connection)
    assert (result.reason, result.version) == (Reason.OK, "1.18.33")
    assert elapsed() == pytest.approx(1)


@fake_time
async def test_a_slow_refusal_of_the_credentials_counts_over_a_slower_path() -> None:
    refusal = delayed(0.4, raw_reply(b"", "text/plain", 401))
    connection = FakeConnection({BASE: refusal, "/path": delayed(1, PATH)})
    assert (await probe(connection)).reason is Reason.AUTH_REQUIRED
    assert elapsed() == pytest.approx(0.4)
    assert connection.in_flight == 0


@fake_time
async def test_both_responses_at_the_same_moment_give_one_result() -> None:
    # The race: `/path` proves the server well at the very moment that `/global/health` answers.
    for health in (delayed(0.8, HEALTHY), delayed(0.8, text_reply(404))):
        connection = FakeConnection({BASE: health, "/path": delayed(0.5, PATH)})
        assert (await probe(connection)).ok
        assert connection.in_flight == 0


@fake_time
async def test_no_health_response_and_a_refused_path_end_in_a_timeout() -> None:
    connection = FakeConnection({BASE: no_reply(), "/path": failing_reply(Reason.REFUSED)})
    assert (await probe(connection)).reason is Reason.TIMEOUT
    assert elapsed() == pytest.approx(DEFAULT_BUDGET)


@fake_time
async def test_a_path_only_server_gets_no_other_request() -> None:
    connection = FakeConnection({BASE: no_reply(), "/path": PATH})
    result = await probe(connection, path_first=True)
    assert (result.ok, result.path_only) == (True, True)
    assert connection.paths == ["/path"]
    assert elapsed() == 0


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        (raw_reply(b"", "text/plain", 401), Reason.AUTH_REQUIRED),
        (raw_reply(b"", "text/plain", 429), Reason.BUSY),
        (failing_reply(Reason.REFUSED), Reason.REFUSED),
    ],
)
@fake_time
async def test_a_path_only_server_whose_path_decides_gets_one_request(
    path: Reply, reason: Reason
) -> None:
    connection = FakeConnection({BASE: text_reply(404), "/path": path})
    assert (await probe(connection, path_first=True, retry=False)).reason is reason
    assert connection.paths == ["/path"]


@fake_time
async def test_a_path_that_was_requested_first_is_not_requested_again() -> None:
    connection = FakeConnection({BASE: delayed(1, text_reply(404)), "/path": text_reply(404)})
    result = await probe(connection, path_first=True, recognize_version_2=False)
    assert result.reason is Reason.NOT_OPENCODE
    assert connection.paths == ["/path", BASE]


@fake_time
async def test_a_path_only_server_whose_path_fails_is_checked_in_full() -> None:
    connection = FakeConnection({BASE: HEALTHY, "/path": html_reply()})
    result = await probe(connection, path_first=True)
    assert (result.ok, result.path_only, result.version) == (True, False, "1.18.33")


@fake_time
async def test_cancelling_a_check_cancels_its_requests() -> None:
    connection = FakeConnection({BASE: no_reply(), "/path": no_reply()})
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await probe(connection)
    assert connection.in_flight == 0
    assert elapsed() == pytest.approx(1)
