"""Pages are counted while they are looked at."""

import asyncio

from codewalk.app.viewers import Viewers
from tests.fake_time import advance_time, elapsed, fake_time


@fake_time
async def test_a_wait_ends_when_a_page_begins_to_look_and_then_at_each_interval() -> None:
    viewers, ends = Viewers(), list[float]()

    async def follow() -> None:
        while True:
            await viewers.wait(10)
            ends.append(elapsed())

    async with asyncio.TaskGroup() as group:
        task = group.create_task(follow(), name="follow")
        await advance_time(100)
        assert ends == []
        with viewers.viewing():
            await advance_time(25)
            assert len(ends) == 3
            with viewers.viewing():
                await advance_time(1)
            assert len(ends) == 4
        ends.clear()
        await advance_time(100)
        assert ends == []
        task.cancel()
