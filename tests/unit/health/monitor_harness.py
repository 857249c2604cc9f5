"""A monitor over fake servers, on a fake clock."""

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
class MonitorHarness:
    """A running monitor and what it works with.

    Attributes:
        monitor: The monitor.
        network: The fake servers.
        store: Where the statuses are stored.
        changes: The times and servers of the announced changes.
        records: The arguments of `record`, call by call.
        announced_states: The servers and states of the announced changes.
    """

    monitor: Monitor
    network: FakeNetwork
    store: FakeStatusStore
    changes: list[tuple[float, str]] = field(default_factory=list)
    records: list[Recorded] = field(default_factory=list)
    announced_states: list[tuple[str, State]] = field(default_factory=list)

    def state(self, server: ServerProfile) -> State:
        return self.monitor.state(server.id)

    def check_times(self, server: ServerProfile) -> list[float]:
        """Return when this server's checks began, to the tenth of a second, without retries."""
        starts: list[float] = []
        for path, at in self.network.of(server).requests:
            if path == "/global/health" and not (starts and at - starts[-1] < 0.35):
                starts.append(at)
        return [round(at, 1) for at in starts]

    def states(self, server: ServerProfile) -> list[State]:
        """Return the announced states of this server in order."""
        return [state for server_id, state in self.announced_states if server_id == server.id]

    def change_times(self, server: ServerProfile) -> list[float]:
        """Return when changes of this server were announced."""
        return [round(at, 1) for at, server_id in self.changes if server_id == server.id]


@asynccontextmanager
async def run_monitor(
    *servers: ServerProfile,
    network: FakeNetwork | None = None,
    store: FakeStatusStore | None = None,
    active: ServerProfile | None = None,
    jitter: Sequence[float] = (0.5,),
    watch: bool = True,
    route: Callable[[str], bool] = lambda _: True,
    now: Callable[[], datetime] = utc_now,
    on_resume: Callable[[], None] = lambda: None,
    on_change: Callable[[], None] = lambda: None,
    record: Callable[[], None] = lambda: None,
    idle_clock: Callable[[], float] = elapsed,
) -> AsyncIterator[MonitorHarness]:
    """Watch `servers`; a `jitter` of 0.5 leaves the interval as it is.

    `on_change` and `record` are called first whenever the monitor calls its own.
    """
    network, store = network or FakeNetwork(), store or FakeStatusStore()
    jitter_values = iter(jitter)
    changes: list[tuple[float, str]] = []
    records: list[Recorded] = []
    announced_states: list[tuple[str, State]] = []

    def announce(server_id: str) -> None:
        on_change()
        changes.append((elapsed(), server_id))
        announced_states.append((server_id, monitor.state(server_id)))

    def add_record(*args: *Recorded) -> None:
        record()
        records.append(args)

    async with Checker(network.connect, route=route, clock=elapsed) as checker:
        monitor = Monitor(
            checker,
            store,
            on_change=announce,
            record=add_record,
            jitter=lambda: next(jitter_values, jitter[-1]),
            now=now,
            idle_clock=idle_clock,
            on_resume=on_resume,
            watch=watch,
        )
        async with monitor:
            monitor.reconcile(servers, active.id if active else None)
            yield MonitorHarness(
                monitor=monitor,
                network=network,
                store=store,
                changes=changes,
                records=records,
                announced_states=announced_states,
            )
