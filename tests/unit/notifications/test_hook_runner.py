"""When hooks are given what: beside everything else, in order, again where it failed."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from codewalk.errors import HookFailed, StorageError
from codewalk.events import Announcer
from codewalk.health.status import HealthStatus
from codewalk.notifications.hook import Hook, new_command
from codewalk.notifications.hook_runner import (
    MAX_CONCURRENT_DELIVERIES,
    MAX_PENDING_DELIVERIES,
    HookRunner,
)
from codewalk.notifications.notice import Notice, NoticeEvent, NoticeKind
from tests.fake_time import advance_time, elapsed, fake_time
from tests.fakes import EPOCH

DOWN, UP = NoticeKind.DOWN, NoticeKind.UP


class Hooks:
    """Kept hooks that note what they are given; some fail, some take long."""

    def __init__(self, *hooks: Hook) -> None:
        self.kept: list[Hook] = list(hooks)
        self.given: list[tuple[float, str, bytes]] = []
        self.failures: dict[str, int] = {}
        self.takes = 0.0
        self.under_way = self.most = 0
        self.broken = False

    async def list(self) -> Sequence[Hook]:
        if self.broken:
            raise StorageError("The disk is gone.")
        return tuple(self.kept)

    async def deliver(self, hook: Hook, payload: bytes) -> None:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        self.given.append((elapsed(), hook.arguments[0], payload))
        await asyncio.sleep(self.takes)
        self.under_way -= 1
        if hook.arguments[0] == "faulty":
            raise ZeroDivisionError
        left = self.failures.get(hook.arguments[0], 0)
        if left:
            self.failures[hook.arguments[0]] = left - 1
            raise HookFailed("It ended with status 1.")


def hook(name: str, *events: NoticeKind) -> Hook:
    return new_command([name], events, EPOCH)


class Running:
    def __init__(self, announcer: Announcer, hooks: Hooks) -> None:
        self.hooks = hooks
        self._announcer = announcer

    def tell(self, what: NoticeKind, server: str = "s") -> None:
        news = Notice(kind=what, server_id=server, at=EPOCH, health=HealthStatus())
        self._announcer.announce(NoticeEvent.of(news))

    @property
    def given(self) -> list[tuple[str, bytes]]:
        return [(name, payload) for _, name, payload in self.hooks.given]


def describe(news: Notice) -> bytes | None:
    return None if news.server_id == "gone" else f"{news.server_id} {news.kind}".encode()


@asynccontextmanager
async def running(*hooks: Hook) -> AsyncIterator[Running]:
    kept, announcer = Hooks(*hooks), Announcer()
    runner = HookRunner(announcer, kept, deliver=kept.deliver, describe=describe)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(runner.run(), name="hooks")
        await advance_time(0)
        yield Running(announcer, kept)
        task.cancel()


@fake_time
async def test_each_hook_is_given_the_events_that_it_wants() -> None:
    async with running(hook("all"), hook("downs", DOWN)) as here:
        here.tell(DOWN)
        here.tell(UP)
        await advance_time(1)
        assert sorted(here.given) == [("all", b"s down"), ("all", b"s up"), ("downs", b"s down")]


@fake_time
async def test_what_failed_is_tried_again_three_times_with_growing_pauses(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with running(hook("a"), hook("b")) as here:
        here.hooks.failures = {"a": 3, "b": 99}
        here.tell(DOWN)
        await advance_time(100)
        for name in "ab":
            assert [at for at, given, _ in here.hooks.given if given == name] == [0, 1, 6, 31]
        here.tell(UP)
        await advance_time(100)
        here.hooks.failures = {}
        here.tell(DOWN)
        await advance_time(100)
        here.hooks.failures = {"b": 99}
        here.tell(DOWN)
        await advance_time(100)
    # Once until it works again.
    failing = here.hooks.kept[1].id
    line = f"Hook {failing}: It ended with status 1."
    assert [record.getMessage() for record in caplog.records] == [line, line]


@fake_time
async def test_one_hook_gets_its_events_in_order_and_holds_up_no_other() -> None:
    async with running(hook("slow"), hook("quick")) as here:
        here.hooks.failures = {"slow": 2}
        for what in (DOWN, UP, DOWN):
            here.tell(what)
        await advance_time(0.5)
        assert [payload for name, payload in here.given if name == "quick"] == [
            b"s down",
            b"s up",
            b"s down",
        ]
        assert [payload for name, payload in here.given if name == "slow"] == [b"s down"]
        await advance_time(20)
        slow = [payload for name, payload in here.given if name == "slow"]
        assert slow == [b"s down"] * 3 + [b"s up", b"s down"]


@fake_time
async def test_only_so_many_run_at_once() -> None:
    async with running(*(hook(f"{number}") for number in range(20))) as here:
        here.hooks.takes = 1.0
        here.tell(DOWN)
        await advance_time(10)
        assert len(here.given) == 20
        assert here.hooks.most == MAX_CONCURRENT_DELIVERIES


@fake_time
async def test_a_hook_that_hangs_fills_no_memory(caplog: pytest.LogCaptureFixture) -> None:
    async with running(hook("hangs")) as here:
        here.hooks.takes = 10.0
        for number in range(3 * MAX_PENDING_DELIVERIES):
            here.tell(DOWN, f"{number}")
            await advance_time(0.01)
        await advance_time(10.0 * MAX_PENDING_DELIVERIES + 20)
        payloads = [payload for _, payload in here.given]
        assert len(payloads) <= MAX_PENDING_DELIVERIES + 2
        assert payloads[-1] == f"{3 * MAX_PENDING_DELIVERIES - 1} down".encode()
    assert len(caplog.records) == 1


@fake_time
async def test_a_removed_hook_is_given_nothing_more_and_a_new_one_is() -> None:
    async with running(hook("old")) as here:
        here.hooks.kept = [hook("new")]
        here.tell(DOWN)
        await advance_time(1)
        assert here.given == [("new", b"s down")]


@fake_time
async def test_news_of_a_server_that_is_gone_is_no_news() -> None:
    async with running(hook("a")) as here:
        here.tell(DOWN, "gone")
        await advance_time(1)
        assert here.given == []


@fake_time
async def test_a_store_that_is_broken_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async with running(hook("a")) as here:
        here.hooks.broken = True
        here.tell(DOWN)
        await advance_time(1)
        here.hooks.broken = False
        here.tell(UP)
        await advance_time(1)
        assert here.given == [("a", b"s up")]
    (record,) = caplog.records
    assert "The disk is gone." in record.getMessage()


@fake_time
async def test_a_fault_of_ours_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async with running(hook("faulty"), hook("b")) as here:
        here.tell(DOWN)
        here.tell(UP)
        await advance_time(1)
        assert [name for name, _ in here.given].count("b") == 2
        # It would fail again: it isn't tried again, and the next one is.
        assert [name for name, _ in here.given].count("faulty") == 2
    assert {record.levelno for record in caplog.records} == {logging.ERROR}


@fake_time
async def test_the_end_waits_for_no_hook() -> None:
    async with running(hook("hangs")) as here:
        here.hooks.takes = 3600.0
        here.tell(DOWN)
        await advance_time(1)
    assert elapsed() == 1
