"""The schedule of checks: the deadline of each server, and the limits on starts.

Pure but for the throttle's clock: times are arguments, so every rule here is tested without a
clock.
"""

import heapq
from collections.abc import Callable
from datetime import datetime
from math import inf
from typing import Final, NamedTuple

from codewalk.health.histogram import Histogram
from codewalk.health.status import (
    MAX_CHECK_DELAY,
    RECHECK_DELAY,
    REFUSED_CREDENTIALS,
    HealthStatus,
)
from codewalk.health.throttle import Throttle, loop_idle_time
from codewalk.reason import Reason, State

MAX_JITTER: Final = 0.1
"""The share of the interval that jitter may add or take, so that checks don't bunch."""

LONG_DOWN_INTERVALS: Final = ((600.0, 60.0), (120.0, 30.0))
"""Pairs of the seconds that a server has been unhealthy and its interval from then on."""

REFUSED_CREDENTIALS_DELAYS: Final = (60.0, 180.0, MAX_CHECK_DELAY.total_seconds())
"""Seconds until the next check after each check of a server that refuses the credentials.

Servers ban an address after some refusals: with these delays a server gets the same refused
credentials three times in the first five minutes, which leaves one for a slow first check.
"""

LATENESS_BOUNDS: Final = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
)  # fmt: skip
"""The buckets of the lateness histograms, in seconds."""


def next_interval(
    status: HealthStatus, interval: float, *, now: datetime, active: bool, jitter: float
) -> float:
    """Return the seconds from the end of a check to the next one.

    Args:
        status: The status after the check. An unsettled one is checked again soon, one of a busy
            server when it may be asked, one of refused credentials rarely.
        interval: The server's own interval. A server that has been unhealthy for long is checked
            less often.
        now: The end of the check.
        active: Whether it is the active server, which is never checked less often.
        jitter: A random number from 0 to 1.
    """
    if status.unsettled:
        return RECHECK_DELAY
    if status.reason is Reason.BUSY and status.retry_at and now < status.retry_at:
        return (status.retry_at - now).total_seconds()
    if status.refusals and status.reason in REFUSED_CREDENTIALS:
        number = min(status.refusals, len(REFUSED_CREDENTIALS_DELAYS))
        interval = max(interval, REFUSED_CREDENTIALS_DELAYS[number - 1])
        return interval * (1 + MAX_JITTER * (2 * jitter - 1))
    if status.state is State.UNHEALTHY and not active and status.since:
        down = (now - status.since).total_seconds()
        longer = next((longer for after, longer in LONG_DOWN_INTERVALS if down >= after), interval)
        interval = max(longer, interval)
    return interval * (1 + MAX_JITTER * (2 * jitter - 1))


def is_held_back(status: HealthStatus, now: datetime) -> bool:
    """Return whether nothing but its next scheduled check may be sent to a server.

    That is so while it is busy, and once it has refused the credentials.
    """
    if status.reason is Reason.BUSY:
        return status.retry_at is not None and now < status.retry_at
    return status.refusals > 0 and status.reason in REFUSED_CREDENTIALS


class Lateness(NamedTuple):
    """The seconds from each check's deadline to its start, by the result of the check before.

    Attributes:
        passing: Of servers whose last check was good.
        failing: Of servers whose last check failed; they may have to wait for each other.
    """

    passing: Histogram
    failing: Histogram


class DueCheck(NamedTuple):
    """A check that may start now; whoever starts it counts it in and out of `throttle`."""

    server_id: str
    throttle: Throttle


class _Queue:
    """Deadlines, the next one first, and the throttle of their checks."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.heap: list[tuple[float, str]] = []
        self.throttle = Throttle(clock=clock)
        self.lateness = Histogram(LATENESS_BOUNDS)

    def delay(self, now: float) -> float | None:
        if not self.heap:
            return None
        due = self.heap[0][0]
        return due - now if due > now else self.throttle.delay()


class Schedule:
    """One deadline for each server, in two queues.

    Servers whose last check failed have a queue of their own: one that never answers stays in
    flight for its whole timeout, and a thousand of them would leave no room to the others.

    Args:
        clock: Counts the seconds in which this process was idle.
    """

    def __init__(self, *, clock: Callable[[], float] = loop_idle_time) -> None:
        self._due: dict[str, float] = {}
        self._passing, self._failing = _Queue(clock), _Queue(clock)
        self._queues = (self._passing, self._failing)
        self.lateness = Lateness(self._passing.lateness, self._failing.lateness)

    def __contains__(self, server_id: str) -> bool:
        return server_id in self._due

    def plan(self, server_id: str, due: float, *, failing: bool = False) -> bool:
        """Replace a server's deadline, and return whether it is the next one of its queue now."""
        queue = self._failing if failing else self._passing
        self._due[server_id] = due
        # The entry of an earlier deadline stays in the heap and is dropped when it comes first.
        heapq.heappush(queue.heap, (due, server_id))
        return queue.heap[0][0] == due

    def remove(self, server_id: str) -> None:
        """Drop a server's deadline."""
        self._due.pop(server_id, None)

    def pop_due(self, now: float, *, priority: str | None = None) -> DueCheck | None:
        """Return a check that may start now, and drop its deadline; None without any.

        Args:
            now: Seconds, on the clock of the deadlines.
            priority: The active server: it comes before all others, and isn't throttled.
        """
        if priority is not None and self._due.get(priority, inf) <= now:
            return self._pop(priority, self._passing, now)
        for queue in self._queues:
            self._drop_replaced(queue)
            if queue.heap and queue.heap[0][0] <= now and queue.throttle.delay() == 0:
                return self._pop(heapq.heappop(queue.heap)[1], queue, now)
        return None

    def delay(self, now: float) -> float | None:
        """Return the seconds until a check may start.

        Returns:
            None where nothing helps but the end of a check or another deadline.
        """
        delays = [delay for queue in self._queues if (delay := queue.delay(now)) is not None]
        return min(delays, default=None)

    def has_waiting(self, now: float) -> bool:
        """Return whether a check is due and throttled: the end of another one lets it start."""
        return any(queue.heap and queue.heap[0][0] <= now for queue in self._queues)

    def _pop(self, server_id: str, queue: _Queue, now: float) -> DueCheck:
        queue.lateness.add(now - self._due.pop(server_id))
        return DueCheck(server_id, queue.throttle)

    def _drop_replaced(self, queue: _Queue) -> None:
        while queue.heap and self._due.get(queue.heap[0][1]) != queue.heap[0][0]:
            heapq.heappop(queue.heap)
