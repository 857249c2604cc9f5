"""Of which servers it was told that they are down: what a restart must not forget, and who of
several processes was first."""

from datetime import UTC, datetime, timedelta
from typing import Final

from codewalk.storage.state import StateStore
from codewalk.tasks import run_to_completion

_NAME: Final = "told_down"
_VERSION: Final = "told_version"

_SAME: Final = timedelta(hours=1)
"""How far apart two processes may see one upgrade."""


class ReportedDownStore:
    """Keeps since when a server was down that was told to be, and the last version that was told.
    Each method raises `StorageError`.

    It is among what is kept for the server, and goes with it. Of several processes on one store
    that tell the same, one is told that it was first.
    """

    def __init__(self, state: StateStore) -> None:
        self._state = state

    async def load(self) -> dict[str, datetime]:
        """Since when each was down, by its id."""
        kept = [size for size in await self._state.list(None) if size.key == _key(size.server_id)]
        entries = [await self._state.get(size.server_id, size.key) for size in kept]
        found = {entry.server_id: _moment(entry.value) for entry in entries if entry}
        return {server_id: since for server_id, since in found.items() if since}

    async def keep(self, server_id: str, since: datetime | None) -> bool:
        """Keeps it; None where the server is up again, or another one. Whether that is new."""
        if since is None:
            return await run_to_completion(self._state.delete(server_id, _key(server_id)))
        value = since.isoformat().encode()
        return await run_to_completion(
            self._state.claim(server_id, _key(server_id), value, datetime.now(UTC))
        )

    async def keep_version(self, server_id: str, version: str) -> bool:
        """Keeps which version was told last. Whether that is new."""
        key, now = f"{_VERSION}::{server_id}", datetime.now(UTC)
        claim = self._state.claim(
            server_id, key, version.encode(), now, since=now - _SAME, other=True
        )
        return await run_to_completion(claim)


def _key(server_id: str) -> str:
    return f"{_NAME}::{server_id}"


def _moment(value: bytes) -> datetime | None:
    try:
        since = datetime.fromisoformat(value.decode())
    except ValueError:
        return None
    return since if since.tzinfo else None
