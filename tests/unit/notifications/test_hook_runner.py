"""Notices reach the hooks: in order, retried where a delivery fails, and none lost."""

import asyncio
import logging
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import pytest

from codewalk.errors import HookFailed, StorageError
from codewalk.notifications.hook import Hook, new_command
from codewalk.notifications.hook_runner import (
    HOOKS_RETRY_DELAY,
    MAX_CONCURRENT_DELIVERIES,
    MAX_NOTICE_AGE,
    MAX_PENDING_DELIVERIES,
    PROGRESS_INTERVAL,
    TAKE_OVER_INTERVAL,
    HookRunner,
)
from codewalk.notifications.notice import NoticeKind
from codewalk.notifications.outbox import OutgoingNotice
from codewalk.tasks import RESTART_DELAY, keep_running
from tests.fake_time import advance_time, elapsed, fake_time
from tests.fakes import EPOCH, utc_now

DOWN, UP = NoticeKind.DOWN, NoticeKind.UP


class FakeHooks:
    """Stored hooks that record what they receive; some fail, some take long.

    `failures` says by name how often a hook fails before it works, `duration` how many seconds
    each delivery takes. `errors` are raised by the next calls of `list`.
    """

    def __init__(self, *hooks: Hook) -> None:
        self.stored: list[Hook] = list(hooks)
        self.received: list[tuple[float, str, bytes]] = []
        self.failures: dict[str, int] = {}
        self.duration = 0.0
        self.in_flight = self.max_in_flight = 0
        self.broken = False
        self.errors: list[Exception | None] = []

    async def list(self) -> Sequence[Hook]:
        if self.errors and (error := self.errors.pop(0)):
            raise error
        if self.broken:
            raise StorageError("The disk is gone.")
        return tuple(self.stored)

    async def add(self, hook: Hook) -> None:
        self.stored.append(hook)

    async def remove(self, hook_id: str) -> None:
        self.stored = [hook for hook in self.stored if hook.id != hook_id]

    async def deliver(self, hook: Hook, payload: bytes) -> None:
        name = hook.arguments[0]
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)
        self.received.append((elapsed(), name, payload))
        try:
            await asyncio.sleep(self.duration)
        finally:
            self.in_flight -= 1
        if name == "faulty":
            raise ZeroDivisionError
        if remaining := self.failures.get(name, 0):
            self.failures[name] = remaining - 1
            raise HookFailed("It ended with status 1.")


class FakeOutbox:
    """An outbox in memory.

    `owned` are this process's notices by id, `left` those that any process may take over, and
    `stored` is the progress by id. `errors` are raised by the next calls of `save_progress`.
    """

    def __init__(self) -> None:
        self.owned: dict[str, OutgoingNotice] = {}
        self.left: list[OutgoingNotice] = []
        self.stored: dict[str, frozenset[str] | None] = {}
        self.released = False
        self.broken = False
        self.errors: list[Exception] = []

    def add(self, notice: OutgoingNotice) -> None:
        if notice.id:
            self.owned[notice.id] = notice

    async def take_over(self, limit: int) -> Sequence[OutgoingNotice]:
        self._require_working()
        taken, self.left = self.left[:limit], self.left[limit:]
        for notice in taken:
            self.add(notice)
        return taken

    async def save_progress(self, progress: Mapping[str, Collection[str] | None]) -> None:
        self._require_working()
        if self.errors:
            raise self.errors.pop()
        for notice_id, hook_ids in progress.items():
            self.stored[notice_id] = None if hook_ids is None else frozenset(hook_ids)
            notice = self.owned.pop(notice_id, None)
            if notice and hook_ids is not None:
                self.owned[notice_id] = replace(notice, delivered_to=frozenset(hook_ids))

    async def release(self) -> None:
        self.released = True
        self.left += self.owned.values()
        self.owned.clear()

    def _require_working(self) -> None:
        if self.broken:
            raise StorageError("The disk is gone.")


def hook(name: str, *events: NoticeKind) -> Hook:
    return new_command([name], events, EPOCH)


class Running:
    """A runner at work, and its surroundings."""

    def __init__(self, *hooks: Hook) -> None:
        self.hooks = FakeHooks(*hooks)
        self.outbox = FakeOutbox()
        self.runner = HookRunner(self.hooks, self.outbox, deliver=self.hooks.deliver, now=utc_now)

    def submit(
        self, kind: NoticeKind, server: str = "s", *, notice_id: str | None = None
    ) -> OutgoingNotice:
        notice = OutgoingNotice(
            id=notice_id, kind=kind, payload=f"{server} {kind}".encode(), created_at=utc_now()
        )
        self.outbox.add(notice)
        self.runner.submit([notice])
        return notice

    @property
    def received(self) -> list[tuple[str, bytes]]:
        return [(name, payload) for _, name, payload in self.hooks.received]

    def payloads(self, name: str) -> list[bytes]:
        return [payload for receiver, payload in self.received if receiver == name]


@asynccontextmanager
async def running(*hooks: Hook) -> AsyncIterator[Running]:
    here = Running(*hooks)
    async with run(here):
        yield here


@asynccontextmanager
async def run(here: Running, *, restart: bool = False) -> AsyncIterator[None]:
    """Run the runner; with `restart`, as the app does, which runs it again after a failure."""
    runs = keep_running(here.runner.run, name="hooks") if restart else here.runner.run()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(runs, name="hooks")
        await advance_time(0)
        yield
        task.cancel()


@fake_time
async def test_each_hook_receives_the_events_that_it_wants() -> None:
    async with running(hook("all"), hook("downs", DOWN)) as here:
        here.submit(DOWN)
        here.submit(UP)
        await advance_time(1)
        assert sorted(here.received) == [
            ("all", b"s down"),
            ("all", b"s up"),
            ("downs", b"s down"),
        ]


@fake_time
async def test_a_failed_delivery_is_retried_three_times_with_growing_delays(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with running(hook("a"), hook("b")) as here:
        here.hooks.failures = {"a": 3, "b": 99}
        here.submit(DOWN)
        await advance_time(100)
        for name in "ab":
            times = [at for at, receiver, _ in here.hooks.received if receiver == name]
            assert times == [0, 1, 6, 31]
        here.submit(UP)
        await advance_time(100)
        here.hooks.failures = {}
        here.submit(DOWN)
        await advance_time(100)
        here.hooks.failures = {"b": 99}
        here.submit(DOWN)
        await advance_time(100)
    # Once until it works again.
    line = f"Hook {here.hooks.stored[1].id}: It ended with status 1."
    assert [record.getMessage() for record in caplog.records] == [line, line]


@fake_time
async def test_one_hook_receives_its_events_in_order_and_delays_no_other() -> None:
    async with running(hook("slow"), hook("quick")) as here:
        here.hooks.failures = {"slow": 2}
        for kind in (DOWN, UP, DOWN):
            here.submit(kind)
        await advance_time(0.5)
        assert here.payloads("quick") == [b"s down", b"s up", b"s down"]
        assert here.payloads("slow") == [b"s down"]
        await advance_time(20)
        assert here.payloads("slow") == [b"s down"] * 3 + [b"s up", b"s down"]


@fake_time
async def test_only_so_many_deliveries_are_in_flight_at_once() -> None:
    async with running(*(hook(f"{number}") for number in range(20))) as here:
        here.hooks.duration = 1.0
        here.submit(DOWN)
        await advance_time(10)
        assert len(here.received) == 20
        assert here.hooks.max_in_flight == MAX_CONCURRENT_DELIVERIES


@fake_time
async def test_every_notice_of_a_burst_is_delivered() -> None:
    # The announcer's queues hold 1,000 events; a hub may have thousands of servers.
    async with running(hook("a"), hook("b")) as here:
        for number in range(5000):
            here.submit(DOWN, f"{number}")
        await advance_time(1)
        expected = [f"{number} down".encode() for number in range(5000)]
        assert here.payloads("a") == here.payloads("b") == expected


@fake_time
async def test_for_a_hook_that_hangs_only_so_many_deliveries_wait(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with running(hook("hangs")) as here:
        here.hooks.duration = 1.0
        here.submit(DOWN, "first", notice_id="first")
        await advance_time(0.5)
        for number in range(MAX_PENDING_DELIVERIES + 10):
            here.submit(DOWN, f"{number}", notice_id=f"{number}")
            if number % 1000 == 0:
                await advance_time(0)
        await advance_time(MAX_PENDING_DELIVERIES + 10)
        expected = [f"{number} down".encode() for number in range(10, MAX_PENDING_DELIVERIES + 10)]
        assert here.payloads("hangs") == [b"first down", *expected]
        # What was dropped is in the outbox no longer.
        assert here.outbox.stored.keys() >= {f"{number}" for number in range(10)}
        assert set(here.outbox.stored.values()) == {None}
    assert len(caplog.records) == 1
    assert "10,000 deliveries wait" in caplog.records[0].getMessage()


@fake_time
async def test_notices_dropped_while_the_hooks_cannot_be_read_are_logged_and_removed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with running(hook("a")) as here:
        here.hooks.broken = True
        for number in range(MAX_PENDING_DELIVERIES + 10):
            here.submit(DOWN, f"{number}", notice_id=f"{number}")
        here.hooks.broken = False
        await advance_time(HOOKS_RETRY_DELAY + PROGRESS_INTERVAL)
        expected = [f"{number} down".encode() for number in range(10, MAX_PENDING_DELIVERIES + 10)]
        assert here.payloads("a") == expected
        assert here.outbox.owned == {}
        # Once until the hooks were read.
        here.runner.submit([here.submit(DOWN)] * (MAX_PENDING_DELIVERIES + 10))
    assert [record.getMessage() for record in caplog.records] == [
        "10,000 notices wait for the hooks to be read; the oldest are dropped."
    ] * 2


@fake_time
async def test_of_a_large_outbox_only_as_much_is_taken_over_as_can_wait(
    caplog: pytest.LogCaptureFixture,
) -> None:
    count = MAX_PENDING_DELIVERIES + 10
    here = Running(hook("hangs"))
    here.hooks.duration = 3 * TAKE_OVER_INTERVAL
    here.outbox.left = [
        OutgoingNotice(id=f"{number}", kind=DOWN, payload=b"%d" % number, created_at=EPOCH)
        for number in range(count)
    ]
    async with run(here):
        await advance_time(TAKE_OVER_INTERVAL + 1)
        # The delivery under way isn't one that waits.
        assert len(here.outbox.owned) == MAX_PENDING_DELIVERIES + 1
        assert len(here.outbox.left) == 9
        here.hooks.duration = 0.0
        await advance_time(4 * TAKE_OVER_INTERVAL)
        assert here.payloads("hangs") == [b"%d" % number for number in range(count)]
        assert here.outbox.owned == {}
        assert here.outbox.left == []
    assert caplog.records == []


@fake_time
async def test_a_removed_hook_receives_nothing_more_and_a_new_one_does() -> None:
    old = hook("old")
    async with running(old, hook("other")) as here:
        here.hooks.duration = 1.0
        here.submit(DOWN)
        here.submit(UP)
        await advance_time(0.5)
        await here.hooks.remove(old.id)
        await here.hooks.add(hook("new"))
        here.submit(DOWN)
        await advance_time(10)
        assert here.payloads("old") == [b"s down"]
        assert here.payloads("new") == [b"s down"]
        assert here.payloads("other") == [b"s down", b"s up", b"s down"]


@fake_time
async def test_an_old_notice_is_dropped() -> None:
    async with running(hook("a")) as here:
        old = here.submit(DOWN, "old", notice_id="old")
        here.submit(DOWN, "new", notice_id="new")
        await advance_time(1)
        assert here.payloads("a") == [b"old down", b"new down"]
        here.runner.submit([replace(old, created_at=utc_now() - MAX_NOTICE_AGE)])
        await advance_time(2)
        assert len(here.received) == 2
        assert here.outbox.stored == {"old": None, "new": None}


@fake_time
async def test_notices_wait_while_the_hooks_cannot_be_read(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with running(hook("a")) as here:
        here.hooks.broken = True
        here.submit(DOWN)
        await advance_time(3 * HOOKS_RETRY_DELAY)
        assert here.received == []
        here.hooks.broken = False
        here.submit(UP)
        await advance_time(2 * HOOKS_RETRY_DELAY)
        assert here.received == [("a", b"s down"), ("a", b"s up")]
        # Those that were read once are used.
        here.hooks.broken = True
        here.submit(DOWN)
        await advance_time(1)
        assert here.received[2:] == [("a", b"s down")]
    first, second = caplog.records
    assert first.getMessage() == second.getMessage() == "The hooks can't be read: The disk is gone."


@fake_time
async def test_an_unexpected_error_of_a_delivery_ends_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with running(hook("faulty"), hook("b")) as here:
        here.submit(DOWN)
        here.submit(UP)
        await advance_time(1)
        assert here.payloads("b") == [b"s down", b"s up"]
        # It would fail again: it isn't retried, and the next one is delivered.
        assert here.payloads("faulty") == [b"s down", b"s up"]
    assert {record.levelno for record in caplog.records} == {logging.ERROR}


@fake_time
async def test_the_end_waits_for_no_hook_and_leaves_its_notice_to_the_next_process() -> None:
    async with running(hook("hangs")) as here:
        here.hooks.duration = 3600.0
        here.submit(DOWN, notice_id="1")
        await advance_time(1)
        here.outbox.released = False
    assert elapsed() == 1
    assert here.outbox.stored == {}
    assert here.outbox.released


@fake_time
async def test_a_notice_is_removed_from_the_outbox_once_each_hook_is_done_with_it() -> None:
    quick, slow = hook("quick"), hook("slow")
    async with running(quick, slow) as here:
        here.hooks.failures = {"slow": 99}
        here.submit(DOWN, notice_id="1")
        await advance_time(PROGRESS_INTERVAL + 0.1)
        assert here.outbox.stored == {"1": frozenset({quick.id})}
        # Given up after the last retry.
        await advance_time(31)
        assert here.outbox.stored == {"1": None}
        # No hook wants it.
        here.hooks.stored = [hook("ups", UP)]
        here.submit(DOWN, notice_id="2")
        await advance_time(PROGRESS_INTERVAL + 0.1)
        assert here.outbox.stored == {"1": None, "2": None}


@fake_time
async def test_what_was_just_delivered_is_stored_at_the_end() -> None:
    async with running(hook("a")) as here:
        here.submit(DOWN, notice_id="1")
        await advance_time(PROGRESS_INTERVAL / 2)
        assert here.outbox.stored == {}
    assert here.outbox.stored == {"1": None}


@fake_time
async def test_progress_that_cannot_be_stored_is_stored_later() -> None:
    async with running(hook("a")) as here:
        here.outbox.broken = True
        here.submit(DOWN, notice_id="1")
        await advance_time(3 * PROGRESS_INTERVAL)
        assert here.outbox.stored == {}
        here.outbox.broken = False
        await advance_time(PROGRESS_INTERVAL)
        assert here.outbox.stored == {"1": None}


@fake_time
async def test_progress_is_stored_after_an_unexpected_error() -> None:
    here = Running(hook("a"))
    async with run(here, restart=True):
        here.outbox.errors = [ZeroDivisionError()]
        here.submit(DOWN, notice_id="1")
        await advance_time(3 * PROGRESS_INTERVAL)
        assert here.outbox.errors == []
        assert here.outbox.stored == {"1": None}
        assert here.received == [("a", b"s down")]


@fake_time
async def test_notices_left_by_another_process_are_delivered_at_the_start_and_later() -> None:
    done, waiting = hook("done"), hook("waiting")
    here = Running(done, waiting)
    left = OutgoingNotice(
        id="1",
        kind=DOWN,
        payload=b"left down",
        created_at=EPOCH - timedelta(hours=1),
        delivered_to=frozenset({done.id}),
    )
    here.outbox.left = [left]
    async with run(here):
        await advance_time(2)
        assert here.received == [("waiting", b"left down")]
        assert here.outbox.stored == {"1": None}
        here.outbox.left = [replace(left, id="2", payload=b"later down")]
        await advance_time(TAKE_OVER_INTERVAL)
        assert here.received[1:] == [("waiting", b"later down")]


@fake_time
async def test_after_an_unexpected_end_the_next_run_delivers_what_is_in_the_outbox() -> None:
    here = Running(hook("hangs"))
    async with run(here):
        here.hooks.duration = 3600.0
        here.submit(DOWN, notice_id="1")
        await advance_time(1)
    here.hooks.duration = 0.0
    async with run(here):
        await advance_time(2)
        assert here.outbox.stored == {"1": None}


@fake_time
async def test_every_hook_is_served_again_after_the_runner_has_failed() -> None:
    # The runner fails in the step in which it starts the delivery to `idle`: that task is
    # cancelled before its first step.
    idle, slow = hook("idle", UP), hook("slow", DOWN)
    here = Running(idle, slow)
    here.hooks.duration = 1.0
    here.submit(DOWN)
    here.outbox.left = [OutgoingNotice(id="up", kind=UP, payload=b"s up", created_at=utc_now())]
    # The second reading of the hooks is that of what was taken over.
    here.hooks.errors = [None, ZeroDivisionError()]
    async with run(here, restart=True):
        await advance_time(RESTART_DELAY / 2)
        assert here.hooks.errors == []
        assert here.received == [("slow", b"s down")]
        # Between the two runs.
        here.submit(UP, "between", notice_id="between")
        await advance_time(RESTART_DELAY)
        here.submit(UP, "later", notice_id="later")
        await advance_time(10)
        assert here.payloads("idle") == [b"s up", b"between up", b"later up"]
        # Ended with the first run, and delivered from the start by the second one.
        assert here.payloads("slow") == [b"s down"] * 2
        assert here.outbox.stored == dict.fromkeys(("up", "between", "later"))


@fake_time
async def test_notices_that_are_not_in_the_outbox_are_delivered_after_the_runner_has_failed() -> (
    None
):
    here = Running(hook("quick"), hook("slow"))
    async with run(here, restart=True):
        here.hooks.failures = {"slow": 2}
        here.submit(DOWN)
        here.submit(UP)
        await advance_time(0.5)
        assert here.payloads("quick") == [b"s down", b"s up"]
        here.hooks.errors = [ZeroDivisionError()]
        here.submit(DOWN, "other")
        await advance_time(RESTART_DELAY + 10)
        assert here.payloads("quick") == [b"s down", b"s up", b"other down"]
        assert here.payloads("slow")[-3:] == [b"s down", b"s up", b"other down"]
