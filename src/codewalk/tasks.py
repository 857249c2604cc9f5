"""Background tasks: their owner, repetition, restarts, writes that must finish, early ends."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, NoReturn, Self, TypeVar

from codewalk.errors import StorageError

T = TypeVar("T")

RESTART_DELAY: Final = 1.0
"""Seconds until a background job that ended or failed is started again."""

log = logging.getLogger(__name__)


class BackgroundTasks:
    """Owns background tasks; leaving its `async with` block cancels and awaits them.

    A task that fails cancels the block and comes out of it in an `ExceptionGroup`. The block's own
    exception passes through as it is: a plain `TaskGroup` would wrap it in a group too.
    """

    def __init__(self) -> None:
        self._group = asyncio.TaskGroup()
        self._running: set[asyncio.Task[Any]] = set()

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._running:
            task.cancel()
        await self._group.__aexit__(None, None, None)

    def create_task(self, work: Coroutine[Any, Any, T], *, name: str) -> asyncio.Task[T]:
        """Run `work` beside the block and return its task."""
        task = self._group.create_task(work, name=name)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    def start(self, work: Coroutine[Any, Any, Any], *, name: str) -> None:
        """Run `work` beside the block until it ends or the block does."""
        _ = self.create_task(work, name=name)

    def start_job(self, job: Callable[[], Awaitable[object]], *, name: str) -> None:
        """Run `job` beside the block, and start it again whenever it ends or fails."""
        self.start(keep_running(job, name=name), name=name)

    async def join(self) -> None:
        """Wait until the running tasks have ended by themselves."""
        if self._running:
            await asyncio.wait(tuple(self._running))


class InterruptibleBlock:
    """An `async with` block that others can end early, with `TimeoutError`.

    It is `asyncio.timeout`, whose deadline `interrupt` brings forward: the standard library's way
    to cancel a block from outside without taking it for the cancellation of the whole task.

    Args:
        timeout: Seconds until the block ends by itself with `TimeoutError`; None for no limit.
    """

    __slots__ = ("_seconds", "_timeout")

    def __init__(self, timeout: float | None = None) -> None:
        self._seconds = timeout
        self._timeout: asyncio.Timeout | None = None

    async def __aenter__(self) -> Self:
        timeout = asyncio.timeout(self._seconds)
        await timeout.__aenter__()
        self._timeout = timeout
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        timeout, self._timeout = self._timeout, None
        if timeout:
            await timeout.__aexit__(kind, error, traceback)

    def interrupt(self, *, after: float = 0.0) -> None:
        """End the block in `after` seconds, if it would last longer.

        Does nothing before the block begins, after it has ended, and while it is expiring.
        """
        timeout = self._timeout
        # A timeout that is expiring can't be moved any more: reschedule() raises RuntimeError.
        if timeout is None or timeout.expired():
            return
        deadline = asyncio.get_running_loop().time() + after
        current = timeout.when()
        if current is None or deadline < current:
            timeout.reschedule(deadline)


async def run_to_completion(work: Coroutine[Any, Any, T]) -> T:
    """Finish `work`, a write, even if the caller is cancelled meanwhile.

    Otherwise a write could be cut off between its commit and its answer, and the caller would not
    know what is on disk. This call owns the task of `work` and never ends before it.

    Raises:
        CancelledError: The caller was cancelled; `work` has ended, its result or error is dropped.
        Exception: Whatever `work` raised, where the caller was not cancelled.
    """
    task = asyncio.get_running_loop().create_task(work, name="codewalk store write")
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as exc:
            cancelled = exc
    if cancelled is None:
        return task.result()
    if not task.cancelled():
        task.exception()  # retrieved, so that asyncio doesn't report it as lost
    raise cancelled


async def repeat(
    work: Callable[[], Awaitable[object]],
    *,
    interval: float,
    warning: str,
    log: logging.Logger,
    ending: asyncio.Event | None = None,
) -> None:
    """Do `work` every `interval` seconds, also after it failed.

    A failure is logged once until the work succeeds again or fails with another type of error: a
    `StorageError` with its message, an unforeseen error with its traceback.

    Args:
        work: Called again `interval` seconds after it has ended.
        interval: Seconds, before the first call too.
        warning: Begins each log message.
        log: Where the failures are logged.
        ending: Once it is set, `work` is done a last time, at once; it isn't cancelled.
    """
    failure: type[BaseException] | None = None
    ending = ending or asyncio.Event()
    while not ending.is_set():
        with suppress(TimeoutError):
            async with asyncio.timeout(interval):
                await ending.wait()
        try:
            await work()
        except StorageError as exc:
            if failure is not StorageError:
                log.warning("%s: %s", warning, exc.message)
            failure = StorageError
        except (Exception, asyncio.CancelledError) as exc:
            if _is_cancelled(exc):
                raise
            if failure is not type(exc):
                log.exception("%s", warning)
            failure = type(exc)
        else:
            failure = None


async def keep_running(
    job: Callable[[], Awaitable[object]], *, name: str, delay: float = RESTART_DELAY
) -> NoReturn:
    """Run a job that is to last as long as the app, and start it again when it ends or fails.

    Args:
        job: Started again `delay` seconds after it has ended.
        name: Names the job in the log, where each failure appears with its traceback.
        delay: Seconds.
    """
    while True:
        try:
            await job()
        except (Exception, asyncio.CancelledError) as exc:
            if _is_cancelled(exc):
                raise
            if _is_ending():
                # Not started again, or the owner of this task would wait for it for ever.
                log.exception("The background job %r failed while it ended.", name)
                raise asyncio.CancelledError from exc
            log.exception("The background job %r failed; it is started again.", name)
        await asyncio.sleep(delay)


def _is_ending() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _is_cancelled(error: BaseException) -> bool:
    """Return whether `error` is the cancellation of the running task itself.

    An awaited future that somebody else cancelled raises `CancelledError` too: that is a fault
    like any other, and must not end a background job unnoticed.
    """
    return isinstance(error, asyncio.CancelledError) and _is_ending()
