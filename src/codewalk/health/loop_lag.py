"""Event-loop lag: a check that times out because of it says nothing about its server."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

SAMPLE_INTERVAL: Final = 1 / 16
"""Seconds between two samples while something is measured."""


class LoopLag:
    """Measures how late a repeating timer of the event loop fires.

    It is late while this process does something else, or while the machine has no time for it.
    """

    def __init__(self) -> None:
        self._total = 0.0
        self._measurements = 0
        self._timer: asyncio.TimerHandle | None = None

    @contextmanager
    def measure(self) -> Iterator[Callable[[], float]]:
        """Yield a function that returns the seconds of lag since the block began."""
        loop = asyncio.get_running_loop()
        if self._timer is None:
            self._timer = loop.call_later(SAMPLE_INTERVAL, self._sample)
        start = self._total_at(loop.time())
        self._measurements += 1
        try:
            yield lambda: self._total_at(loop.time()) - start
        finally:
            self._measurements -= 1
            if not self._measurements:
                self._timer.cancel()
                self._timer = None

    def _sample(self) -> None:
        loop = asyncio.get_running_loop()
        self._total = self._total_at(loop.time())
        self._timer = loop.call_later(SAMPLE_INTERVAL, self._sample)

    def _total_at(self, now: float) -> float:
        """Return the lag so far, that of a sample included that is due and hasn't run yet."""
        return self._total + (max(0.0, now - self._timer.when()) if self._timer else 0.0)
