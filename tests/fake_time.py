"""A clock that tests turn.

`fake_time` runs a test on an event loop whose clock jumps to the next timer whenever nothing else
is left to do: waiting for ten minutes of monitoring takes no time, and what happens in between
happens in the same order as always.
"""

import asyncio
import functools
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec

P = ParamSpec("P")


class _JumpingSelector(selectors.DefaultSelector):
    """Never waits: it moves the clock on instead."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout is None:
            raise AssertionError("every task waits for something that nobody will do")
        if not ready and timeout:
            self.now += timeout
        return ready


class FakeTimeLoop(asyncio.SelectorEventLoop):
    """An event loop with a clock of its own, for code that uses neither sockets nor threads."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now

    def freeze(self, seconds: float) -> None:
        """As when the process is stopped for so long: nothing is done, and then all that is due."""
        self._jumping.now += seconds


def fake_time(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Makes an async test an ordinary one that runs on a `FakeTimeLoop`."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        with asyncio.Runner(loop_factory=FakeTimeLoop) as runner:
            runner.run(test(*args, **kwargs))

    return run


def elapsed() -> float:
    """Seconds of the running loop's clock; from zero under `fake_time`."""
    return asyncio.get_running_loop().time()


def freeze(seconds: float) -> None:
    """Lets the clock run on while nothing is done; under `fake_time` only."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, FakeTimeLoop)
    loop.freeze(seconds)


async def advance_time(seconds: float) -> None:
    """Lets the clock run on, and with it all that is due; under `fake_time` only."""
    assert isinstance(asyncio.get_running_loop(), FakeTimeLoop)
    await asyncio.sleep(seconds)
