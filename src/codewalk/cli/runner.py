"""Runs one use case of the core for a command."""

import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import cycle
from typing import TYPE_CHECKING, Final, TypeVar

from codewalk.cli.log_file import configure_logging
from codewalk.cli.output import is_terminal, sanitize
from codewalk.settings import Settings

if TYPE_CHECKING:
    import asyncio

    from codewalk.app.app import App

T = TypeVar("T")

SPINNER_DELAY: Final = 0.5
"""Seconds of silence before a person is told what is going on."""

_FRAMES: Final = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_FRAME: Final = 0.08


def run_with_app(
    work: "Callable[[App], Awaitable[T]]",
    *,
    progress: str = "opening the store",
    as_json: bool = False,
) -> T:
    """The result of `work` on an open app.

    `progress` is shown to a person who waits. Raises what `work` raises, and `StorageError`.
    """
    import asyncio

    settings = Settings.from_environment()
    configure_logging(settings, to_stderr=not as_json)
    return asyncio.run(_run(settings, work, progress))


async def _run(settings: Settings, work: "Callable[[App], Awaitable[T]]", progress: str) -> T:
    # Imported here: the core and its store take most of a command's time, and `--help` needs none.
    from codewalk.app.composition import open_app

    async with show_spinner(progress), open_app(settings) as app:
        return await work(app)


class Spinner:
    """A sign of life on stderr's last line; `stop` takes it away."""

    def __init__(self, task: "asyncio.Task[None] | None") -> None:
        self._task = task

    def stop(self) -> None:
        if self._task:
            self._task.cancel()


@asynccontextmanager
async def show_spinner(progress: str) -> AsyncIterator[Spinner]:
    """Tells a person at a terminal what is going on, where it takes longer than `SPINNER_DELAY`."""
    if not is_terminal(sys.stderr):
        yield Spinner(None)
        return

    from codewalk.tasks import BackgroundTasks

    async with BackgroundTasks() as tasks:
        yield Spinner(tasks.create_task(_spin(sanitize(progress)), name="spinner"))


async def _spin(progress: str) -> None:
    import asyncio

    await asyncio.sleep(SPINNER_DELAY)
    try:
        for frame in cycle(_FRAMES):
            print(f"\r{frame} {progress} ", end="", file=sys.stderr, flush=True)
            await asyncio.sleep(_FRAME)
    finally:
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)
