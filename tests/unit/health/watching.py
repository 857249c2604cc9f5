"""A monitor over made-up servers, on a clock that jumps."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime

from codewalk.health.checker import Checker
from codewalk.health.monitor import Monitor
from codewalk.health.status import CheckResult, HealthStatus
from codewalk.reason import State
from codewalk.servers.profile import ServerProfile
from tests.fake_time import elapsed
from tests.fakes import FakeNetwork, FakeStatusStore, utc_now

Recorded = tuple[str, HealthStatus, HealthStatus, HealthStatus, CheckResult | None, float]


@dataclass(kw_only=True)
class Watch:
    """A running monitor and what it works with; `changes` holds what it told, with the time, and
    `records` what it gave to be recorded."""

    monitor: Monitor
    network: FakeNetwork
    store: FakeStatusStore
    changes: list[tuple[float, str]] = field(default_factory=list)
    records: list[Recorded] = field(default_factory=list)
    seen: list[tuple[str, State]] = field(default_factory=list)

    def state(self, server: ServerProfile) -> State:
        return self.monitor.state(server.id)

    def checks(self, server: ServerProfile) -> list[float]:
        """When this server's checks began, to the tenth of a second; retries don't count."""
        starts: list[float] = []
        for path, at in self.network.of(server).requests:
            if path == "/global/health" and not (starts and at - starts[-1] < 0.35):
                starts.append(at)
        return [round(at, 1) for at in starts]

    def states(self, server: ServerProfile) -> list[State]:
        """The states that were told of this server, one after the other."""
        return [state for server_id, state in self.seen if server_id == server.id]

    def told(self, server: ServerProfile) -> list[float]:
        """When a change of this server's was told."""
        return [round(at, 1) for at, server_id in self.changes if server_id == server.id]


@asynccontextmanager
async def watching(
    *servers: ServerProfile,
    network: FakeNetwork | None = None,
    store: FakeStatusStore | None = None,
    active: ServerProfile | None = None,
    jitter: Sequence[float] = (0.5,),
    watch: bool = True,
    route: Callable[[str], bool] = lambda _: True,
    now: Callable[[], datetime] = utc_now,
    on_resume: Callable[[], None] = lambda: None,
) -> AsyncIterator[Watch]:
    """Watches `servers`; the `jitter` of 0.5 leaves the interval as it is."""
    network, store = network or FakeNetwork(), store or FakeStatusStore()
    drawn = iter(jitter)
    changes: list[tuple[float, str]] = []
    records: list[Recorded] = []
    seen: list[tuple[str, State]] = []

    def changed(server_id: str) -> None:
        changes.append((elapsed(), server_id))
        seen.append((server_id, monitor.state(server_id)))

    async with Checker(network.connect, route=route, clock=elapsed) as checker:
        monitor = Monitor(
            checker,
            store,
            on_change=changed,
            record=lambda *args: records.append(args),
            jitter=lambda: next(drawn, jitter[-1]),
            now=now,
            idle_clock=elapsed,
            on_resume=on_resume,
            watch=watch,
        )
        async with monitor:
            monitor.reconcile(servers, active.id if active else None)
            yield Watch(
                monitor=monitor,
                network=network,
                store=store,
                changes=changes,
                records=records,
                seen=seen,
            )
