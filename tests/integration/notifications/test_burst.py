"""All servers of a large hub go down at once: every hook is served, and nothing else waits."""

import asyncio
import time
from dataclasses import replace

from codewalk.app.composition import open_parts
from codewalk.settings import Settings
from tests.fakes import profile
from tests.integration.notifications.notifier_app import (
    DOWN,
    UP,
    Receiver,
    run_notifier,
    set_all,
    store,
)
from tests.pauses import measure_pauses

MANY = 5000
FEW = 1000
TIMEOUT = 60.0


async def cost_of_burst(settings: Settings, count: int) -> tuple[float, float]:
    """Return the event loop's CPU seconds for so many servers, and the longest piece of them."""
    profiles = [profile(number) for number in range(count)]
    receiver = Receiver()
    await store(settings, profiles, receiver.hooks)
    async with open_parts(settings) as parts, asyncio.timeout(TIMEOUT):
        set_all(parts, UP)
        async with run_notifier(parts, receiver):
            set_all(parts, DOWN)
            before = time.thread_time()
            async with measure_pauses(time.thread_time) as pauses:
                await receiver.wait_for(count)
            total = time.thread_time() - before
    for ids in receiver.received.values():
        assert sorted(ids) == [server.id for server in profiles]
    return total, max(pauses)


async def test_thousands_of_servers_that_go_down_at_once_cost_little_and_lose_no_notice(
    settings: Settings,
) -> None:
    def in_folder(name: str) -> Settings:
        return replace(settings, data_dir=settings.data_dir / name)

    few, _ = await cost_of_burst(in_folder("few"), FEW)
    many, longest = await cost_of_burst(in_folder("many"), MANY)
    # Quadratic work would be five times as much for each server.
    assert many < 2 * few * MANY / FEW
    assert many < 2.0
    assert longest < 0.1
