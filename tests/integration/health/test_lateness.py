"""Black holes among many servers, over real sockets and on the real clock."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from math import inf
from statistics import median

from codewalk.connecting import Connector
from codewalk.health.checker import Checker
from codewalk.health.measure import Histogram
from codewalk.health.monitor import Monitor, Record
from codewalk.health.settings import HealthSettings
from codewalk.health.status import Reason
from codewalk.servers.profile import ServerProfile
from tests.fakes import FakeStatusStore, profile

SERVERS = 600
HOLES = 450
ROUNDS = 5
OFTEN = HealthSettings(interval=2, timeout=1.2)
ANSWER = b'{"healthy":true,"version":"1.18.33"}'
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"


class NoSecrets:
    """There are no passwords here."""

    async def unlock(self) -> None: ...


@asynccontextmanager
async def listening(*, answers: bool) -> AsyncIterator[str]:
    """The URL of a server that says it is well to all it is asked, or takes what comes for ever."""
    closed = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                if answers:
                    writer.write(HEAD % len(ANSWER) + ANSWER)
                else:
                    await closed.wait()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=SERVERS)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        closed.set()
        server.close()


async def test_black_holes_make_the_others_no_more_than_a_tenth_of_a_second_late() -> None:
    async with listening(answers=True) as well, listening(answers=False) as hole:
        alive = [server(f"{well}/{number}", number) for number in range(HOLES, SERVERS)]
        holes = [server(f"{hole}/{number}", number) for number in range(HOLES)]
        everybody = [*alive, *holes]
        random.Random(1).shuffle(everybody)
        seen = Seen()
        # Two at once on one loop: whatever else this machine does makes both of them late.
        async with (
            watching(everybody, seen.take) as monitor,
            watching(alive) as control,
            asyncio.timeout(60),
        ):
            # The first round of all, of which nothing is known, until each hole is found out.
            await seen.each(holes, 2)
            rounds = [Rounds(one.lateness.well) for one in (monitor, control)]
            for _ in range(ROUNDS):
                seen.clear()
                await seen.each(alive, 1)
                for each in rounds:
                    each.end_one()
            assert {monitor.status(one.id).reason for one in holes} == {Reason.TIMEOUT}
        late, usual = (each.usual() for each in rounds)
        assert late <= usual + 0.1


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
    servers: Sequence[ServerProfile], record: Record = lambda *_: None
) -> AsyncIterator[Monitor]:
    async with (
        Connector(NoSecrets()) as connector,
        Checker(connector.connect) as checker,
        Monitor(checker, FakeStatusStore(), changed=lambda _: None, record=record) as monitor,
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

    def usual(self) -> float:
        """The median: one moment in which the machine has no time for this process makes those
        late that are due just then, and these are others in each monitor."""
        return median(self.quantiles)


def quantile(part: float, bounds: Sequence[float], cumulative: Sequence[int]) -> float:
    """Interpolated between two bounds: they are too far apart to be told from each other by a tenth
    of a second."""
    rank = part * cumulative[-1]
    above = next(number for number, count in enumerate(cumulative) if count >= rank)
    least, most = (0.0, *bounds, inf)[above : above + 2]
    below = cumulative[above - 1] if above else 0
    share = (rank - below) / max(cumulative[above] - below, 1)
    return most if most == inf else least + (most - least) * share
