"""The open pages that are visible, and so show the active server's lists."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class Viewers:
    """The pages that show the active server's lists; a hidden tab isn't one."""

    def __init__(self) -> None:
        self._count = 0
        self._arrived = asyncio.Event()

    @contextmanager
    def viewing(self) -> Iterator[None]:
        """Count one more page during the block."""
        self._count += 1
        self._arrived.set()
        try:
            yield
        finally:
            self._count -= 1

    async def wait(self, interval: float) -> None:
        """Wait until a page begins to look, or for `interval` seconds while one does."""
        while True:
            try:
                async with asyncio.timeout(interval if self._count else None):
                    await self._arrived.wait()
            except TimeoutError:
                if self._count:
                    return
            else:
                self._arrived.clear()
                if self._count:
                    return
