"""The health of one server as a pure state machine."""

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codewalk.health.status import MAX_CHECK_DELAY, CheckResult, HealthStatus, advance
from codewalk.reason import NO_ANSWER, TRANSPORT_FAILURES, UNDECIDED, Reason, State
from codewalk.servers.health_check import DEFAULT_SETTINGS, STALE_AFTER, HealthCheckSettings
from codewalk.times import rfc3339
from tests.fakes import EPOCH

OK = CheckResult(reason=Reason.OK, version="1.18.33", latency_ms=3.14)
DEFINITE = frozenset(Reason) - TRANSPORT_FAILURES - UNDECIDED - {Reason.OK}

RESULTS = st.builds(
    CheckResult,
    reason=st.sampled_from(Reason),
    detail=st.none() | st.just("It says so."),
    version=st.none() | st.just("1.18.33"),
    latency_ms=st.none() | st.floats(0, 3000),
)
STEPS = st.lists(st.tuples(RESULTS, st.timedeltas(timedelta(0), timedelta(minutes=2))), max_size=12)
# Few kinds, so that runs of one kind are as long as a rise or a fall may want them.
RUNS = st.lists(
    st.sampled_from([Reason.OK, Reason.TIMEOUT, Reason.REFUSED, Reason.OFFLINE, Reason.DNS]),
    max_size=30,
)
SETTINGS = st.builds(HealthCheckSettings, rise=st.integers(1, 5), fall=st.integers(1, 5))


def failed(reason: Reason) -> CheckResult:
    return CheckResult(reason=reason, detail=f"It failed: {reason}.")


def after(*results: CheckResult, settings: HealthCheckSettings = DEFAULT_SETTINGS) -> HealthStatus:
    """The status after checks a second apart."""
    status = HealthStatus()
    for number, result in enumerate(results):
        status = advance(status, result, EPOCH + timedelta(seconds=number), settings)
    return status


def test_a_server_that_was_never_checked_is_unknown() -> None:
    status = HealthStatus()
    assert (status.state, status.reason, status.since) == (State.UNKNOWN, Reason.UNCHECKED, None)


def test_one_good_check_makes_a_server_healthy() -> None:
    status = after(OK)
    assert (status.state, status.reason, status.detail) == (State.HEALTHY, Reason.OK, None)
    assert (status.version, status.latency_ms) == ("1.18.33", 3.14)
    assert (status.checked_at, status.since, status.failures) == (EPOCH, EPOCH, 0)


@pytest.mark.parametrize("reason", sorted(Reason))
def test_one_good_check_ends_every_failure(reason: Reason) -> None:
    status = after(failed(reason), failed(reason), OK)
    assert (status.state, status.reason, status.failures) == (State.HEALTHY, Reason.OK, 0)


@pytest.mark.parametrize("reason", sorted(TRANSPORT_FAILURES))
def test_a_transport_failure_makes_a_healthy_server_suspect_and_no_more(reason: Reason) -> None:
    status = after(OK, failed(reason))
    assert status.suspect
    assert (status.state, status.reason, status.detail) == (State.HEALTHY, Reason.OK, None)
    assert status.since == EPOCH
    assert status.checked_at == EPOCH + timedelta(seconds=1)


@pytest.mark.parametrize("first", sorted(TRANSPORT_FAILURES))
@pytest.mark.parametrize("second", sorted(TRANSPORT_FAILURES))
def test_the_second_transport_failure_in_a_row_makes_a_server_unhealthy(
    first: Reason, second: Reason
) -> None:
    status = after(OK, failed(first), failed(second))
    assert (status.state, status.reason) == (State.UNHEALTHY, second)
    assert status.detail == f"It failed: {second}."
    assert (status.since, status.failures) == (EPOCH + timedelta(seconds=2), 2)
    assert not status.suspect


def test_a_good_check_between_two_transport_failures_resets_their_count() -> None:
    status = after(OK, failed(Reason.TIMEOUT), OK, failed(Reason.TIMEOUT))
    assert status.suspect


@pytest.mark.parametrize("reason", sorted(DEFINITE))
def test_an_http_failure_counts_at_once(reason: Reason) -> None:
    assert after(OK, failed(reason)).state is State.UNHEALTHY
    assert after(OK, failed(reason)).reason is reason


@pytest.mark.parametrize("reason", sorted(DEFINITE | TRANSPORT_FAILURES))
def test_the_first_failure_of_a_server_that_was_never_healthy_counts(reason: Reason) -> None:
    assert after(failed(reason)).state is State.UNHEALTHY
    assert after(failed(Reason.SERVER_ERROR), failed(reason)).reason is reason


@pytest.mark.parametrize("reason", sorted(NO_ANSWER))
def test_a_server_that_bans_after_wrong_credentials_still_has_refused_them(reason: Reason) -> None:
    refusal = replace(failed(Reason.AUTH_REJECTED), refused=True)
    banned = after(OK, refusal, failed(reason), failed(reason))
    assert (banned.state, banned.reason) == (State.UNHEALTHY, Reason.AUTH_REJECTED)
    assert banned.detail == "It failed: auth_rejected. It now refuses the connection too."
    assert banned.since == EPOCH + timedelta(seconds=1)
    assert banned.refusals == 3
    # The ban may end, and another fault may come.
    assert after(refusal, failed(reason), refusal).detail == "It failed: auth_rejected."
    assert after(refusal, failed(reason), failed(Reason.DNS)).reason is Reason.DNS
    assert after(refusal, failed(reason), OK).refusals == 0


def test_a_server_that_only_misses_credentials_and_bans_still_misses_them() -> None:
    refusal = replace(failed(Reason.AUTH_REQUIRED), refused=True)
    assert after(refusal, failed(Reason.UNREACHABLE)).reason is Reason.AUTH_REQUIRED
    # A password that can't be decrypted says nothing about the server.
    unreadable = failed(Reason.AUTH_REQUIRED)
    assert after(unreadable, failed(Reason.UNREACHABLE)).reason is Reason.UNREACHABLE
    assert after(unreadable, unreadable).refusals == 0


def test_a_busy_server_is_unknown_until_it_may_be_asked_again() -> None:
    busy = replace(failed(Reason.BUSY), retry_after=30.0)
    status = after(OK, busy)
    assert (status.state, status.reason) == (State.UNKNOWN, Reason.BUSY)
    assert status.detail == "It failed: busy."
    assert status.retry_at == EPOCH + timedelta(seconds=31)
    assert (status.failures, status.unsettled) == (0, False)
    assert after(OK, busy, OK).retry_at is None


def test_a_status_is_confirmed_by_a_good_check_until_the_credentials_are_refused() -> None:
    assert after(OK).confirmed
    assert after(OK, failed(Reason.REFUSED), failed(Reason.REFUSED)).confirmed
    assert not after(failed(Reason.REFUSED)).confirmed
    assert not after(OK, replace(failed(Reason.AUTH_REJECTED), refused=True)).confirmed


@pytest.mark.parametrize("reason", [Reason.AUTH_REJECTED, Reason.AUTH_REQUIRED, Reason.BUSY])
def test_a_status_of_a_server_that_is_asked_rarely_lasts_longer(reason: Reason) -> None:
    status = after(failed(reason))
    assert status.as_of(EPOCH + MAX_CHECK_DELAY + STALE_AFTER) is status
    old = status.as_of(EPOCH + MAX_CHECK_DELAY + STALE_AFTER + timedelta(seconds=1))
    assert (old.state, old.reason) == (State.UNKNOWN, Reason.UNCHECKED)


@pytest.mark.parametrize("reason", sorted(TRANSPORT_FAILURES))
def test_a_network_that_has_just_come_back_may_fail_once(reason: Reason) -> None:
    # Its name server or its gateway may take a second longer than its route.
    offline = failed(Reason.OFFLINE)
    status = after(OK, offline, failed(reason))
    assert (status.state, status.reason, status.unsettled) == (State.UNKNOWN, Reason.OFFLINE, True)
    assert after(OK, offline, failed(reason), OK).state is State.HEALTHY
    assert after(OK, offline, failed(reason), failed(reason)).reason is reason


def test_time_without_a_network_counts_as_no_failure() -> None:
    status = after(OK, *[failed(Reason.OFFLINE)] * 100)
    assert (status.failures, status.unsettled) == (0, False)


def test_a_server_rises_with_as_many_good_checks_as_its_settings_say() -> None:
    settings = HealthCheckSettings(rise=3)
    down = failed(Reason.REFUSED)
    rising = after(down, OK, OK, settings=settings)
    assert (rising.state, rising.reason, rising.detail) == (
        State.UNHEALTHY,
        Reason.REFUSED,
        "It failed: refused.",
    )
    assert rising.unsettled
    assert rising.since == EPOCH
    risen = after(down, OK, OK, OK, settings=settings)
    assert (risen.state, risen.successes, risen.unsettled) == (State.HEALTHY, 0, False)
    assert after(down, OK, OK, down, OK, OK, settings=settings).state is State.UNHEALTHY


def test_a_server_that_answers_again_is_not_offline_while_it_rises() -> None:
    status = after(failed(Reason.OFFLINE), OK, settings=HealthCheckSettings(rise=2))
    assert (status.state, status.reason, status.detail) == (State.UNKNOWN, Reason.UNCHECKED, None)


def test_a_server_falls_with_as_many_failed_checks_as_its_settings_say() -> None:
    down = failed(Reason.TIMEOUT)
    assert after(OK, down, settings=HealthCheckSettings(fall=1)).state is State.UNHEALTHY
    patient = HealthCheckSettings(fall=4)
    assert after(OK, down, down, down, settings=patient).suspect
    assert after(OK, down, down, down, down, settings=patient).state is State.UNHEALTHY
    assert after(OK, down, down, down, OK, down, settings=patient).suspect


@pytest.mark.parametrize("reason", sorted(DEFINITE))
def test_fall_does_not_delay_an_http_failure(reason: Reason) -> None:
    assert after(OK, failed(reason), settings=HealthCheckSettings(fall=9)).state is State.UNHEALTHY


@given(RUNS, SETTINGS)
def test_a_state_changes_after_rise_good_or_fall_failed_checks_and_never_sooner(
    reasons: list[Reason], settings: HealthCheckSettings
) -> None:
    status = HealthStatus()
    for number, reason in enumerate(reasons, 1):
        before, now = status, EPOCH + timedelta(seconds=number)
        status = advance(status, failed(reason), now, settings)
        run = list(itertools.takewhile(lambda r: r is Reason.OK, reversed(reasons[:number])))
        if len(run) >= settings.rise:
            assert status.state is State.HEALTHY
        elif before.state is not State.HEALTHY:
            assert status.state is not State.HEALTHY
        lost = list(
            itertools.takewhile(lambda r: r in TRANSPORT_FAILURES, reversed(reasons[:number]))
        )
        if len(lost) >= settings.fall:
            assert status.state is State.UNHEALTHY
        elif lost and before.state is not State.UNHEALTHY and number > len(lost):
            assert status.state is before.state
        assert (status.since == now) == (status.state is not before.state or number == 1)
        assert not (status.failures and status.successes)


@pytest.mark.parametrize("reason", [Reason.OFFLINE, Reason.UNCHECKED])
@pytest.mark.parametrize("before", [OK, failed(Reason.REFUSED), failed(Reason.OFFLINE)])
def test_without_a_network_the_state_is_unknown(reason: Reason, before: CheckResult) -> None:
    status = after(before, failed(reason))
    assert (status.state, status.reason) == (State.UNKNOWN, reason)


def test_the_version_last_seen_stays_when_a_server_goes_down() -> None:
    status = after(OK, failed(Reason.REFUSED), failed(Reason.REFUSED))
    assert (status.version, status.latency_ms) == ("1.18.33", None)


@given(STEPS)
def test_since_changes_with_the_state_alone(
    steps: list[tuple[CheckResult, timedelta]],
) -> None:
    status, now = HealthStatus(), EPOCH
    for result, pause in steps:
        now += pause
        before, status = status, advance(status, result, now, DEFAULT_SETTINGS)
        if before.since is None or status.state is not before.state:
            assert status.since == now
        else:
            assert status.since == before.since


@given(STEPS, RESULTS)
def test_the_invariants_hold_after_any_results(
    steps: list[tuple[CheckResult, timedelta]], last: CheckResult
) -> None:
    status, now = HealthStatus(), EPOCH
    for result, pause in [*steps, (last, timedelta(seconds=1))]:
        now += pause
        before, status = status, advance(status, result, now, DEFAULT_SETTINGS)
        assert status.checked_at == now
        failed = not result.ok and result.reason not in UNDECIDED
        assert status.failures == (before.failures + 1 if failed else 0)
        spared = result.reason in TRANSPORT_FAILURES and before.failures == 0
        assert (status.state is State.HEALTHY) == (
            result.ok or (spared and before.state is State.HEALTHY)
        )
        assert (status.state is State.UNKNOWN) == (
            (not result.ok and not failed) or (spared and before.reason is Reason.OFFLINE)
        )
        # Red says why; green and grey never carry a failure's reason.
        if status.state is State.UNHEALTHY and before.reason is not Reason.AUTH_REJECTED:
            assert status.reason is result.reason
        if status.state is State.HEALTHY:
            assert status.reason is Reason.OK
        if status.state is State.UNKNOWN:
            assert status.reason in UNDECIDED


@given(STEPS)
def test_a_status_without_a_check_becomes_unknown(
    steps: list[tuple[CheckResult, timedelta]],
) -> None:
    status, now = HealthStatus(), EPOCH
    for result, pause in steps:
        now += pause
        status = advance(status, result, now, DEFAULT_SETTINGS)
    rarely_checked = status.reason in (Reason.AUTH_REQUIRED, Reason.AUTH_REJECTED, Reason.BUSY)
    stale_after = STALE_AFTER + (MAX_CHECK_DELAY if rarely_checked else timedelta(0))
    assert status.as_of(now + stale_after) is status
    old = status.as_of(now + stale_after + timedelta(microseconds=1))
    assert (old.state, old.reason) == (State.UNKNOWN, Reason.UNCHECKED)
    assert not old.unsettled
    assert old.latency_ms is None
    assert (old.version, old.checked_at) == (status.version, status.checked_at)
    assert old.as_of(now + timedelta(days=1)).state is State.UNKNOWN


def test_a_stale_status_says_what_it_was_and_since_when_it_is_unknown() -> None:
    status = after(OK)
    old = status.as_of(EPOCH + timedelta(hours=1))
    assert old.detail == "Not checked lately; was healthy when last seen."
    assert old.since == EPOCH + STALE_AFTER
    assert old.as_of(EPOCH + timedelta(hours=2)) == old


def test_an_unknown_status_that_becomes_stale_keeps_its_since() -> None:
    status = after(failed(Reason.OFFLINE))
    assert status.as_of(EPOCH + timedelta(hours=1)).since == EPOCH


def test_json_has_the_names_and_units_of_the_interface() -> None:
    assert after(OK).to_json() == {
        "state": "healthy",
        "reason": "ok",
        "detail": None,
        "version": "1.18.33",
        "latency_ms": 3.1,
        "checked_at": "2026-02-09T20:51:50.489Z",
        "since": "2026-02-09T20:51:50.489Z",
        "warning": None,
    }
    assert set(HealthStatus().to_json().values()) == {"unknown", "unchecked", None}


def test_a_warning_lasts_while_the_server_stays_healthy() -> None:
    status = replace(after(OK), warning="Answers, but …")
    good = advance(status, OK, EPOCH, DEFAULT_SETTINGS)
    assert good.to_json()["warning"] == "Answers, but …"
    suspect = advance(good, failed(Reason.TIMEOUT), EPOCH, DEFAULT_SETTINGS)
    assert suspect.warning == "Answers, but …"
    down = advance(suspect, failed(Reason.TIMEOUT), EPOCH, DEFAULT_SETTINGS)
    assert down.warning is None
    stale = good.as_of(EPOCH + STALE_AFTER + timedelta(seconds=1))
    assert stale.to_json()["warning"] is None
    assert advance(stale, OK, EPOCH, DEFAULT_SETTINGS).warning is None


def test_the_states_and_reasons_of_the_interface() -> None:
    assert {*State} == {"healthy", "unknown", "unhealthy"}
    assert {*Reason} == {
        "ok",
        "unchecked",
        "refused",
        "timeout",
        "dns",
        "tls",
        "unreachable",
        "auth_required",
        "auth_rejected",
        "not_opencode",
        "server_error",
        "incompatible",
        "offline",
        "busy",
        "reports_unhealthy",
    }


def test_a_time_is_utc_with_milliseconds() -> None:
    tokyo = timezone(timedelta(hours=9))
    assert rfc3339(datetime(2026, 2, 10, 5, 51, 50, 489_999, tokyo)) == "2026-02-09T20:51:50.489Z"
    assert rfc3339(datetime(2026, 1, 1, tzinfo=UTC)) == "2026-01-01T00:00:00.000Z"
    assert rfc3339(None) is None


def test_a_status_is_a_value() -> None:
    assert replace(after(OK)) == after(OK)
    assert hash(after(OK)) == hash(after(OK))
