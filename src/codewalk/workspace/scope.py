"""The only door to the state kept for a server."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final, Protocol
from urllib.parse import quote

import orjson

SEPARATOR = "::"


class Name(StrEnum):
    """What can be kept for a server; `INTERFACE.md` fixes the names."""

    CACHED_SESSIONS = "cached_sessions"
    CURRENT_SESSION_ID = "current_session_id"
    SELECTED_PROVIDER = "selected_provider"
    SELECTED_MODEL = "selected_model"


FETCHED: Final = frozenset({Name.CACHED_SESSIONS})
"""What a server can be asked for again. A switch mustn't wait until the disk has it."""


class Entry(Protocol):
    """A kept value as the store gives it."""

    @property
    def value(self) -> bytes: ...
    @property
    def updated_at(self) -> datetime: ...


class StateKeeper(Protocol):
    """Where state is kept. Every call names the server, so that none can reach another's."""

    async def get(self, server_id: str, key: str) -> Entry | None: ...
    async def put(
        self,
        server_id: str,
        values: Mapping[str, bytes],
        now: datetime,
        *,
        durable: bool = True,
    ) -> bool: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Kept:
    """A value and when it was kept."""

    value: Any
    updated_at: datetime


def state_key(name: Name, server_id: str, place: str | None = None) -> str:
    """The persisted key. Each part is percent-encoded, so that none can hold the separator.

    >>> state_key(Name.CACHED_SESSIONS, "a1", "/home/me::x")
    'cached_sessions::a1::/home/me%3A%3Ax'
    """
    parts = (name.value, server_id) if place is None else (name.value, server_id, place)
    # A file name may hold bytes that aren't UTF-8, which Python shows as halves of characters.
    return SEPARATOR.join(quote(part, safe="/", errors="surrogatepass") for part in parts)


class Scope:
    """The state of one server. Whoever holds it can neither read nor write another's."""

    def __init__(self, keeper: StateKeeper, server_id: str) -> None:
        self._keeper = keeper
        self.server_id = server_id

    async def get(self, name: Name, place: str | None = None) -> Kept | None:
        """What is kept under this name, for this directory or project where the name has one."""
        entry = await self._keeper.get(self.server_id, state_key(name, self.server_id, place))
        if entry is None:
            return None
        try:
            value = orjson.loads(entry.value)
        except orjson.JSONDecodeError:
            return (
                None  # it can be fetched or chosen again, which a failure would stand in the way of
            )
        return Kept(value=value, updated_at=entry.updated_at)

    async def put(self, values: Mapping[Name, Any], place: str | None = None) -> bool:
        """Keeps JSON values, all or none; False where the server is gone meanwhile."""
        encoded = {
            state_key(name, self.server_id, place): orjson.dumps(value)
            for name, value in values.items()
        }
        return await self._keeper.put(
            self.server_id, encoded, datetime.now(UTC), durable=not FETCHED.issuperset(values)
        )
