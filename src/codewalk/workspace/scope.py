"""The only door to the state kept for a server."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Generic, Protocol, TypeVar
from urllib.parse import quote

import orjson

from codewalk.workspace.state_cache import FetchStart, StateCache

SEPARATOR = "::"

T = TypeVar("T")


class StateName(StrEnum):
    """What can be kept for a server; `INTERFACE.md` fixes the names."""

    CACHED_SESSIONS = "cached_sessions"
    CACHED_PROJECTS = "cached_projects"
    CACHED_MODELS = "cached_models"
    CURRENT_SESSION_ID = "current_session_id"
    SELECTED_PROVIDER = "selected_provider"
    SELECTED_MODEL = "selected_model"


class Entry(Protocol):
    """A kept value as the store gives it."""

    @property
    def value(self) -> bytes: ...
    @property
    def updated_at(self) -> datetime: ...


class StateRepository(Protocol):
    """Where state is kept. Every call names the server, so that none can reach another's."""

    async def get_all(self, server_id: str, keys: Collection[str]) -> Mapping[str, Entry]: ...
    async def put(
        self,
        server_id: str,
        values: Mapping[str, bytes],
        now: datetime,
        *,
        durable: bool = True,
    ) -> bool: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredValue(Generic[T]):
    """A value and when it was kept."""

    value: T
    updated_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Serializer(Generic[T]):
    """How something fetched is kept: as JSON, and back.

    `load` raises `LookupError`, `TypeError` or `ValueError` for the form of another release.
    """

    name: StateName
    dump: Callable[[T], Any]
    load: Callable[[Any], T]


def state_key(name: StateName, server_id: str, place: str | None = None) -> str:
    """The persisted key. Each part is percent-encoded, so that none can hold the separator.

    >>> state_key(StateName.CACHED_SESSIONS, "a1", "/home/me::x")
    'cached_sessions::a1::/home/me%3A%3Ax'
    """
    parts = (name.value, server_id) if place is None else (name.value, server_id, place)
    # A file name may hold bytes that aren't UTF-8, which Python shows as halves of characters.
    return SEPARATOR.join(quote(part, safe="/", errors="surrogatepass") for part in parts)


class Scope:
    """The state of one server. Whoever holds it can neither read nor write another's."""

    def __init__(
        self,
        keeper: StateRepository,
        server_id: str,
        memory: StateCache | None = None,
        *,
        ahead: Mapping[str, Entry | None] = MappingProxyType({}),
    ) -> None:
        self._keeper = keeper
        self._cache = memory or StateCache()
        self._ahead = ahead
        self.server_id = server_id

    async def prefetch(self, *wanted: tuple[StateName, str | None]) -> "Scope":
        """The same scope, with what is kept under these names and places read already, at one
        moment. A page shows five things that are kept: to read them one by one takes as many trips
        to the store."""
        keys = [state_key(name, self.server_id, place) for name, place in wanted]
        found = {**dict.fromkeys(keys), **await self._read(keys)}
        return Scope(self._keeper, self.server_id, self._cache, ahead=found)

    async def get(self, name: StateName, place: str | None = None) -> StoredValue[Any] | None:
        """What is kept under this name, for this directory or project where the name has one."""
        entry = await self._entry(state_key(name, self.server_id, place))
        if entry is None:
            return None
        try:
            value = orjson.loads(entry.value)
        except orjson.JSONDecodeError:
            return (
                None  # it can be fetched or chosen again, which a failure would stand in the way of
            )
        return StoredValue(value=value, updated_at=entry.updated_at)

    async def put(self, values: Mapping[StateName, Any], place: str | None = None) -> bool:
        """Keeps JSON values, all or none; False where the server is gone meanwhile."""
        encoded = {
            state_key(name, self.server_id, place): orjson.dumps(value)
            for name, value in values.items()
        }
        return await self._keeper.put(self.server_id, encoded, datetime.now(UTC))

    async def get_cached(
        self, form: Serializer[T], place: str | None = None
    ) -> StoredValue[T] | None:
        """What was kept in this form; None as well where it is in another one."""
        key = state_key(form.name, self.server_id, place)
        entry = await self._entry(key)
        if entry is None:
            return None
        value: T | None = self._cache.get(key, entry.value)
        if value is None:
            try:
                value = form.load(orjson.loads(entry.value))
            except (LookupError, TypeError, ValueError):
                return None
            self._cache.put(key, entry.value, value)
        return StoredValue(value=value, updated_at=entry.updated_at)

    def begin_fetch(self) -> FetchStart:
        """To be called before the server is asked; `keep` wants it."""
        return FetchStart(at=datetime.now(UTC), sequence=next(self._cache.sequence))

    async def put_cached(
        self, form: Serializer[T], value: T, asked: FetchStart, place: str | None = None
    ) -> bool:
        """Keeps what was fetched; False where the server is gone, or a newer answer came first.

        It can be fetched again: nobody, a switch above all, has to wait until it is on disk.
        """
        key = state_key(form.name, self.server_id, place)
        if not self._cache.is_newest(key, asked.sequence):
            return False
        raw = orjson.dumps(form.dump(value))
        self._cache.put(key, raw, value)
        return await self._keeper.put(self.server_id, {key: raw}, asked.at, durable=False)

    async def _entry(self, key: str) -> Entry | None:
        if key in self._ahead:
            return self._ahead[key]
        return (await self._read([key])).get(key)

    async def _read(self, keys: Collection[str]) -> Mapping[str, Entry]:
        return await self._keeper.get_all(self.server_id, keys)
