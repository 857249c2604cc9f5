"""A contender's closed loop: warm up, then work for some seconds."""

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter


def say(*words: object) -> None:
    print(*words, flush=True)


async def measure(done: Callable[[], int], *, servers: int, seconds: float) -> None:
    """Says `begin` once every server was checked twice, and `end N` after `seconds`.

    `done` counts the checks so far. The work itself runs in other tasks.
    """
    while done() < 2 * servers:  # noqa: ASYNC110 - an event for each check would be measured too
        await asyncio.sleep(0.05)
    say("begin")
    first, started = done(), perf_counter()
    await asyncio.sleep(seconds)
    # Scaled where the loop woke late, so that a busy one isn't credited with more.
    say("end", round((done() - first) * seconds / (perf_counter() - started)))
    # Nothing more is used until it has been read what was; the loop stands still on purpose.
    sys.stdin.read()


def arguments() -> tuple[list[str], float]:
    """The URLs, from a file with one a line, and the seconds to work."""
    return Path(sys.argv[1]).read_text().split(), float(sys.argv[2])
