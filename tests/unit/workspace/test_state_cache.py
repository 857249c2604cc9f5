"""What was read once isn't read again while it is the same, and an older answer isn't kept."""

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


class Reading:
    """A form that counts how often something was read from its JSON."""

    def __init__(self) -> None:
        self.loads = 0
        self.form: Serializer[Names] = Serializer(
            name=StateName.CACHED_SESSIONS, dump=list, load=self._load
        )

    def _load(self, value: Any) -> Names:
        self.loads += 1
        if not isinstance(value, list):
            raise TypeError("another release's")
        return tuple(value)


class Store(FakeStateStore):
    """One that tells what had to wait for the disk."""

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
    ) -> bool:
        self.durable.append(durable)
        return await super().put(server_id, values, now, durable=durable)


@fake_time
async def test_what_was_kept_comes_back_with_the_time_and_without_being_read() -> None:
    reading, scope = Reading(), Scope(FakeStateStore(), A, StateCache())
    assert await scope.get_cached(reading.form, "/p") is None
    asked = scope.begin_fetch()
    assert await scope.put_cached(reading.form, ("x",), asked, "/p")
    kept = await scope.get_cached(reading.form, "/p")
    assert kept
    assert (kept.value, kept.updated_at) == (("x",), asked.at)
    assert reading.loads == 0


@fake_time
async def test_what_another_process_kept_is_read_once() -> None:
    reading, keeper = Reading(), FakeStateStore()
    here, elsewhere = Scope(keeper, A, StateCache()), Scope(keeper, A, StateCache())
    await here.put_cached(reading.form, ("old",), here.begin_fetch())
    await elsewhere.put_cached(reading.form, ("new",), elsewhere.begin_fetch())
    for _ in range(3):
        kept = await here.get_cached(reading.form)
        assert kept
        assert kept.value == ("new",)
    assert reading.loads == 1


@fake_time
async def test_what_another_process_cleared_is_gone() -> None:
    reading, keeper = Reading(), FakeStateStore()
    scope = Scope(keeper, A, StateCache())
    await scope.put_cached(reading.form, ("x",), scope.begin_fetch())
    keeper.entries.clear()
    assert await scope.get_cached(reading.form) is None


@fake_time
async def test_the_same_bytes_under_another_key_are_their_own() -> None:
    reading, keeper, memory = Reading(), FakeStateStore(), StateCache()
    for server_id, place in ((A, "/p"), (A, "/q"), (B, "/p")):
        scope = Scope(keeper, server_id, memory)
        await scope.put_cached(reading.form, (server_id, place), scope.begin_fetch(), place)
    kept = await Scope(keeper, B, memory).get_cached(reading.form, "/p")
    assert kept
    assert kept.value == (B, "/p")
    assert await Scope(keeper, B, memory).get_cached(reading.form, "/q") is None


@fake_time
async def test_an_older_answer_that_comes_last_is_not_kept() -> None:
    # The race: two pages ask for the list, and the first request's answer comes last.
    reading, scope = Reading(), Scope(FakeStateStore(), A, StateCache())
    first, second = scope.begin_fetch(), scope.begin_fetch()
    assert await scope.put_cached(reading.form, ("newer",), second, "/p")
    assert not await scope.put_cached(reading.form, ("older",), first, "/p")
    assert await scope.put_cached(reading.form, ("another directory's",), first, "/q")
    kept = await scope.get_cached(reading.form, "/p")
    assert kept
    assert kept.value == ("newer",)


@fake_time
async def test_a_clock_set_back_doesnt_make_an_answer_older() -> None:
    reading, scope = Reading(), Scope(FakeStateStore(), A, StateCache())
    await scope.put_cached(reading.form, ("before",), scope.begin_fetch())
    yesterday = FetchStart(
        at=datetime(2000, 1, 1, tzinfo=UTC), sequence=scope.begin_fetch().sequence
    )
    assert await scope.put_cached(reading.form, ("after",), yesterday)


@pytest.mark.parametrize("value", [5, "x", None, {"a": 1}])
@fake_time
async def test_another_releases_form_counts_as_none(value: Any) -> None:
    reading, scope = Reading(), Scope(FakeStateStore(), A, StateCache())
    await scope.put({StateName.CACHED_SESSIONS: value})
    assert await scope.get_cached(reading.form) is None


@fake_time
async def test_only_what_a_person_chose_waits_for_the_disk() -> None:
    reading, store = Reading(), Store()
    scope = Scope(store, A, StateCache())
    await scope.put_cached(reading.form, ("x",), scope.begin_fetch())
    await scope.put({StateName.SELECTED_MODEL: "m"})
    assert store.durable == [False, True]


@fake_time
async def test_a_server_that_is_gone_keeps_nothing() -> None:
    reading, keeper = Reading(), FakeStateStore()
    keeper.removed_servers.add(A)
    scope = Scope(keeper, A, StateCache())
    assert not await scope.put_cached(reading.form, ("x",), scope.begin_fetch())
    assert await scope.get_cached(reading.form) is None


def test_memory_is_bounded_and_forgets_what_wasnt_asked_for_the_longest() -> None:
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
