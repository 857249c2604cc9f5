"""Work that is done again and again, and goes on when the store fails for a while."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import NoReturn

from codewalk.errors import StorageError


async def repeat(
    work: Callable[[], Awaitable[object]], *, every: float, trouble: str, log: logging.Logger
) -> NoReturn:
    """Does `work` every so many seconds.

    A `StorageError` is logged as `trouble`, once until the work succeeds again. Any other error is
    raised.
    """
    troubled = False
    while True:
        await asyncio.sleep(every)
        try:
            await work()
        except StorageError as exc:
            if not troubled:
                log.warning("%s: %s", trouble, exc.message)
            troubled = True
        else:
            troubled = False
