"""A black hole among many servers, over real sockets and on the real clock.

The unit tests' `test_black_holes` has hundreds of them, to the millisecond, on a fake clock.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from math import inf

from codewalk.app.server_connections import ServerConnections
from codewalk.health.checker import Checker
from codewalk.health.histogram import Histogram
from codewalk.health.monitor import Monitor
from codewalk.health.statuses import RecordStatus
from codewalk.reason import Reason
from codewalk.servers.health_check import HealthCheckSettings
from codewalk.servers.profile import ServerProfile
from tests.fakes import FakeStatusStore, profile

SERVERS = 1000
CONTROLS = 200
ROUNDS = 4
OFTEN = HealthCheckSettings(interval=2, timeout=1.2)
ANSWER = b'{"healthy":true,"version":"1.18.33"}'
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"


class NoSecrets:
    """There are no passwords here."""

    async def unlock(self) -> None: ...


class WellOrSilent(asyncio.Protocol):
    """Says it is well to all it is asked, or takes what comes and never answers."""

    def __init__(self, *, answers: bool) -> None:
        self._answers = answers
        self._transport: asyncio.BaseTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        # Nobody sends a second request before the first is answered.
        if self._answers and data.endswith(b"\r\n\r\n"):
            assert isinstance(self._transport, asyncio.Transport)
            self._transport.write(HEAD % len(ANSWER) + ANSWER)


@asynccontextmanager
async def listening(*, answers: bool) -> AsyncIterator[str]:
    """The URL of a server."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: WellOrSilent(answers=answers), "127.0.0.1", 0, backlog=SERVERS
    )
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


async def test_a_black_hole_among_a_thousand_makes_no_round_a_tenth_of_a_second_late() -> None:
    async with listening(answers=True) as well, listening(answers=False) as hole:
        alive = [server(f"{well}/{number}", number) for number in range(1, SERVERS)]
        black_hole = server(hole, 0)
        seen = Seen()
        # Two at once on one loop: whatever else this machine does makes both of them late.
        async with (
            watching([black_hole, *alive], seen.take) as monitor,
            watching(alive[:CONTROLS]) as control,
            asyncio.timeout(60),
        ):
            # The first round of all servers, until the black hole is unhealthy.
            await seen.each([black_hole], 2)
            late, usual = (Rounds(one.lateness.passing) for one in (monitor, control))
            for _ in range(ROUNDS):
                seen.clear()
                await seen.each([black_hole, *alive], 1)
                late.end_one()
                usual.end_one()
            assert monitor.status(black_hole.id).reason is Reason.TIMEOUT
        # A hole that holds others up does so in each round; a moment in which the machine has no
        # time for this process makes those late that are due just then, others in each monitor.
        # So two rounds have to be good.
        more = [a - b for a, b in zip(late.quantiles, usual.quantiles, strict=True)]
        assert sorted(more)[1] <= 0.1


class Seen:
    """Counts the checks that were made of each server."""

    def __init__(self) -> None:
        self._checks = Counter[str]()
        self._more = asyncio.Event()

    def take(self, server_id: str, *_: object) -> None:
        self._checks[server_id] += 1
        self._more.set()

    def clear(self) -> None:
        self._checks.clear()

    async def each(self, servers: Sequence[ServerProfile], checks: int) -> None:
        """Waits until each of these was checked so often."""
        while any(self._checks[server.id] < checks for server in servers):
            self._more.clear()
            await self._more.wait()


def server(url: str, number: int) -> ServerProfile:
    return replace(profile(number), url=url, health_check=OFTEN)


@asynccontextmanager
async def watching(
    servers: Sequence[ServerProfile], record: RecordStatus = lambda *_: None
) -> AsyncIterator[Monitor]:
    async with (
        ServerConnections(NoSecrets()) as connections,
        Checker(connections.connect) as checker,
        Monitor(checker, FakeStatusStore(), on_change=lambda _: None, record=record) as monitor,
    ):
        monitor.reconcile(servers, None)
        yield monitor


class Rounds:
    """How late the checks of each round were."""

    def __init__(self, lateness: Histogram) -> None:
        self._lateness = lateness
        self._before = lateness.cumulative()
        self.quantiles: list[float] = []

    def end_one(self) -> None:
        """Notes within what 95 % of the checks since the last round began."""
        now = self._lateness.cumulative()
        since = [count - before for count, before in zip(now, self._before, strict=True)]
        self._before = now
        self.quantiles.append(quantile(0.95, self._lateness.bounds, since))


def quantile(part: float, bounds: Sequence[float], cumulative: Sequence[int]) -> float:
    """Return a quantile, interpolated between two bounds, which are more than 0.1 s apart."""
    rank = part * cumulative[-1]
    above = next(number for number, count in enumerate(cumulative) if count >= rank)
    least, most = (0.0, *bounds, inf)[above : above + 2]
    below = cumulative[above - 1] if above else 0
    share = (rank - below) / max(cumulative[above] - below, 1)
    return most if most == inf else least + (most - least) * share
