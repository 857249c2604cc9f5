"""Work that a switch of the active server ends."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from codewalk.errors import CodeWalkError, Superseded
from codewalk.tasks import InterruptibleBlock


class Generation:
    """The number of the switch in force, and the work begun under it.

    Invariant: nothing that began under an older number ends normally under a newer one.
    """

    def __init__(self, number: int = 0) -> None:
        self.number = number
        self._work: set[InterruptibleBlock] = set()

    @asynccontextmanager
    async def work(self) -> AsyncIterator[None]:
        """Runs the block under the current generation.

        Raises `Superseded` where a switch came first; the block is cancelled at the switch, not
        when it ends.
        """
        number = self.number
        try:
            async with InterruptibleBlock() as block:
                self._work.add(block)
                try:
                    yield
                finally:
                    self._work.discard(block)
        except (TimeoutError, CodeWalkError):
            # After a switch, an error of the work is news of a server that nobody looks at.
            if number == self.number:
                raise
        if number != self.number:
            raise Superseded("The active server changed while this was under way; ask again.")

    def advance(self, number: int) -> None:
        """Makes `number` the generation in force and cancels the work of the older ones."""
        if number == self.number:
            return
        self.number = number
        for block in tuple(self._work):
            block.interrupt()
