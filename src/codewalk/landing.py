"""Work that, once begun, is done to its end."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def land(work: Coroutine[Any, Any, T]) -> T:
    """Runs a write to its end, even if the caller is cancelled meanwhile; that then goes on.

    Without it a write could be cut off between its commit and the answer, and the caller would not
    know what is on disk. The task is owned by this call, which never ends before it.
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
        task.exception()  # seen, so that asyncio doesn't report it as lost
    raise cancelled
