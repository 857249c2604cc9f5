"""Brings statuses to the store in batches."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Final, Protocol, Self

from codewalk.errors import StorageError
from codewalk.health.status import HealthStatus
from codewalk.tasks import BackgroundTasks, repeat

SAVE_INTERVAL: Final = 1.0
"""Seconds between two batches of statuses to the store."""

log = logging.getLogger(__name__)


class StatusStore(Protocol):
    """Where statuses outlive the process."""

    async def load(self) -> dict[str, HealthStatus]: ...
    async def save(self, statuses: Mapping[str, HealthStatus]) -> None: ...


class StatusWriter:
    """Writes the statuses that changed; between enter and exit by itself, every `SAVE_INTERVAL`.

    `statuses` is what is known of each server, as it is when a batch is written.
    """

    def __init__(self, store: StatusStore, statuses: Mapping[str, HealthStatus]) -> None:
        self._store = store
        self._statuses = statuses
        self._changed: set[str] = set()
        self._tasks = BackgroundTasks()

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        again = repeat(self.save, interval=SAVE_INTERVAL, warning="Health can't be saved", log=log)
        self._tasks.start(again, name="health writer")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._tasks.__aexit__(*_)

    def add(self, server_id: str) -> None:
        """Has a server's status written with the next batch."""
        self._changed.add(server_id)

    def discard(self, server_id: str) -> None:
        """Leaves a server out."""
        self._changed.discard(server_id)

    async def save(self) -> None:
        """Writes what changed since the last batch. Raises `StorageError`; then it is kept for the
        next one."""
        changed, self._changed = self._changed, set()
        batch = {i: self._statuses[i] for i in changed if i in self._statuses}
        if not batch:
            return
        try:
            await self._store.save(batch)
        except (StorageError, asyncio.CancelledError):
            self._changed |= batch.keys()
            raise
