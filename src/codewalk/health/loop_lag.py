"""How late this process is with what it does: a check that runs out of time then is no evidence."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

SAMPLE_INTERVAL: Final = 1 / 16
"""Seconds between two looks at the clock while something is measured."""


class LoopLag:
    """Adds up by how much a timer comes too late, again and again: because this process does
    something else, or because the machine has no time for it."""

    def __init__(self) -> None:
        self._sum = 0.0
        self._measures = 0
        self._timer: asyncio.TimerHandle | None = None

    @contextmanager
    def measured(self) -> Iterator[Callable[[], float]]:
        """Gives the seconds by which this process was late since the block began."""
        loop = asyncio.get_running_loop()
        if self._timer is None:
            self._timer = loop.call_later(SAMPLE_INTERVAL, self._tick)
        before = self._so_far(loop.time())
        self._measures += 1
        try:
            yield lambda: self._so_far(loop.time()) - before
        finally:
            self._measures -= 1
            if not self._measures:
                self._timer.cancel()
                self._timer = None

    def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        self._sum = self._so_far(loop.time())
        self._timer = loop.call_later(SAMPLE_INTERVAL, self._tick)

    def _so_far(self, now: float) -> float:
        """With the tick that is due already, and waits for its turn behind whoever asks."""
        return self._sum + (max(0.0, now - self._timer.when()) if self._timer else 0.0)
