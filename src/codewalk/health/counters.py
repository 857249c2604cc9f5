"""Counters of each server's checks since the start of the process, for `/metrics`."""

from collections import Counter
from collections.abc import Container
from typing import Final

from codewalk.health.histogram import Histogram
from codewalk.health.status import CheckResult, HealthStatus
from codewalk.reason import State

LATENCY_BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""The buckets of the latency histogram, in seconds."""


class ServerCounters:
    """The counters of one server.

    Attributes:
        good: Checks that succeeded.
        failed: Checks that failed.
        transitions: Changes into each state.
        latency: The latencies of the good checks, in seconds.
    """

    __slots__ = ("failed", "good", "latency", "transitions")

    def __init__(self) -> None:
        self.good = 0
        self.failed = 0
        self.transitions: Counter[State] = Counter()
        self.latency = Histogram(LATENCY_BOUNDS)

    def add(self, other: "ServerCounters") -> None:
        """Add the counts of another server."""
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
    """The counters of all servers."""

    def __init__(self) -> None:
        self._servers: dict[str, ServerCounters] = {}

    def get(self, server_id: str) -> ServerCounters:
        """Return a server's counters; zeros before its first check."""
        return self._servers.get(server_id) or ServerCounters()

    def record(
        self,
        server_id: str,
        _: HealthStatus,
        before: HealthStatus,
        after: HealthStatus,
        result: CheckResult | None,
        _interval: float = 0.0,
    ) -> None:
        """Count a new status, and the check behind it, if any; see `RecordStatus`."""
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
        """Drop the counters of all other servers."""
        self._servers = {i: counters for i, counters in self._servers.items() if i in server_ids}
