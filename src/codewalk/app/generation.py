"""The generation number, and the work that a switch ends."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from codewalk.errors import CodeWalkError, Superseded
from codewalk.tasks import InterruptibleBlock


class Generation:
    """The number of the last switch, and the work that began since.

    Invariant: nothing that began under an older number ends normally under a newer one.
    """

    def __init__(self, number: int = 0) -> None:
        self.number = number
        self._work: set[InterruptibleBlock] = set()

    @asynccontextmanager
    async def work(self) -> AsyncIterator[None]:
        """Run the block under the current generation; a switch cancels it at once.

        Raises:
            Superseded: A switch came before the block ended.
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
            # After a switch the error is about a server that nobody looks at any more.
            if number == self.number:
                raise
        if number != self.number:
            raise Superseded("The active server changed while this was under way; ask again.")

    def advance(self, number: int) -> None:
        """Make `number` the current generation, and cancel the work of older ones."""
        if number == self.number:
            return
        self.number = number
        for block in tuple(self._work):
            block.interrupt()
