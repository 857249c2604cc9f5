"""The protocol between a contender and the benchmark: arguments in, lines out."""

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter


def print_line(*words: object) -> None:
    """Print one line for the benchmark, at once."""
    print(*words, flush=True)


async def measure(done: Callable[[], int], *, servers: int, seconds: float) -> None:
    """Print `begin` once every server was checked twice, and `end N` after `seconds`.

    The checks are made by other tasks.

    Args:
        done: Returns the number of checks so far.
        servers: The number of servers.
        seconds: The time to measure.
    """
    while done() < 2 * servers:  # noqa: ASYNC110 - an event for each check would be measured too
        await asyncio.sleep(0.05)
    print_line("begin")
    first, started = done(), perf_counter()
    await asyncio.sleep(seconds)
    # Scaled, since a busy loop wakes late and would be credited with more.
    print_line("end", round((done() - first) * seconds / (perf_counter() - started)))
    # Block the loop on purpose: nothing may be used until the benchmark has read what was used.
    sys.stdin.read()


def parse_arguments() -> tuple[list[str], float]:
    """Return the URLs, from a file with one on each line, and the seconds to work."""
    return Path(sys.argv[1]).read_text().split(), float(sys.argv[2])
