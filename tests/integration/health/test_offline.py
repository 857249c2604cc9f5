"""A machine that loses its network and gets it back, and one whose network loses packets."""

import asyncio
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic

import pytest

from tests.integration.health.hosts import run_on_two_hosts
from tests.namespaces import Hosts, two_hosts

LOSS_SECONDS = float(os.environ.get("CODEWALK_TEST_LOSS_SECONDS", "8"))
"""Ten minutes were run for docs/benchmarks.md, which says how; seconds find a bug."""

SERVERS = 20

log = logging.getLogger(__name__)


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    with two_hosts() as hosts:
        yield hosts


@pytest.mark.parametrize(
    ("down", "up", "times"),
    [
        (lambda hosts: hosts.near.link_down(), lambda hosts: hosts.near.link_up(), 2),
        # The other end goes: here the cable is out, and Linux keeps the route.
        (lambda hosts: hosts.far.link_down(), lambda hosts: hosts.far.link_up(), 1),
    ],
    ids=["switched off", "unplugged"],
)
async def test_without_a_network_servers_are_offline_until_two_seconds_after_its_return(
    hosts: Hosts,
    tmp_path: Path,
    down: Callable[[Hosts], None],
    up: Callable[[Hosts], None],
    times: int,
) -> None:
    async with run_on_two_hosts(hosts, tmp_path) as reports:
        for _ in range(times):
            down(hosts)
            await reports.until("far 0", "unknown", "offline")
            up(hosts)
            back = monotonic()
            assert await reports.until("far 0", "healthy", "ok") - back < 2
    assert "unhealthy" not in {state for state, _ in reports.of("far 0")}
    # The one on this machine's own loopback is judged on its own.
    assert [health for health in reports.of("own") if health[0] != "unknown"] == [("healthy", "ok")]


@pytest.mark.timeout(LOSS_SECONDS + 100)
async def test_two_lost_packets_in_a_hundred_make_no_server_unhealthy(
    hosts: Hosts, tmp_path: Path
) -> None:
    async with run_on_two_hosts(hosts, tmp_path, servers=SERVERS, interval=1.0) as reports:
        for host in (hosts.near, hosts.far):
            host.lose(2)
        await asyncio.sleep(LOSS_SECONDS)
        lost = [host.lost() for host in (hosts.near, hosts.far)]
        assert min(lost) > 0
    log.info("%d checks in %g s, packets lost: %s", reports.checks, LOSS_SECONDS, lost)
    assert reports.checks > SERVERS * LOSS_SECONDS / 2
    assert "unhealthy" not in {line["state"] for line in reports.lines}
