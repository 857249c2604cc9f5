"""Writes statuses to the store in batches."""

import logging
from collections.abc import Mapping
from typing import Final, Protocol, Self

from codewalk.health.status import HealthStatus
from codewalk.tasks import BackgroundTasks, repeat

SAVE_INTERVAL: Final = 1.0
"""Seconds between two batches."""

log = logging.getLogger(__name__)


class StatusStore(Protocol):
    """A store of statuses. Both methods raise `StorageError`."""

    async def load(self) -> dict[str, HealthStatus]: ...
    async def save(self, statuses: Mapping[str, HealthStatus]) -> None: ...


class StatusWriter:
    """Writes the statuses that changed; between enter and exit every `SAVE_INTERVAL` seconds.

    Args:
        store: Where they are written.
        statuses: The status of each server, read when a batch is written.
    """

    def __init__(self, store: StatusStore, statuses: Mapping[str, HealthStatus]) -> None:
        self._store = store
        self._statuses = statuses
        self._changed: set[str] = set()
        self._tasks = BackgroundTasks()

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        saving = repeat(self.save, interval=SAVE_INTERVAL, warning="Health can't be saved", log=log)
        self._tasks.start(saving, name="health writer")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._tasks.__aexit__(*_)

    def add(self, server_id: str) -> None:
        """Write a server's status with the next batch."""
        self._changed.add(server_id)

    def discard(self, server_id: str) -> None:
        """Don't write a server's status."""
        self._changed.discard(server_id)

    async def save(self) -> None:
        """Write a batch now.

        Raises:
            StorageError: The batch is written with the next one.
        """
        changed, self._changed = self._changed, set()
        batch = {i: self._statuses[i] for i in changed if i in self._statuses}
        if not batch:
            return
        try:
            await self._store.save(batch)
        except BaseException:
            self._changed |= batch.keys()
            raise
