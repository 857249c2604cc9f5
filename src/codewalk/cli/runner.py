"""Runs one use case of the core for a command."""

import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import cycle
from typing import TYPE_CHECKING, Final, TypeVar

from codewalk.cli.instance import refuse_second_store
from codewalk.cli.log_file import configure_logging
from codewalk.cli.output import is_terminal, sanitize
from codewalk.settings import Settings

if TYPE_CHECKING:
    import asyncio

    from codewalk.app.app import App

T = TypeVar("T")

SPINNER_DELAY: Final = 0.5
"""Seconds until a spinner appears: most commands end before."""

_FRAMES: Final = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_FRAME_INTERVAL: Final = 0.08
"""Seconds between two frames of the spinner."""


def run_with_app(
    work: "Callable[[App], Awaitable[T]]",
    *,
    progress: str = "opening the store",
    as_json: bool = False,
) -> T:
    """Open the app, run `work` on it, and return the result.

    Args:
        work: Calls use cases of the app.
        progress: Says what is being done, for the spinner.
        as_json: Whether the output is JSON; then no warning is printed on stderr.

    Raises:
        StorageError: The store can't be opened.
        CodeWalkError: As `work` raises it.
    """
    import asyncio

    settings = Settings.from_environment()
    configure_logging(settings, to_stderr=not as_json)
    return asyncio.run(_run(settings, work, progress))


async def _run(settings: Settings, work: "Callable[[App], Awaitable[T]]", progress: str) -> T:
    import asyncio

    # Imported here: the core and its store take most of a command's time; `--help` needs neither.
    from codewalk.app.composition import open_app

    await asyncio.to_thread(_refuse_second_store, settings)
    async with show_spinner(progress), open_app(settings) as app:
        return await work(app)


def _refuse_second_store(settings: Settings) -> None:
    from codewalk.storage.location import SqliteFile, locate

    location = locate(settings)
    if isinstance(location, SqliteFile) and not location.path.exists():
        refuse_second_store(settings, location.path)


class Spinner:
    """A running spinner on the last line of stderr."""

    def __init__(self, task: "asyncio.Task[None] | None") -> None:
        self._task = task

    def stop(self) -> None:
        """Remove the spinner, before the block that shows it ends."""
        if self._task:
            self._task.cancel()


@asynccontextmanager
async def show_spinner(progress: str) -> AsyncIterator[Spinner]:
    """Show a spinner with the text `progress` on a terminal, after `SPINNER_DELAY`."""
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
            await asyncio.sleep(_FRAME_INTERVAL)
    finally:
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)
