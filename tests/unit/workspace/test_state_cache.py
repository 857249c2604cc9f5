"""What was read once isn't read again while it is the same, and an older answer isn't kept."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from codewalk.workspace.scope import Form, Name, Scope
from codewalk.workspace.state_cache import Asked, Memory
from tests.fake_time import fake_time
from tests.fakes import FakeStateKeeper

A, B = "server-a", "server-b"
Names = tuple[str, ...]


class Reading:
    """A form that counts how often something was read from its JSON."""

    def __init__(self) -> None:
        self.loads = 0
        self.form: Form[Names] = Form(name=Name.CACHED_SESSIONS, dump=list, load=self._load)

    def _load(self, value: Any) -> Names:
        self.loads += 1
        if not isinstance(value, list):
            raise TypeError("another release's")
        return tuple(value)


class Store(FakeStateKeeper):
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
    reading, scope = Reading(), Scope(FakeStateKeeper(), A, Memory())
    assert await scope.recall(reading.form, "/p") is None
    asked = scope.asking()
    assert await scope.keep(reading.form, ("x",), asked, "/p")
    kept = await scope.recall(reading.form, "/p")
    assert kept
    assert (kept.value, kept.updated_at) == (("x",), asked.at)
    assert reading.loads == 0


@fake_time
async def test_what_another_process_kept_is_read_once() -> None:
    reading, keeper = Reading(), FakeStateKeeper()
    here, elsewhere = Scope(keeper, A, Memory()), Scope(keeper, A, Memory())
    await here.keep(reading.form, ("old",), here.asking())
    await elsewhere.keep(reading.form, ("new",), elsewhere.asking())
    for _ in range(3):
        kept = await here.recall(reading.form)
        assert kept
        assert kept.value == ("new",)
    assert reading.loads == 1


@fake_time
async def test_what_another_process_cleared_is_gone() -> None:
    reading, keeper = Reading(), FakeStateKeeper()
    scope = Scope(keeper, A, Memory())
    await scope.keep(reading.form, ("x",), scope.asking())
    keeper.kept.clear()
    assert await scope.recall(reading.form) is None


@fake_time
async def test_the_same_bytes_under_another_key_are_their_own() -> None:
    reading, keeper, memory = Reading(), FakeStateKeeper(), Memory()
    for server_id, place in ((A, "/p"), (A, "/q"), (B, "/p")):
        scope = Scope(keeper, server_id, memory)
        await scope.keep(reading.form, (server_id, place), scope.asking(), place)
    kept = await Scope(keeper, B, memory).recall(reading.form, "/p")
    assert kept
    assert kept.value == (B, "/p")
    assert await Scope(keeper, B, memory).recall(reading.form, "/q") is None


@fake_time
async def test_an_older_answer_that_comes_last_is_not_kept() -> None:
    # The race: two pages ask for the list, and the first request's answer comes last.
    reading, scope = Reading(), Scope(FakeStateKeeper(), A, Memory())
    first, second = scope.asking(), scope.asking()
    assert await scope.keep(reading.form, ("newer",), second, "/p")
    assert not await scope.keep(reading.form, ("older",), first, "/p")
    assert await scope.keep(reading.form, ("another directory's",), first, "/q")
    kept = await scope.recall(reading.form, "/p")
    assert kept
    assert kept.value == ("newer",)


@fake_time
async def test_a_clock_set_back_doesnt_make_an_answer_older() -> None:
    reading, scope = Reading(), Scope(FakeStateKeeper(), A, Memory())
    await scope.keep(reading.form, ("before",), scope.asking())
    yesterday = Asked(at=datetime(2000, 1, 1, tzinfo=UTC), turn=scope.asking().turn)
    assert await scope.keep(reading.form, ("after",), yesterday)


@pytest.mark.parametrize("value", [5, "x", None, {"a": 1}])
@fake_time
async def test_another_releases_form_counts_as_none(value: Any) -> None:
    reading, scope = Reading(), Scope(FakeStateKeeper(), A, Memory())
    await scope.put({Name.CACHED_SESSIONS: value})
    assert await scope.recall(reading.form) is None


@fake_time
async def test_only_what_a_person_chose_waits_for_the_disk() -> None:
    reading, store = Reading(), Store()
    scope = Scope(store, A, Memory())
    await scope.keep(reading.form, ("x",), scope.asking())
    await scope.put({Name.SELECTED_MODEL: "m"})
    assert store.durable == [False, True]


@fake_time
async def test_a_server_that_is_gone_keeps_nothing() -> None:
    reading, keeper = Reading(), FakeStateKeeper()
    keeper.gone.add(A)
    scope = Scope(keeper, A, Memory())
    assert not await scope.keep(reading.form, ("x",), scope.asking())
    assert await scope.recall(reading.form) is None


def test_memory_is_bounded_and_forgets_what_wasnt_asked_for_the_longest() -> None:
    memory = Memory(most=30)
    for key in ("one", "two", "three"):
        memory.remember(key, b"x" * 10, key)
    assert memory.recall("one", b"x" * 10) == "one"
    memory.remember("four", b"x" * 10, "four")
    assert memory.recall("two", b"x" * 10) is None
    assert [memory.recall(key, b"x" * 10) for key in ("one", "three", "four")] == [
        "one",
        "three",
        "four",
    ]
    memory.remember("large", b"x" * 1000, "large")
    assert memory.recall("one", b"x" * 10) is None
    assert memory.recall("large", b"x" * 1000) == "large"
