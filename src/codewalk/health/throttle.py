"""A limit on how many checks start at once."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Hashable
from time import thread_time
from typing import Final

MAX_IN_FLIGHT: Final = 1000
"""Checks in flight; a server that never answers keeps one for the 3 s of its timeout."""

MAX_RECENT: Final = 100
"""Checks in flight that started less than `RECENT_SECONDS` ago."""

RECENT_SECONDS: Final = 0.1
"""Seconds of idle time after which a check waits for its server, not for this process."""


def loop_idle_time() -> float:
    """Return the seconds, from some moment on, in which the running event loop was idle."""
    return asyncio.get_running_loop().time() - thread_time()


class Throttle:
    """Lets as many checks start as this machine can serve, however many are due.

    When a thousand servers are due at once, as after a start or a sleep, and all are checked at
    once, each response waits for its turn in this process: that looks like slow servers, makes
    every check request `/path` too, and may cost healthy ones their timeout. So only `MAX_RECENT`
    checks start until others have ended, and a check that still waits after `RECENT_SECONDS` makes
    room for another one.

    Args:
        clock: Counts the seconds in which this process was idle: while it is busy, no server can
            be blamed for waiting.
    """

    def __init__(self, *, clock: Callable[[], float] = loop_idle_time) -> None:
        self._clock = clock
        self._in_flight = 0
        self._recent: OrderedDict[Hashable, float] = OrderedDict()

    def started(self, check: Hashable) -> None:
        """Count a check in."""
        self._in_flight += 1
        self._recent[check] = self._clock()

    def ended(self, check: Hashable) -> None:
        """Count a check out that was counted in."""
        self._in_flight -= 1
        self._recent.pop(check, None)

    def delay(self) -> float | None:
        """Return the seconds until the next check may start, unless one ends before.

        Returns:
            0 for now; None where a check has to end first.
        """
        if self._in_flight >= MAX_IN_FLIGHT:
            return None
        if len(self._recent) < MAX_RECENT:
            return 0.0
        now = self._clock()
        while len(self._recent) >= MAX_RECENT:
            oldest, since = next(iter(self._recent.items()))
            if now - since < RECENT_SECONDS:
                return since + RECENT_SECONDS - now
            del self._recent[oldest]
        return 0.0
