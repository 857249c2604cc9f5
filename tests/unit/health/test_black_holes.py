"""Servers that never answer, among many that do."""

import random
from itertools import pairwise

import pytest

from codewalk.health.histogram import Histogram
from codewalk.reason import Reason, State
from codewalk.servers.health_check import HealthCheckSettings
from tests.fake_time import advance_time, fake_time
from tests.fakes import FakeNetwork, no_reply, profile
from tests.unit.health.monitor_harness import run_monitor

SERVERS = 1000
LATE = 0.1
"""Seconds that a check may be late, however many others never answer."""


def later_than(bound: float, lateness: Histogram) -> int:
    return lateness.count - lateness.cumulative()[lateness.bounds.index(bound)]


@pytest.mark.parametrize("holes", [1, 600])
@fake_time
async def test_servers_that_never_answer_make_no_other_check_late(holes: int) -> None:
    chance = random.Random(holes)
    servers = [profile(number) for number in range(SERVERS)]
    dead = set(chance.sample(range(SERVERS), holes))
    network = FakeNetwork()
    for number in dead:
        network.script(servers[number], health=no_reply(), path=no_reply())
    jitter = [chance.random() for _ in range(20 * SERVERS)]
    async with run_monitor(*servers, network=network, jitter=jitter) as running:
        # The first round, in which all servers are due at once, and the bunches that follow.
        await advance_time(20)
        lateness = running.monitor.lateness.passing
        late, count = later_than(LATE, lateness), lateness.count
        await advance_time(40)
        assert lateness.count - count > 3 * (SERVERS - holes)
        assert later_than(LATE, lateness) == late
        for number, server in enumerate(servers):
            expected = State.UNHEALTHY if number in dead else State.HEALTHY
            assert running.state(server) is expected


@fake_time
async def test_more_of_them_than_the_throttle_allows_delay_only_each_other() -> None:
    # Patience of a minute each: they hold all the places of their lane, for ever.
    patient = HealthCheckSettings(interval=1, timeout=60)
    servers = [profile(number) for number in range(10)]
    holes = [profile(100 + number, health_check=patient) for number in range(1500)]
    network = FakeNetwork()
    for hole in holes:
        network.script(hole, health=no_reply(), path=no_reply())
    async with run_monitor(*holes[:900], *servers, network=network) as running:
        await advance_time(70)
        running.monitor.reconcile([*holes, *servers], None)
        await advance_time(130)
        for server in servers:
            gaps = [b - a for a, b in pairwise(running.check_times(server))]
            assert len(gaps) == 19
            assert max(gaps) <= 10 + LATE
            assert running.state(server) is State.HEALTHY
        assert {running.monitor.status(hole.id).reason for hole in holes} == {Reason.TIMEOUT}
