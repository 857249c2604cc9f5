"""Work that a switch of the active server ends."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from codewalk.errors import CodeWalkError, Superseded


class Generation:
    """The number of the switch in force, and the work begun under it.

    Invariant: nothing that began under an older number ends normally under a newer one.
    """

    def __init__(self, number: int = 0) -> None:
        self.number = number
        self._work: set[asyncio.Timeout] = set()

    @asynccontextmanager
    async def work(self) -> AsyncIterator[None]:
        """Runs the block under the current generation.

        Raises `Superseded` where a switch came first; the block is cancelled at the switch, not
        when it ends.
        """
        number = self.number
        try:
            # A timeout without a deadline, which `advance` moves to now: the standard library's
            # way to cancel a block from outside without mistaking it for the task's own end.
            async with asyncio.timeout(None) as cancellable:
                self._work.add(cancellable)
                try:
                    yield
                finally:
                    self._work.discard(cancellable)
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
        # Taken out: work that is still cleaning up at the next switch can't be cancelled twice.
        ended, self._work = self._work, set()
        for cancellable in ended:
            cancellable.reschedule(0.0)
