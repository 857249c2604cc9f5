"""The same bytes are decoded once, and an older answer never replaces a newer one."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from codewalk.workspace.scope import Scope, Serializer, StateName
from codewalk.workspace.state_cache import FetchStart, StateCache
from tests.fake_time import fake_time
from tests.fakes import FakeStateStore

A, B = "server-a", "server-b"
Names = tuple[str, ...]


class CountingSerializer:
    """A serializer that counts how often a value was decoded."""

    def __init__(self) -> None:
        self.loads = 0
        self.serializer: Serializer[Names] = Serializer(
            name=StateName.CACHED_SESSIONS, dump=list, load=self._load
        )

    def _load(self, value: Any) -> Names:
        self.loads += 1
        if not isinstance(value, list):
            raise TypeError("another release's")
        return tuple(value)


class Store(FakeStateStore):
    """A store that records which writes were durable."""

    def __init__(self) -> None:
        super().__init__()
        self.durable: list[bool] = []

    async def put(
        self,
        server_id: str,
        values: Mapping[str, bytes],
        now: datetime,
        *,
        durable: bool = True,
        url: str | None = None,
    ) -> bool:
        self.durable.append(durable)
        return await super().put(server_id, values, now, durable=durable, url=url)


@fake_time
async def test_a_stored_value_is_returned_with_its_time_and_without_being_decoded() -> None:
    counting, scope = CountingSerializer(), Scope(FakeStateStore(), A, StateCache())
    assert await scope.get_cached(counting.serializer, "/p") is None
    asked = scope.begin_fetch()
    assert await scope.put_cached(counting.serializer, ("x",), asked, "/p")
    stored = await scope.get_cached(counting.serializer, "/p")
    assert stored
    assert (stored.value, stored.updated_at) == (("x",), asked.at)
    assert counting.loads == 0


@fake_time
async def test_a_value_that_another_process_stored_is_decoded_once() -> None:
    counting, keeper = CountingSerializer(), FakeStateStore()
    here, elsewhere = Scope(keeper, A, StateCache()), Scope(keeper, A, StateCache())
    await here.put_cached(counting.serializer, ("old",), here.begin_fetch())
    await elsewhere.put_cached(counting.serializer, ("new",), elsewhere.begin_fetch())
    for _ in range(3):
        stored = await here.get_cached(counting.serializer)
        assert stored
        assert stored.value == ("new",)
    assert counting.loads == 1


@fake_time
async def test_a_value_that_another_process_cleared_is_gone() -> None:
    counting, keeper = CountingSerializer(), FakeStateStore()
    scope = Scope(keeper, A, StateCache())
    await scope.put_cached(counting.serializer, ("x",), scope.begin_fetch())
    keeper.entries.clear()
    assert await scope.get_cached(counting.serializer) is None


@fake_time
async def test_the_same_bytes_under_another_key_are_another_value() -> None:
    counting, keeper, memory = CountingSerializer(), FakeStateStore(), StateCache()
    for server_id, place in ((A, "/p"), (A, "/q"), (B, "/p")):
        scope = Scope(keeper, server_id, memory)
        await scope.put_cached(counting.serializer, (server_id, place), scope.begin_fetch(), place)
    stored = await Scope(keeper, B, memory).get_cached(counting.serializer, "/p")
    assert stored
    assert stored.value == (B, "/p")
    assert await Scope(keeper, B, memory).get_cached(counting.serializer, "/q") is None


@fake_time
async def test_an_older_answer_that_comes_last_is_not_stored() -> None:
    # The race: two pages ask for the list, and the first request's answer comes last.
    counting, scope = CountingSerializer(), Scope(FakeStateStore(), A, StateCache())
    first, second = scope.begin_fetch(), scope.begin_fetch()
    assert await scope.put_cached(counting.serializer, ("newer",), second, "/p")
    assert not await scope.put_cached(counting.serializer, ("older",), first, "/p")
    assert await scope.put_cached(counting.serializer, ("another directory's",), first, "/q")
    stored = await scope.get_cached(counting.serializer, "/p")
    assert stored
    assert stored.value == ("newer",)


@fake_time
async def test_a_clock_that_is_set_back_makes_no_answer_older() -> None:
    counting, scope = CountingSerializer(), Scope(FakeStateStore(), A, StateCache())
    await scope.put_cached(counting.serializer, ("before",), scope.begin_fetch())
    yesterday = FetchStart(
        at=datetime(2000, 1, 1, tzinfo=UTC), sequence=scope.begin_fetch().sequence
    )
    assert await scope.put_cached(counting.serializer, ("after",), yesterday)


@pytest.mark.parametrize("value", [5, "x", None, {"a": 1}])
@fake_time
async def test_a_value_that_cannot_be_loaded_counts_as_none(value: Any) -> None:
    counting, scope = CountingSerializer(), Scope(FakeStateStore(), A, StateCache())
    await scope.put({StateName.CACHED_SESSIONS: value})
    assert await scope.get_cached(counting.serializer) is None


@fake_time
async def test_only_a_users_choice_waits_for_the_disk() -> None:
    counting, store = CountingSerializer(), Store()
    scope = Scope(store, A, StateCache())
    await scope.put_cached(counting.serializer, ("x",), scope.begin_fetch())
    await scope.put({StateName.SELECTED_MODEL: "m"})
    assert store.durable == [False, True]


@fake_time
async def test_nothing_is_stored_for_a_removed_server() -> None:
    counting, keeper = CountingSerializer(), FakeStateStore()
    keeper.removed_servers.add(A)
    scope = Scope(keeper, A, StateCache())
    assert not await scope.put_cached(counting.serializer, ("x",), scope.begin_fetch())
    assert await scope.get_cached(counting.serializer) is None


def test_the_cache_is_bounded_and_drops_the_least_recently_used_value() -> None:
    memory = StateCache(max_bytes=30)
    for key in ("one", "two", "three"):
        memory.put(key, b"x" * 10, key)
    assert memory.get("one", b"x" * 10) == "one"
    memory.put("four", b"x" * 10, "four")
    assert memory.get("two", b"x" * 10) is None
    assert [memory.get(key, b"x" * 10) for key in ("one", "three", "four")] == [
        "one",
        "three",
        "four",
    ]
    memory.put("large", b"x" * 1000, "large")
    assert memory.get("one", b"x" * 10) is None
    assert memory.get("large", b"x" * 1000) == "large"


class SlowStore(FakeStateStore):
    """Writes take a second."""

    async def put(
        self,
        server_id: str,
        values: Mapping[str, bytes],
        now: datetime,
        *,
        durable: bool = True,
        url: str | None = None,
    ) -> bool:
        await asyncio.sleep(1)
        return await super().put(server_id, values, now, durable=durable, url=url)


@fake_time
async def test_an_answer_that_is_being_written_counts() -> None:
    """Raced: an older fetch that ended meanwhile wasn't stored, and nothing was read after it."""
    counting, scope = CountingSerializer(), Scope(SlowStore(), A, StateCache())
    older, newer = scope.begin_fetch(), scope.begin_fetch()
    async with asyncio.TaskGroup() as group:
        group.create_task(scope.put_cached(counting.serializer, ("new",), newer), name="write")
        await asyncio.sleep(0.5)
        assert not await scope.put_cached(counting.serializer, ("old",), older)
        stored = await scope.get_cached(counting.serializer)
        assert stored
        assert (stored.value, stored.sequence) == (("new",), newer.sequence)
    stored = await scope.get_cached(counting.serializer)
    assert stored
    assert stored.value == ("new",)
