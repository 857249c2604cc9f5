"""Which server is due when, and whose check may start now.

Pure but for the throttle's clock: the time goes in, so every rule here is tested without waiting.
"""

import heapq
from collections.abc import Callable
from math import inf
from typing import Final, NamedTuple

from codewalk.health.histogram import Histogram
from codewalk.health.throttle import Throttle, loop_idle_time

LATENESS_BOUNDS: Final = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
)  # fmt: skip
"""The bounds, in seconds, by which `Lateness` counts."""


class Lateness(NamedTuple):
    """How long after its deadline each check began: of servers that were well the time before, and
    of those that failed, which may have to wait for each other."""

    passing: Histogram
    failing: Histogram


class DueCheck(NamedTuple):
    """Whose turn it is; its check is counted in and out of `throttle`."""

    server_id: str
    throttle: Throttle


class _Lane:
    """Deadlines, the next one first, and the places for their checks."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.heap: list[tuple[float, str]] = []
        self.throttle = Throttle(clock=clock)
        self.lateness = Histogram(LATENESS_BOUNDS)


class Schedule:
    """One deadline for each server, in two lanes.

    Servers that failed last time have a lane of their own: a black hole holds its place for the
    whole of its timeout, and a thousand of them would leave none to those that are well.
    """

    def __init__(self, *, clock: Callable[[], float] = loop_idle_time) -> None:
        self._due: dict[str, float] = {}
        self._quick, self._slow = _Lane(clock), _Lane(clock)
        self.lateness = Lateness(self._quick.lateness, self._slow.lateness)

    def __contains__(self, server_id: str) -> bool:
        return server_id in self._due

    def plan(self, server_id: str, due: float, *, failing: bool = False) -> bool:
        """Sets a server's deadline in place of the one it had; whether it is the next one now."""
        lane = self._slow if failing else self._quick
        self._due[server_id] = due
        # The entry of an earlier deadline stays, and is passed over when its turn comes.
        heapq.heappush(lane.heap, (due, server_id))
        return lane.heap[0][0] == due

    def remove(self, server_id: str) -> None:
        """Leaves a server without a deadline."""
        self._due.pop(server_id, None)

    def pop_due(self, now: float, *, priority: str | None = None) -> DueCheck | None:
        """Whose check starts now, None where nobody's may. Its deadline is met with that.

        `priority`, the active server, goes before all others, however many checks are under way.
        """
        if priority is not None and self._due.get(priority, inf) <= now:
            return self._turn(priority, self._quick, now)
        for lane in (self._quick, self._slow):
            self._pass_over(lane)
            if lane.heap and lane.heap[0][0] <= now and lane.throttle.delay() == 0:
                return self._turn(heapq.heappop(lane.heap)[1], lane, now)
        return None

    def delay(self, now: float) -> float | None:
        """Seconds until somebody's turn may come; None where a check has to end or a deadline to be
        set before."""
        waits = [
            wait for lane in (self._quick, self._slow) if (wait := _wait(lane, now)) is not None
        ]
        return min(waits, default=None)

    def has_waiting(self, now: float) -> bool:
        """Whether somebody is due and has no place: the end of a check gives one."""
        return any(lane.heap and lane.heap[0][0] <= now for lane in (self._quick, self._slow))

    def _turn(self, server_id: str, lane: _Lane, now: float) -> DueCheck:
        lane.lateness.add(now - self._due.pop(server_id))
        return DueCheck(server_id, lane.throttle)

    def _pass_over(self, lane: _Lane) -> None:
        while lane.heap and self._due.get(lane.heap[0][1]) != lane.heap[0][0]:
            heapq.heappop(lane.heap)


def _wait(lane: _Lane, now: float) -> float | None:
    if not lane.heap:
        return None
    due = lane.heap[0][0]
    return due - now if due > now else lane.throttle.delay()
