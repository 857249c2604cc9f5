"""An event loop whose clock tests control.

`fake_time` runs a test on an event loop whose clock jumps to the next timer whenever no task is
ready: waiting for ten minutes of monitoring takes no time, and everything happens in its usual
order.
"""

import asyncio
import functools
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec

P = ParamSpec("P")


class _JumpingSelector(selectors.DefaultSelector):
    """A selector that never waits: it moves the clock forward instead."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout is None:
            raise AssertionError("every task waits for something that will never happen")
        if not ready and timeout:
            self.now += timeout
        return ready


class FakeTimeLoop(asyncio.SelectorEventLoop):
    """An event loop with its own clock, for code that uses neither sockets nor threads."""

    def __init__(self) -> None:
        self._jumping_selector = _JumpingSelector()
        super().__init__(self._jumping_selector)

    def time(self) -> float:
        return self._jumping_selector.now

    def freeze(self, seconds: float) -> None:
        """Move the clock as if the process had been stopped: what is due runs afterwards."""
        self._jumping_selector.now += seconds


def fake_time(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Turn an async test into an ordinary one that runs on a `FakeTimeLoop`."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        with asyncio.Runner(loop_factory=FakeTimeLoop) as runner:
            runner.run(test(*args, **kwargs))

    return run


def elapsed() -> float:
    """Return the running loop's time in seconds; under `fake_time` it starts at zero."""
    return asyncio.get_running_loop().time()


def freeze(seconds: float) -> None:
    """Move the clock while no task runs; under `fake_time` only."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, FakeTimeLoop)
    loop.freeze(seconds)


async def advance_time(seconds: float) -> None:
    """Move the clock, and run what becomes due meanwhile; under `fake_time` only."""
    assert isinstance(asyncio.get_running_loop(), FakeTimeLoop)
    await asyncio.sleep(seconds)
