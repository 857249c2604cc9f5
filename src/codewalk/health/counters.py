"""What the checks of each server found, counted since the start."""

from collections import Counter
from collections.abc import Container
from typing import Final

from codewalk.health.histogram import Histogram
from codewalk.health.status import CheckResult, HealthStatus
from codewalk.reason import State

LATENCY_BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""The bounds, in seconds, by which answers are counted."""


class ServerCounters:
    """The counts of one server: good and failed checks, changes into each state, and the good
    checks' latencies in seconds."""

    __slots__ = ("failed", "good", "latency", "transitions")

    def __init__(self) -> None:
        self.good = 0
        self.failed = 0
        self.transitions: Counter[State] = Counter()
        self.latency = Histogram(LATENCY_BOUNDS)

    def add(self, other: "ServerCounters") -> None:
        """Counts in all of `other`."""
        self.good += other.good
        self.failed += other.failed
        self.transitions += other.transitions
        self.latency.merge(other.latency)

    def copy(self) -> "ServerCounters":
        """Return counters with the same numbers, which later checks don't change."""
        copied = ServerCounters()
        copied.add(self)
        return copied


class CheckCounters:
    """The counts of all servers."""

    def __init__(self) -> None:
        self._servers: dict[str, ServerCounters] = {}

    def get(self, server_id: str) -> ServerCounters:
        """One server's counts, as they are then; nothing but zeros before it was checked."""
        return self._servers.get(server_id) or ServerCounters()

    def record(
        self,
        server_id: str,
        _: HealthStatus,
        before: HealthStatus,
        after: HealthStatus,
        result: CheckResult | None,
    ) -> None:
        """Counts that a status took the place of `before`, and the check behind it, if any."""
        counters = self._servers.get(server_id)
        if counters is None:
            counters = self._servers[server_id] = ServerCounters()
        if before.state is not after.state:
            counters.transitions[after.state] += 1
        if result is None:
            return
        if not result.ok:
            counters.failed += 1
            return
        counters.good += 1
        if result.latency_ms is not None:
            counters.latency.add(result.latency_ms / 1000)

    def retain(self, server_ids: Container[str]) -> None:
        """Drops the counts of all other servers."""
        self._servers = {i: counters for i, counters in self._servers.items() if i in server_ids}
