"""The stored state of one server, and its keys."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final, Generic, Protocol, TypeVar
from urllib.parse import quote

import orjson

from codewalk.workspace.state_cache import FetchStart, StateCache

SEPARATOR = "::"

T = TypeVar("T")


class StateName(StrEnum):
    """The names of values that are stored for a server; the first part of their keys."""

    ALL_SESSIONS = "all_sessions"
    CACHED_SESSIONS = "cached_sessions"
    CACHED_PROJECTS = "cached_projects"
    CACHED_MODELS = "cached_models"
    CURRENT_SESSION_ID = "current_session_id"
    IDENTITY = "identity"
    OWN_DIRECTORY = "own_directory"
    SELECTED_PROVIDER = "selected_provider"
    SELECTED_MODEL = "selected_model"


FETCHED_STATE: Final = (
    StateName.ALL_SESSIONS,
    StateName.CACHED_SESSIONS,
    StateName.CACHED_PROJECTS,
    StateName.CACHED_MODELS,
    StateName.CURRENT_SESSION_ID,
    StateName.OWN_DIRECTORY,
)
"""State that was fetched from a server, or names something of it: it goes when the URL changes."""


class StateEntry(Protocol):
    """A stored value as the store returns it."""

    @property
    def value(self) -> bytes: ...
    @property
    def updated_at(self) -> datetime: ...


class StateStorage(Protocol):
    """Stores state. Every call names the server, so that none can reach another's."""

    async def get_all(self, server_id: str, keys: Collection[str]) -> Mapping[str, StateEntry]: ...
    async def put(
        self,
        server_id: str,
        values: Mapping[str, bytes],
        now: datetime,
        *,
        durable: bool = True,
        url: str | None = None,
    ) -> bool: ...
    async def replace(self, server_id: str, values: Mapping[str, bytes], now: datetime) -> bool: ...
    async def delete(self, server_id: str, keys: Collection[str]) -> None: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredValue(Generic[T]):
    """A value, and when it was stored or, for a cached answer, when its fetch began.

    A cached answer is that of the fetch with the number `sequence`, or of a later one.
    """

    value: T
    updated_at: datetime
    sequence: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Serializer(Generic[T]):
    """Turns a fetched value into JSON, and back.

    `load` raises `LookupError`, `TypeError` or `ValueError` for what another release stored.
    """

    name: StateName
    dump: Callable[[T], Any]
    load: Callable[[Any], T]


def state_key(name: StateName, server_id: str, directory: str | None = None) -> str:
    """Return the persisted key. Each part is percent-encoded, so none can hold the separator.

    >>> state_key(StateName.CACHED_SESSIONS, "a1", "/home/me::x")
    'cached_sessions::a1::/home/me%3A%3Ax'
    """
    parts = (name.value, server_id) if directory is None else (name.value, server_id, directory)
    # A file name may hold bytes that aren't UTF-8, which Python represents as lone surrogates.
    return SEPARATOR.join(quote(part, safe="/", errors="surrogatepass") for part in parts)


class Scope:
    """The state of one server. Whoever holds it can neither read nor write another's.

    A scope is for one piece of work: where another server is at the address meanwhile, what was
    fetched from the earlier one isn't stored any more. With a `url`, nor is it once the server has
    another URL, which only the store knows at once.
    """

    def __init__(
        self,
        storage: StateStorage,
        server_id: str,
        cache: StateCache | None = None,
        *,
        url: str | None = None,
        prefetched: Mapping[str, StateEntry | None] = MappingProxyType({}),
        sequences: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        self._storage = storage
        self._cache = cache or StateCache()
        self._prefetched = prefetched
        self._url = url
        self._sequences = sequences
        self._epoch = self._cache.epoch(server_id)
        self.server_id = server_id

    async def prefetch(self, *parts: tuple[StateName, str | None]) -> "Scope":
        """Read several values at one moment; return a scope that answers from them.

        A page needs six values: reading them one by one takes as many round trips to the store.
        Those that this scope has read before aren't read again.

        Args:
            parts: The name and the directory of each value.
        """
        keys = [state_key(name, self.server_id, directory) for name, directory in parts]
        keys = [key for key in keys if key not in self._prefetched]
        if not keys:
            return self
        sequences = {key: self._cache.stored(key) for key in keys}
        prefetched = {**dict.fromkeys(keys), **await self._read(keys)}
        return Scope(
            self._storage,
            self.server_id,
            self._cache,
            url=self._url,
            prefetched={**self._prefetched, **prefetched},
            sequences={**self._sequences, **sequences},
        )

    async def get(self, name: StateName, directory: str | None = None) -> StoredValue[Any] | None:
        """Return the JSON value under this name, None where there is none that can be read."""
        entry = await self._entry(state_key(name, self.server_id, directory))
        if entry is None:
            return None
        try:
            value = orjson.loads(entry.value)
        except orjson.JSONDecodeError:
            # It can be fetched or chosen again; an error would stand in the way of that.
            return None
        return StoredValue(value=value, updated_at=entry.updated_at)

    async def put(self, values: Mapping[StateName, Any], directory: str | None = None) -> bool:
        """Store JSON values, all or none; return False where the server was removed meanwhile."""
        encoded = self._encode(values, directory)
        # What a user chose stays with another URL.
        url = self._url if values.keys() & set(FETCHED_STATE) else None
        return await self._storage.put(self.server_id, encoded, datetime.now(UTC), url=url)

    async def replace_all(self, values: Mapping[StateName, Any]) -> bool:
        """Store JSON values in place of everything that is stored for the server."""
        return await self._storage.replace(
            self.server_id, self._encode(values, None), datetime.now(UTC)
        )

    def _encode(
        self, values: Mapping[StateName, Any], directory: str | None
    ) -> Mapping[str, bytes]:
        return {
            state_key(name, self.server_id, directory): orjson.dumps(value)
            for name, value in values.items()
        }

    async def delete(self, *names: StateName) -> None:
        """Delete the values under these names."""
        await self._storage.delete(
            self.server_id, [state_key(name, self.server_id) for name in names]
        )

    async def get_cached(
        self, serializer: Serializer[T], directory: str | None = None
    ) -> StoredValue[T] | None:
        """Return a cached answer, None where there is none that `serializer` can load.

        One that is being written counts: an older fetch that ends meanwhile isn't stored any more.
        """
        key = state_key(serializer.name, self.server_id, directory)
        if in_flight := self._cache.in_flight(key):
            start, newest = in_flight
            return StoredValue(value=newest, updated_at=start.at, sequence=start.sequence)
        # Before it is read: another answer may be stored while the store responds.
        sequence = self._sequences.get(key, self._cache.stored(key))
        entry = await self._entry(key)
        if entry is None:
            return None
        value: T | None = self._cache.get(key, entry.value)
        if value is None:
            try:
                value = serializer.load(orjson.loads(entry.value))
            except (LookupError, TypeError, ValueError):
                return None
            self._cache.put(key, entry.value, value)
        return StoredValue(value=value, updated_at=entry.updated_at, sequence=sequence)

    def peek(self, serializer: Serializer[T], directory: str | None = None) -> T | None:
        """Return the answer last read or written by this app; the store may hold a newer one."""
        value: T | None = self._cache.peek(state_key(serializer.name, self.server_id, directory))
        return value

    def begin_fetch(self) -> FetchStart:
        """Return what `put_cached` needs; call it before the server is asked."""
        return FetchStart(at=datetime.now(UTC), sequence=next(self._cache.sequence))

    async def put_cached(
        self,
        serializer: Serializer[T],
        value: T,
        start: FetchStart,
        directory: str | None = None,
    ) -> bool:
        """Store a server's answer, unless one to a later fetch is stored already.

        It can be fetched again, so the caller, a switch above all, doesn't wait for the disk.

        Returns:
            False where the server was removed or another one meanwhile, or a later fetch ended
            first.
        """
        key = state_key(serializer.name, self.server_id, directory)
        if not (self._is_current() and self._cache.is_newest(key, start.sequence)):
            return False
        raw = orjson.dumps(serializer.dump(value))
        self._cache.put(key, raw, value)
        self._cache.begin_write(key, start, value)
        try:
            is_stored = await self._storage.put(
                self.server_id, {key: raw}, start.at, durable=False, url=self._url
            )
        finally:
            self._cache.end_write(key, start)
        if is_stored:
            self._cache.set_stored(key, start.sequence)
        return is_stored

    def newest_fetch(self, serializer: Serializer[Any], directory: str | None = None) -> int:
        """Return the number of the fetch whose answer is stored, or about to be; 0 if none."""
        return self._cache.newest(state_key(serializer.name, self.server_id, directory))

    async def rewrite_cached(
        self, serializer: Serializer[T], value: T, at: datetime, directory: str | None = None
    ) -> None:
        """Store a cached answer with changes applied; it stays the answer of the same fetch."""
        if not self._is_current():
            return
        key = state_key(serializer.name, self.server_id, directory)
        raw = orjson.dumps(serializer.dump(value))
        self._cache.put(key, raw, value)
        await self._storage.put(self.server_id, {key: raw}, at, durable=False, url=self._url)

    def _is_current(self) -> bool:
        return self._epoch == self._cache.epoch(self.server_id)

    async def _entry(self, key: str) -> StateEntry | None:
        if key in self._prefetched:
            return self._prefetched[key]
        return (await self._read([key])).get(key)

    async def _read(self, keys: Collection[str]) -> Mapping[str, StateEntry]:
        return await self._storage.get_all(self.server_id, keys)
