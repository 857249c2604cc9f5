"""A switch of the active server ends the work begun before it."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from codewalk.app.generation import Generation
from codewalk.errors import RequestFailed, Superseded
from codewalk.reason import Reason
from tests.fake_time import advance_time, elapsed, fake_time


async def work(generation: Generation, seconds: float, finished: list[float]) -> None:
    async with generation.work():
        await asyncio.sleep(seconds)
        finished.append(elapsed())


@fake_time
async def test_work_without_a_switch_ends_normally() -> None:
    finished: list[float] = []
    await work(Generation(), 1, finished)
    assert finished == [1]


@fake_time
async def test_a_switch_ends_older_work_at_once() -> None:
    generation, finished = Generation(), list[float]()
    async with asyncio.TaskGroup() as group:
        older = [
            group.create_task(expect_superseded(work(generation, 60, finished)), name="older")
            for _ in range(3)
        ]
        await advance_time(1)
        generation.advance(1)
        await asyncio.wait(older)
        assert elapsed() == 1
    assert finished == []
    assert generation.number == 1


async def expect_superseded(job: Coroutine[Any, Any, None]) -> None:
    with pytest.raises(Superseded) as ended:
        await job
    assert ended.value.code == "superseded"


@fake_time
async def test_work_of_the_new_generation_goes_on() -> None:
    generation, finished = Generation(), list[float]()
    generation.advance(1)
    async with asyncio.TaskGroup() as group:
        group.create_task(work(generation, 5, finished), name="newer")
        await advance_time(1)
        generation.advance(1)
    assert finished == [5]


@fake_time
async def test_work_that_never_waits_is_superseded_at_its_end() -> None:
    generation = Generation()
    with pytest.raises(Superseded):
        async with generation.work():
            generation.advance(1)


@fake_time
async def test_work_that_swallows_its_cancellation_is_superseded_at_its_end() -> None:
    generation = Generation()
    reached: list[str] = []

    async def stubborn() -> None:
        async with generation.work():
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                reached.append("cleaned up")

    asyncio.get_running_loop().call_later(1, generation.advance, 1)
    with pytest.raises(Superseded):
        await stubborn()
    assert reached == ["cleaned up"]
    await advance_time(1)  # nothing of the cancellation is left


@fake_time
async def test_two_switches_while_older_work_cleans_up_are_two_switches() -> None:
    # The race: the work of the first generation is still closing its connection when the second
    # switch comes; that must not fail for it.
    generation = Generation()

    async def slow_to_end() -> None:
        async with generation.work():
            try:
                await asyncio.sleep(60)
            finally:
                await asyncio.sleep(1)

    async with asyncio.TaskGroup() as group:
        group.create_task(expect_superseded(slow_to_end()), name="slow to end")
        await advance_time(1)
        generation.advance(1)
        await advance_time(0.5)
        generation.advance(2)
        generation.advance(3)
    assert elapsed() == pytest.approx(2)


@fake_time
async def test_two_switches_in_a_row_before_anything_runs() -> None:
    generation, finished = Generation(), list[float]()
    async with asyncio.TaskGroup() as group:
        group.create_task(expect_superseded(work(generation, 60, finished)), name="older")
        await advance_time(1)
        generation.advance(1)
        generation.advance(2)
    assert finished == []


@fake_time
async def test_a_switch_back_does_not_revive_what_it_ended() -> None:
    generation, finished = Generation(7), list[float]()
    async with asyncio.TaskGroup() as group:
        group.create_task(expect_superseded(work(generation, 60, finished)), name="older")
        await advance_time(1)
        generation.advance(8)
        generation.advance(9)
        await advance_time(1)
    assert finished == []


@fake_time
async def test_nested_work_is_superseded_as_a_whole() -> None:
    generation = Generation()
    reached: list[str] = []

    async def nested() -> None:
        async with generation.work():
            await work(generation, 60, [])
            reached.append("between")

    asyncio.get_running_loop().call_later(1, generation.advance, 1)
    with pytest.raises(Superseded):
        await nested()
    assert reached == []
    assert elapsed() == 1
    await advance_time(1)  # nothing of the cancellation is left


@fake_time
async def test_work_in_a_task_group_is_superseded_as_a_whole() -> None:
    generation = Generation()
    ended: list[str] = []

    async def part() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("part")

    async def whole() -> None:
        async with generation.work(), asyncio.TaskGroup() as group:
            group.create_task(part(), name="one")
            group.create_task(part(), name="two")

    asyncio.get_running_loop().call_later(1, generation.advance, 1)
    with pytest.raises(Superseded):
        await whole()
    assert ended == ["part", "part"]


@fake_time
async def test_a_timeout_of_the_works_own_passes_as_one() -> None:
    generation = Generation()
    with pytest.raises(TimeoutError):
        async with generation.work(), asyncio.timeout(1):
            await asyncio.sleep(60)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1), generation.work():
            await asyncio.sleep(60)
    with pytest.raises(TimeoutError, match="from the system"):
        async with generation.work():
            raise TimeoutError("from the system")


@fake_time
async def test_an_error_of_the_works_own_passes_as_it_is() -> None:
    generation = Generation()
    with pytest.raises(ZeroDivisionError):
        async with generation.work():
            raise ZeroDivisionError
    generation.advance(1)


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (RequestFailed(Reason.REFUSED, "Nothing listens."), Superseded),
        (TimeoutError(), Superseded),
        (ZeroDivisionError(), ZeroDivisionError),
    ],
    ids=["of the server", "a timeout", "a bug"],
)
@fake_time
async def test_an_error_of_the_server_after_a_switch_is_superseded(
    error: Exception, raised: type[Exception]
) -> None:
    # The race: the request failing_reply at the moment of the switch.
    generation = Generation()

    async def failing() -> None:
        async with generation.work():
            generation.advance(1)
            raise error

    with pytest.raises(raised):
        await failing()


@fake_time
async def test_a_cancellation_from_outside_is_no_switch() -> None:
    generation, finished = Generation(), list[float]()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(work(generation, 60, finished), name="cancelled")
        await advance_time(1)
        task.cancel()
        await asyncio.wait([task])
    assert task.cancelled()
    generation.advance(1)


@fake_time
async def test_a_cancellation_together_with_a_switch_is_a_cancellation() -> None:
    for switch_first in (True, False):
        generation, finished = Generation(), list[float]()
        async with asyncio.TaskGroup() as group:
            task = group.create_task(work(generation, 60, finished), name="cancelled")
            await advance_time(1)
            if switch_first:
                generation.advance(1)
            task.cancel()
            generation.advance(1)
            await asyncio.wait([task])
        assert task.cancelled()


@fake_time
async def test_finished_work_is_forgotten() -> None:
    generation, finished = Generation(), list[float]()
    for _ in range(3):
        await work(generation, 0.1, finished)
    generation.advance(1)
    await work(generation, 0.1, finished)
    assert len(finished) == 4
