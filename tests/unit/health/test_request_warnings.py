"""Which failed requests become the warning of a healthy server."""

from functools import partial

import pytest

from codewalk.errors import RequestFailed
from codewalk.health.request_warnings import MAX_FAILING, Listing, ListRequest, RequestWarnings
from codewalk.reason import Reason
from codewalk.servers import rules
from codewalk.servers.registry import Registry
from tests.fake_time import advance_time, fake_time
from tests.fakes import FakeNetwork, FakeRosterStore, json_reply, profile
from tests.unit.health.monitor_harness import MonitorHarness, run_monitor

A = profile(1)
SESSIONS = ListRequest(Listing.SESSIONS)
MODELS = ListRequest(Listing.MODELS)


async def registry_of_a() -> Registry:
    registry = Registry(FakeRosterStore(), changed=lambda *_: None)
    await registry.change(partial(rules.add, profile=A))
    return registry


async def warn(running: MonitorHarness, failure: RequestFailed) -> str | None:
    warnings = RequestWarnings(running.monitor, running.network.connect, await registry_of_a())
    with pytest.raises(RequestFailed), warnings.warn(A.id, SESSIONS):
        raise failure
    return running.monitor.warning(A.id)


@pytest.mark.parametrize(
    "reason",
    [Reason.TIMEOUT, Reason.UNREACHABLE, Reason.SERVER_ERROR, Reason.NOT_OPENCODE],
)
@fake_time
async def test_a_failed_request_is_a_warning(reason: Reason) -> None:
    async with run_monitor(A) as running:
        await advance_time(1)
        text = await warn(running, RequestFailed(reason, "It failed."))
        assert text == "Answers, but its sessions can't be listed: It failed."


@pytest.mark.parametrize(
    "failure",
    [
        RequestFailed(Reason.BUSY, "Asked again later.", status=429),
        RequestFailed(Reason.UNREACHABLE, "Too many open files.", local_fault=True),
        RequestFailed(Reason.REFUSED, "Nothing listens."),
        RequestFailed(Reason.DNS, "No such name."),
    ],
)
@fake_time
async def test_a_busy_server_or_a_fault_of_this_process_is_none(failure: RequestFailed) -> None:
    async with run_monitor(A) as running:
        await advance_time(1)
        assert await warn(running, failure) is None


@fake_time
async def test_only_what_failed_is_requested_again_and_not_without_end() -> None:
    network = FakeNetwork()
    connection = network.of(A)
    connection.script |= {"/session": json_reply([]), "/config/providers": json_reply({}, 500)}
    async with run_monitor(A, network=network) as running:
        await advance_time(1)
        warnings = RequestWarnings(running.monitor, network.connect, await registry_of_a())
        await warnings.retry()
        requests = [MODELS, *(ListRequest(Listing.SESSIONS, f"/{n}") for n in range(20))]
        for request in requests:
            with pytest.raises(RequestFailed), warnings.warn(A.id, request):
                raise RequestFailed(Reason.SERVER_ERROR, "It failed.")
        # More than ten aren't remembered, and the sentence names three.
        assert warnings.failing(A.id) == tuple(requests[:MAX_FAILING])
        assert "sessions in /1, sessions in /2 and 7 more lists can't be" in (
            running.monitor.warning(A.id) or ""
        )
        before = len(connection.paths)
        await warnings.retry(active_id=A.id)
        assert len(connection.paths) == before
        await warnings.retry()
        # One that fails again doesn't keep the others from being requested.
        asked = ["/config/providers", *["/session"] * (MAX_FAILING - 1)]
        assert connection.paths[before:] == asked
        assert warnings.failing(A.id) == (MODELS,)
