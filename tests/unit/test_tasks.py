"""Work that goes on when the store fails for a while."""

import asyncio
import logging

import pytest

from codewalk.errors import StorageError
from codewalk.tasks import repeat
from tests.fake_time import advance_time, elapsed, fake_time

log = logging.getLogger(__name__)


@fake_time
async def test_trouble_is_logged_once_until_it_is_over(caplog: pytest.LogCaptureFixture) -> None:
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
async def test_any_other_error_ends_it() -> None:
    async def work() -> None:
        raise ValueError("a fault of ours")

    with pytest.raises(ValueError, match="ours"):
        await repeat(work, interval=1.0, warning="", log=log)
