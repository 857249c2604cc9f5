"""Background tasks: who ends them, which are repeated, which finish, which end early."""

import asyncio
import logging

import pytest

from codewalk.errors import StorageError
from codewalk.tasks import (
    RESTART_DELAY,
    BackgroundTasks,
    InterruptibleBlock,
    keep_running,
    repeat,
    run_to_completion,
)
from tests.fake_time import advance_time, elapsed, fake_time

log = logging.getLogger(__name__)


class Fault(Exception):
    """An error that nobody foresaw."""


async def fail_after(seconds: float) -> None:
    await asyncio.sleep(seconds)
    raise Fault


async def cancelled_future() -> None:
    """Await a future that is cancelled, which doesn't cancel the running task."""
    future = asyncio.get_running_loop().create_future()
    future.cancel()
    await future


# BackgroundTasks


@fake_time
async def test_leaving_the_block_cancels_its_tasks_and_awaits_their_end() -> None:
    ended: list[float] = []

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(2)
            ended.append(elapsed())

    async with BackgroundTasks() as tasks:
        tasks.start(work(), name="one")
        task = tasks.create_task(work(), name="other")
        await advance_time(1)
    assert ended == [3, 3]
    assert task.cancelled()


@fake_time
async def test_a_task_that_ends_by_itself_leaves_the_block_alone() -> None:
    async with BackgroundTasks() as tasks:
        task = tasks.create_task(asyncio.sleep(1, "result"), name="short")
        await advance_time(2)
        assert task.result() == "result"
    assert elapsed() == 2


@fake_time
async def test_a_task_that_fails_ends_the_block_and_comes_out_of_it() -> None:
    with pytest.RaisesGroup(Fault):
        async with BackgroundTasks() as tasks:
            tasks.start(fail_after(1), name="failing")
            await asyncio.sleep(60)
    assert elapsed() == 1


@fake_time
async def test_the_blocks_own_error_is_not_wrapped_in_a_group() -> None:
    async def fail() -> None:
        async with BackgroundTasks() as tasks:
            tasks.start(asyncio.sleep(60), name="background")
            raise Fault

    with pytest.raises(Fault):
        await fail()
    assert elapsed() == 0


@fake_time
async def test_join_waits_for_tasks_to_end_by_themselves() -> None:
    async with BackgroundTasks() as tasks:
        await tasks.join()
        tasks.start(asyncio.sleep(1), name="short")
        tasks.start(asyncio.sleep(2), name="long")
        await tasks.join()
        assert elapsed() == 2


# InterruptibleBlock


async def use_for_a_minute(block: InterruptibleBlock, *interrupt_after: float) -> None:
    """Stay in `block`, which was interrupted so at its beginning."""
    async with block:
        for delay in interrupt_after:
            block.interrupt(after=delay)
        await asyncio.sleep(60)


@fake_time
async def test_an_interrupted_block_ends_with_a_timeout() -> None:
    block = InterruptibleBlock()
    asyncio.get_running_loop().call_later(1, block.interrupt)
    with pytest.raises(TimeoutError):
        await use_for_a_minute(block)
    assert elapsed() == 1


@fake_time
async def test_a_block_that_nobody_interrupts_ends_normally() -> None:
    async with InterruptibleBlock(2):
        await advance_time(1)
    assert elapsed() == 1


@fake_time
async def test_a_block_ends_after_its_own_timeout() -> None:
    with pytest.raises(TimeoutError):
        await use_for_a_minute(InterruptibleBlock(2))
    assert elapsed() == 2


@fake_time
async def test_interrupting_a_block_while_it_expires_changes_nothing() -> None:
    # The race: the deadline has passed and cancelled the task, which isn't out of the block yet.
    async def work() -> None:
        async with InterruptibleBlock(1) as block:
            try:
                await asyncio.sleep(60)
            finally:
                block.interrupt()

    with pytest.raises(TimeoutError):
        await work()
    assert elapsed() == 1


@fake_time
async def test_a_block_may_be_interrupted_twice() -> None:
    with pytest.raises(TimeoutError):
        await use_for_a_minute(InterruptibleBlock(), 0, 0)
    assert elapsed() == 0


@fake_time
async def test_interrupting_a_block_before_it_begins_or_after_it_ended_does_nothing() -> None:
    block = InterruptibleBlock()
    block.interrupt()
    async with block:
        await advance_time(1)
    block.interrupt()
    await advance_time(1)
    assert elapsed() == 2


@fake_time
async def test_a_block_can_be_used_again_after_an_interrupt() -> None:
    block = InterruptibleBlock()
    for _ in range(2):
        with pytest.raises(TimeoutError):
            await use_for_a_minute(block, 0)
    async with block:
        await advance_time(1)
    assert elapsed() == 1


@pytest.mark.parametrize(
    ("timeout", "delays", "end"),
    [
        (None, [2.0], 2.0),
        (5.0, [2.0], 2.0),
        # Never later than its own timeout, nor than an earlier interrupt.
        (1.0, [2.0], 1.0),
        (None, [2.0, 4.0], 2.0),
        (None, [4.0, 2.0], 2.0),
    ],
)
def test_an_interrupt_with_a_delay_only_brings_the_end_forward(
    timeout: float | None, delays: list[float], end: float
) -> None:
    @fake_time
    async def run() -> None:
        with pytest.raises(TimeoutError):
            await use_for_a_minute(InterruptibleBlock(timeout), *delays)
        assert elapsed() == end

    run()


@fake_time
async def test_a_cancelled_task_is_not_taken_for_an_interrupted_block() -> None:
    async def work() -> None:
        async with InterruptibleBlock():
            await asyncio.sleep(60)

    async with asyncio.TaskGroup() as group:
        task = group.create_task(work(), name="work")
        await advance_time(1)
        task.cancel()
    assert task.cancelled()


# run_to_completion


async def write(result: str = "written") -> str:
    await asyncio.sleep(1)
    return result


@fake_time
async def test_a_write_gives_its_result_or_its_error() -> None:
    assert await run_to_completion(write()) == "written"
    with pytest.raises(Fault):
        await run_to_completion(fail_after(1))


@pytest.mark.parametrize("times", [1, 3])
def test_a_cancelled_caller_waits_for_its_write_to_end(times: int) -> None:
    @fake_time
    async def run() -> None:
        ended: list[float] = []

        async def slow_write() -> None:
            await asyncio.sleep(2)
            ended.append(elapsed())

        async with asyncio.TaskGroup() as group:
            caller = group.create_task(run_to_completion(slow_write()), name="caller")
            for _ in range(times):
                await advance_time(0.5)
                caller.cancel()
        assert caller.cancelled()
        assert ended == [2]

    run()


@fake_time
async def test_the_error_of_a_write_whose_caller_was_cancelled_is_dropped() -> None:
    async with asyncio.TaskGroup() as group:
        caller = group.create_task(run_to_completion(fail_after(1)), name="caller")
        await advance_time(0.5)
        caller.cancel()
    assert caller.cancelled()
    assert elapsed() == 1


# repeat


@fake_time
async def test_a_storage_error_is_logged_once_until_the_work_succeeds_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    calls: list[float] = []
    broken = {2.0, 3.0, 4.0, 6.0}

    async def work() -> None:
        calls.append(elapsed())
        if elapsed() in broken:
            raise StorageError("The disk is full.")

    async with asyncio.TaskGroup() as group:
        again = repeat(work, interval=1.0, warning="It can't be done", log=log)
        task = group.create_task(again, name="work")
        await advance_time(7.5)
        task.cancel()
    assert calls == [1, 2, 3, 4, 5, 6, 7]
    assert [r.getMessage() for r in caplog.records] == ["It can't be done: The disk is full."] * 2


@fake_time
async def test_at_its_ending_the_work_is_done_a_last_time_and_not_cancelled() -> None:
    calls: list[tuple[float, float]] = []
    ending = asyncio.Event()

    async def work() -> None:
        began = elapsed()
        await asyncio.sleep(0.5)
        calls.append((began, elapsed()))

    async with asyncio.TaskGroup() as group:
        again = repeat(work, interval=1.0, warning="", log=log, ending=ending)
        group.create_task(again, name="work")
        await advance_time(1.75)
        ending.set()
    assert calls == [(1, 1.5), (1.75, 2.25)]
    assert elapsed() == 2.25


@fake_time
async def test_an_unforeseen_error_is_logged_once_with_its_traceback_and_the_work_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    calls: list[float] = []
    faults: dict[float, Exception] = {
        2.0: Fault(),
        3.0: Fault(),
        4.0: StorageError("The disk is full."),
        5.0: Fault(),
        7.0: Fault(),
    }

    async def work() -> None:
        calls.append(elapsed())
        if fault := faults.get(elapsed()):
            raise fault

    async with asyncio.TaskGroup() as group:
        again = repeat(work, interval=1.0, warning="It can't be done", log=log)
        task = group.create_task(again, name="work")
        await advance_time(8.5)
        task.cancel()
    assert calls == [1, 2, 3, 4, 5, 6, 7, 8]
    logged = [(r.getMessage(), r.exc_info[0] if r.exc_info else None) for r in caplog.records]
    assert logged == [
        ("It can't be done", Fault),
        ("It can't be done: The disk is full.", None),
        ("It can't be done", Fault),
        ("It can't be done", Fault),
    ]


@fake_time
async def test_a_cancelled_future_in_the_work_is_logged_and_the_work_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    calls: list[float] = []

    async def work() -> None:
        calls.append(elapsed())
        if len(calls) == 1:
            await cancelled_future()

    async with asyncio.TaskGroup() as group:
        again = repeat(work, interval=1.0, warning="It can't be done", log=log)
        task = group.create_task(again, name="work")
        await advance_time(2.5)
        task.cancel()
    assert calls == [1, 2]
    assert task.cancelled()
    assert [r.getMessage() for r in caplog.records] == ["It can't be done"]


# keep_running


@fake_time
async def test_a_job_that_fails_or_ends_is_logged_and_started_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    starts: list[float] = []

    async def job() -> None:
        starts.append(elapsed())
        await asyncio.sleep(2)
        if len(starts) == 1:
            raise Fault

    async with asyncio.TaskGroup() as group:
        task = group.create_task(keep_running(job, name="refresher"), name="job")
        await advance_time(3 * (2 + RESTART_DELAY) - 0.1)
        task.cancel()
    assert starts == [0, 2 + RESTART_DELAY, 2 * (2 + RESTART_DELAY)]
    [record] = caplog.records
    assert "'refresher'" in record.getMessage()
    assert record.exc_info
    assert record.exc_info[0] is Fault


@fake_time
async def test_a_cancelled_job_is_not_started_again() -> None:
    starts: list[float] = []

    async def job() -> None:
        starts.append(elapsed())
        await asyncio.sleep(60)

    async with asyncio.TaskGroup() as group:
        task = group.create_task(keep_running(job, name="refresher"), name="job")
        await advance_time(1)
        task.cancel()
        await advance_time(10)
    assert starts == [0]


@fake_time
async def test_a_job_in_which_a_future_was_cancelled_is_logged_and_started_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    starts: list[float] = []

    async def job() -> None:
        starts.append(elapsed())
        if len(starts) == 1:
            await cancelled_future()
        await asyncio.sleep(60)

    async with BackgroundTasks() as tasks:
        tasks.start_job(job, name="refresher")
        await advance_time(RESTART_DELAY * 3)
    assert starts == [0, RESTART_DELAY]
    [record] = caplog.records
    assert record.getMessage() == "The background job 'refresher' failed; it is started again."


@fake_time
async def test_a_job_that_fails_while_it_is_cancelled_is_logged_and_not_started_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    starts: list[float] = []

    async def job() -> None:
        starts.append(elapsed())
        try:
            await asyncio.sleep(60)
        finally:
            raise Fault

    async with BackgroundTasks() as tasks:
        tasks.start_job(job, name="refresher")
        await advance_time(1)
    assert starts == [0]
    assert elapsed() == 1
    [record] = caplog.records
    assert record.getMessage() == "The background job 'refresher' failed while it ended."
