"""Measures pauses of the event loop, in which it has no time for anything else."""

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

TICK = 0.001
"""Seconds between two measurements of a loop that has nothing else to do."""


@asynccontextmanager
async def measure_pauses(
    clock: Callable[[], float] = time.perf_counter,
) -> AsyncIterator[list[float]]:
    """Collect the seconds between each two turns that a ticker had on the event loop.

    `time.thread_time` as the clock counts only what the loop itself does, whatever else runs on
    the machine. Objects from before are left out of garbage collection meanwhile, as the running
    app does: those of a whole test session take a tenth of a second to look through.
    """
    pauses: list[float] = []

    async def tick() -> None:
        before = clock()
        while True:
            await asyncio.sleep(TICK)
            pauses.append(clock() - before)
            before = clock()

    async with asyncio.TaskGroup() as group:
        gc.collect()
        gc.freeze()
        ticker = group.create_task(tick(), name="ticker")
        try:
            yield pauses
        finally:
            ticker.cancel()
            gc.unfreeze()
