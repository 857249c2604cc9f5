"""Names are looked up on threads of their own, so that a slow one holds up nothing else."""

import asyncio
import socket
import threading
from typing import Any

import pytest

from codewalk.opencode.resolver import MAX_LOOKUPS, Resolver

FOUND: list[tuple[Any, Any, int, str, tuple[Any, ...]]] = [
    (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 4096)),
    (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("fe80::1", 4096, 0, 3)),
]


async def test_addresses_come_back_with_the_zone_of_a_link_local_one() -> None:
    results = await Resolver(lookup=lambda *_: FOUND).resolve("box", 4096)
    assert [result["host"] for result in results] == ["192.0.2.1", "fe80::1%3"]
    assert {result["hostname"] for result in results} == {"box"}


@pytest.mark.parametrize("error", [socket.gaierror(-2, "unknown"), UnicodeError("label too long")])
async def test_a_name_that_is_none_raises_an_os_error(error: Exception) -> None:
    def lookup(*_: object) -> list[Any]:
        raise error

    resolver = Resolver(lookup=lookup)
    with pytest.raises(OSError, match=r"unknown|not a host name"):
        await resolver.resolve("box")
    assert not resolver.is_resolving("box")


async def test_localhost_is_found_on_a_machine_without_a_network() -> None:
    flags: dict[str, int] = {}

    def lookup(host: str, *rest: int) -> list[Any]:
        flags[host] = rest[-1]
        return FOUND

    resolver = Resolver(lookup=lookup)
    for host in ("localhost", "dev.localhost", "devbox"):
        await resolver.resolve(host)
    assert flags == {"localhost": 0, "dev.localhost": 0, "devbox": socket.AI_ADDRCONFIG}


async def test_a_slow_name_neither_holds_up_another_nor_outlives_its_cancellation() -> None:
    release = threading.Event()

    def lookup(host: str, *_: int) -> list[Any]:
        if host == "slow":
            release.wait(10)
        return FOUND

    resolver = Resolver(lookup=lookup)
    async with asyncio.TaskGroup() as group:
        slow = group.create_task(resolver.resolve("slow"), name="slow")
        await resolver.resolve("quick")
        assert resolver.is_resolving("slow")
        slow.cancel()
    assert not resolver.is_resolving("slow")
    release.set()


async def test_the_number_of_threads_is_bounded() -> None:
    release, lock = threading.Event(), threading.Lock()
    running, most = 0, 0

    def lookup(*_: object) -> list[Any]:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
            if running == MAX_LOOKUPS:
                release.set()
        release.wait(10)
        with lock:
            running -= 1
        return FOUND

    resolver = Resolver(lookup=lookup)
    await asyncio.gather(*(resolver.resolve(f"box{n}") for n in range(2 * MAX_LOOKUPS)))
    assert most == MAX_LOOKUPS
