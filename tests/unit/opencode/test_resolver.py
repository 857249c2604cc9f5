"""Names are resolved on threads of their own, so that a slow one holds up nothing else."""

import asyncio
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from codewalk.opencode.resolver import MAX_LOOKUPS, MAX_SLOW_LOOKUPS, Resolver

ADDRESSES: list[tuple[Any, Any, int, str, tuple[Any, ...]]] = [
    (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 0)),
    (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("fe80::1", 0, 0, 3)),
]

NEVER = 60.0
"""Seconds after which a look-up counts as slow, in tests where none should."""


class NameServer:
    """Resolves each name at once, except those in `hanging`, which wait for `release`."""

    def __init__(self) -> None:
        self.hanging: set[str] = set()
        self.release = threading.Event()
        self.lookups: Counter[str] = Counter()
        self.threads = self.max_threads = 0
        self._changed = threading.Condition()

    def lookup(self, host: str, *_: int) -> list[Any]:
        self._count(host, 1)
        if host in self.hanging:
            self.release.wait(30)
        self._count(host, -1)
        return ADDRESSES

    def hang(self, count: int) -> list[str]:
        """Add as many names that hang, and return them."""
        names = [f"hanging{number}" for number in range(count)]
        self.hanging.update(names)
        return names

    async def has_threads(self, count: int) -> None:
        """Wait until as many look-ups are on a thread."""
        assert await asyncio.to_thread(self._wait, count)

    def _wait(self, count: int) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self.threads == count, 10)

    def _count(self, host: str, step: int) -> None:
        with self._changed:
            self.lookups[host] += max(step, 0)
            self.threads += step
            self.max_threads = max(self.threads, self.max_threads)
            self._changed.notify_all()


@pytest.fixture
def server() -> Iterator[NameServer]:
    server = NameServer()
    yield server
    server.release.set()


async def resolve_all(resolver: Resolver, names: list[str]) -> None:
    await asyncio.gather(*(resolver.resolve(name) for name in names))


async def test_addresses_have_the_port_asked_for_and_a_link_local_one_its_zone() -> None:
    results = await Resolver(lookup=lambda *_: ADDRESSES).resolve("box", 4096)
    assert [(result["host"], result["port"]) for result in results] == [
        ("192.0.2.1", 4096),
        ("fe80::1%3", 4096),
    ]
    assert {result["hostname"] for result in results} == {"box"}


@pytest.mark.parametrize("error", [socket.gaierror(-2, "unknown"), UnicodeError("label too long")])
async def test_an_invalid_name_raises_an_os_error(error: Exception) -> None:
    def lookup(*_: object) -> list[Any]:
        raise error

    resolver = Resolver(lookup=lookup)
    with pytest.raises(OSError, match=r"unknown|not a host name"):
        await resolver.resolve("box")
    assert not resolver.is_resolving("box")


async def test_localhost_is_resolved_on_a_machine_without_a_network() -> None:
    flags: dict[str, int] = {}

    def lookup(host: str, *rest: int) -> list[Any]:
        flags[host] = rest[-1]
        return ADDRESSES

    resolver = Resolver(lookup=lookup)
    for host in ("localhost", "dev.localhost", "devbox"):
        await resolver.resolve(host)
    assert flags == {"localhost": 0, "dev.localhost": 0, "devbox": socket.AI_ADDRCONFIG}


async def test_a_slow_name_neither_delays_another_nor_outlives_its_cancellation(
    server: NameServer,
) -> None:
    [slow] = server.hang(1)
    resolver = Resolver(lookup=server.lookup)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(resolver.resolve(slow), name="slow")
        await resolver.resolve("quick")
        assert resolver.is_resolving(slow)
        task.cancel()
    assert not resolver.is_resolving(slow)


async def test_callers_of_one_name_share_one_look_up(server: NameServer) -> None:
    [slow] = server.hang(1)
    resolver = Resolver(lookup=server.lookup)
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(resolver.resolve(slow, port), name=f"port {port}")
            for port in (4096, 4097, 4098)
        ]
        await resolver.resolve("quick")
        # One that gives up doesn't end it for the others, and one that comes later joins.
        tasks[0].cancel()
        await resolver.resolve("quick")
        tasks.append(group.create_task(resolver.resolve(slow, 4099), name="later"))
        await resolver.resolve("quick")
        server.release.set()
    assert [task.result()[0]["port"] for task in tasks[1:]] == [4097, 4098, 4099]
    assert server.lookups[slow] == 1


async def test_a_name_is_looked_up_anew_after_an_answer(server: NameServer) -> None:
    resolver = Resolver(lookup=server.lookup)
    await resolver.resolve("box")
    await resolver.resolve("box")
    assert server.lookups["box"] == 2


async def test_names_that_hang_dont_delay_one_that_doesnt(server: NameServer) -> None:
    names = server.hang(100)
    resolver = Resolver(lookup=server.lookup)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(resolver.resolve(name), name=name) for name in names]
        box = group.create_task(resolver.resolve("box"), name="box")
        await asyncio.wait_for(box, 10)
        assert not any(task.done() for task in tasks)
        await server.has_threads(100)
        server.release.set()


async def test_names_that_hang_again_dont_take_the_threads_of_others(server: NameServer) -> None:
    names = server.hang(6)
    resolver = Resolver(lookup=server.lookup, slow_after=0.0, max_lookups=2, max_slow_lookups=4)
    async with asyncio.TaskGroup() as group:
        first = group.create_task(resolve_all(resolver, names), name="first")
        await server.has_threads(6)
        server.release.set()
        await first
        server.release.clear()
        again = group.create_task(resolve_all(resolver, names), name="again")
        await server.has_threads(4)
        await asyncio.wait_for(resolver.resolve("box"), 10)
        assert not again.done()
        assert server.threads == 4
        server.release.set()
    assert server.max_threads == 6
    assert server.lookups == {**dict.fromkeys(names, 2), "box": 1}


async def test_a_name_that_was_slow_once_is_no_longer_after_a_quick_answer(
    server: NameServer,
) -> None:
    server.hanging = {"recovered", "other"}
    resolver = Resolver(lookup=server.lookup, slow_after=0.3, max_lookups=1, max_slow_lookups=1)
    async with asyncio.TaskGroup() as group:
        group.create_task(resolver.resolve("recovered"), name="recovered")
        group.create_task(resolver.resolve("other"), name="other")
        # The second one starts when the first one counts as slow.
        await server.has_threads(2)
        server.release.set()
    server.hanging = {"stuck"}
    server.release.clear()
    await resolver.resolve("recovered")
    async with asyncio.TaskGroup() as group:
        group.create_task(resolver.resolve("stuck"), name="stuck")
        await asyncio.sleep(0)
        await resolver.resolve("box")
        # Now the only thread for slow names is taken.
        await asyncio.wait_for(resolver.resolve("recovered"), 10)
        server.release.set()


async def test_the_number_of_threads_is_bounded(server: NameServer) -> None:
    total = MAX_LOOKUPS + MAX_SLOW_LOOKUPS
    names = server.hang(total + 50)
    resolver = Resolver(lookup=server.lookup, slow_after=0.0)
    async with asyncio.TaskGroup() as group:
        group.create_task(resolve_all(resolver, names), name="all")
        await server.has_threads(total)
        server.release.set()
    assert server.max_threads == total
    assert server.lookups == dict.fromkeys(names, 1)


async def test_a_name_that_nobody_waits_for_any_more_takes_no_thread(server: NameServer) -> None:
    server.hang(1)
    resolver = Resolver(lookup=server.lookup, slow_after=NEVER, max_lookups=1)
    async with asyncio.TaskGroup() as group:
        group.create_task(resolver.resolve("hanging0"), name="hanging")
        queued = group.create_task(resolver.resolve("abandoned"), name="queued")
        await server.has_threads(1)
        assert resolver.is_resolving("abandoned")
        queued.cancel()
        last = group.create_task(resolver.resolve("box"), name="last")
        await asyncio.wait([queued])
        server.release.set()
        await last
    assert server.lookups == {"hanging0": 1, "box": 1}
