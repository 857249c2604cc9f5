"""How many checks may start at once."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Hashable
from time import thread_time
from typing import Final

MAX_IN_FLIGHT: Final = 1000
"""Checks under way at most; a black hole holds its place for the 3 s of the budget."""

MAX_RECENT: Final = 100
"""Checks at most that may still be waiting for this process and not for a server."""

RECENT_SECONDS: Final = 0.1
"""Seconds of waiting after which a check is a server's matter."""


def loop_idle_time() -> float:
    """Seconds, from some moment on, in which the running event loop had nothing to do."""
    return asyncio.get_running_loop().time() - thread_time()


class Throttle:
    """Lets as many checks start as this machine can serve, however many are due.

    When a thousand servers are due at once, as after a start or a sleep, and all are asked at once,
    each answer waits for its turn in this process: that looks like slow servers, makes every
    check ask `/path` too, and may cost healthy ones their budget. So only `MAX_RECENT` checks start
    until others have ended, while one that waits for a slow server gives its place away after
    `RECENT_SECONDS`. `clock` counts the seconds in which this process was idle: those in which it
    was busy are no server's fault.
    """

    def __init__(self, *, clock: Callable[[], float] = loop_idle_time) -> None:
        self._clock = clock
        self._under_way = 0
        self._young: OrderedDict[Hashable, float] = OrderedDict()

    def started(self, check: Hashable) -> None:
        """Counts a check in; `check` is what `ended` will be told."""
        self._under_way += 1
        self._young[check] = self._clock()

    def ended(self, check: Hashable) -> None:
        """Counts a check out."""
        self._under_way -= 1
        self._young.pop(check, None)

    def delay(self) -> float | None:
        """The seconds until another check may start unless one ends before, 0 for now; None where
        one has to end first."""
        if self._under_way >= MAX_IN_FLIGHT:
            return None
        if len(self._young) < MAX_RECENT:
            return 0.0
        now = self._clock()
        while len(self._young) >= MAX_RECENT:
            oldest, since = next(iter(self._young.items()))
            if now - since < RECENT_SECONDS:
                return since + RECENT_SECONDS - now
            del self._young[oldest]
        return 0.0
