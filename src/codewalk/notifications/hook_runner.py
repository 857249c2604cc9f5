"""Runs the hooks for notices, beside everything else: no check and no page waits for one."""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from codewalk.errors import CodeWalkError, StorageError
from codewalk.notifications.hook import Hook
from codewalk.notifications.hooks import HookStore
from codewalk.notifications.outbox import Outbox, OutgoingNotice
from codewalk.tasks import BackgroundTasks, repeat, run_to_completion

RETRY_DELAYS: Final = (1.0, 5.0, 25.0)
"""Seconds before each retry of a delivery that failed."""

MAX_PENDING_DELIVERIES: Final = 10_000
"""Deliveries that wait for one hook, and notices that wait for the hooks to be read; beyond, the
oldest are dropped. All servers of a large hub may go down at once."""

MAX_CONCURRENT_DELIVERIES: Final = 8
"""Programs and requests under way at once, of all hooks."""

MAX_NOTICE_AGE: Final = timedelta(hours=24)
"""Notices older than this are dropped, after a long time without an app or with a slow hook."""

TAKE_OVER_INTERVAL: Final = 10.0
"""Seconds between two attempts to take over notices of other processes; a third of a lease."""

TAKE_OVER_LIMIT: Final = 1000
"""Notices of other processes that are read at once."""

PROGRESS_INTERVAL: Final = 1.0
"""Seconds between two writes of what was delivered. After a crash, that much is delivered twice."""

HOOKS_RETRY_DELAY: Final = 5.0
"""Seconds before the hooks are read again where the store failed."""

log = logging.getLogger(__name__)


@dataclass(kw_only=True, slots=True)
class _Delivery:
    """A notice, the hooks that still have to receive it, and those that are done with it."""

    notice: OutgoingNotice
    waiting: set[str]
    done: set[str]


class HookRunner:
    """Delivers each submitted notice to each hook that wants it, in order, in `run`.

    A delivery that fails is retried after each of `RETRY_DELAYS`, then given up. What was not
    delivered when the process ended, however it ended, is delivered by the next one, or by another
    one on the same store.
    """

    def __init__(
        self,
        hooks: HookStore,
        outbox: Outbox,
        *,
        deliver: Callable[[Hook, bytes], Awaitable[None]],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Set up a runner; `deliver` raises `CodeWalkError` for a delivery that failed."""
        self._hook_store = hooks
        self._outbox = outbox
        self._deliver = deliver
        self._now = now
        self._hooks: Mapping[str, Hook] | None = None
        self._submitted: deque[OutgoingNotice] = deque()
        self._wakeup = asyncio.Event()
        self._queues: dict[str, deque[_Delivery]] = {}
        self._progress: dict[str, frozenset[str] | None] = {}
        self._failing: set[str] = set()
        self._dropping = False
        self._slots = asyncio.Semaphore(MAX_CONCURRENT_DELIVERIES)

    def submit(self, notices: Iterable[OutgoingNotice]) -> None:
        """Deliver these notices after those that were submitted before."""
        self._submitted.extend(notices)
        while len(self._submitted) > MAX_PENDING_DELIVERIES:
            self._drop(self._submitted.popleft())
        self._wakeup.set()

    def _drop(self, notice: OutgoingNotice) -> None:
        """Give up a notice that no hook has received."""
        if not self._dropping:
            self._dropping = True
            log.warning(
                "%s notices wait for the hooks to be read; the oldest are dropped.",
                f"{MAX_PENDING_DELIVERIES:,}",
            )
        if notice.id:
            self._progress[notice.id] = None

    async def run(self) -> None:
        """Deliver notices until this is cancelled; deliveries under way are ended then.

        May be called again after it has failed.
        """
        try:
            # Again, also for notices that were submitted between two runs.
            await self._release()
            async with BackgroundTasks() as tasks:
                tasks.start(self._take_over_repeatedly(), name="hook outbox")
                tasks.start(self._save_progress_repeatedly(), name="hook progress")
                while True:
                    await self._wakeup.wait()
                    self._wakeup.clear()
                    await self._distribute(tasks)
        finally:
            await run_to_completion(self._release())

    async def _distribute(self, tasks: BackgroundTasks) -> None:
        """Put what was submitted into the queues of the hooks that want it."""
        if not self._submitted:
            return
        await self._load_hooks()
        while self._submitted:
            notice = self._submitted.popleft()
            hooks = [hook for hook in (self._hooks or {}).values() if self._wants(hook, notice)]
            delivery = _Delivery(
                notice=notice,
                waiting={hook.id for hook in hooks},
                done=set(notice.delivered_to),
            )
            if not hooks:
                self._record_progress(delivery)
            for hook in hooks:
                self._enqueue(hook, delivery, tasks)
        self._dropping = False

    def _wants(self, hook: Hook, notice: OutgoingNotice) -> bool:
        return notice.kind in hook.events and hook.id not in notice.delivered_to

    async def _load_hooks(self) -> None:
        """Read the hooks; if the store fails, use those that were read before, or wait for it."""
        warned = False
        while True:
            try:
                hooks = await self._hook_store.list()
            except StorageError as exc:
                if not warned:
                    log.warning("The hooks can't be read: %s", exc.message)
                warned = True
                if self._hooks is not None:
                    return
                await asyncio.sleep(HOOKS_RETRY_DELAY)
            else:
                self._hooks = {hook.id: hook for hook in hooks}
                self._failing &= self._hooks.keys()
                return

    def _enqueue(self, hook: Hook, delivery: _Delivery, tasks: BackgroundTasks) -> None:
        queue = self._queues.get(hook.id)
        if queue is None:
            queue = self._queues[hook.id] = deque()
            tasks.start(self._deliver_queue(hook.id, queue), name=f"hook {hook.id}")
        if len(queue) == MAX_PENDING_DELIVERIES:
            self._warn_once(
                hook.id,
                f"{MAX_PENDING_DELIVERIES:,} deliveries wait for it; the oldest are dropped.",
            )
            self._finish(queue.popleft(), hook.id)
        queue.append(delivery)

    async def _deliver_queue(self, hook_id: str, queue: deque[_Delivery]) -> None:
        """Deliver what waits for one hook, one after the other, until nothing does.

        If this is cancelled, the queue stays, with the delivery under way, for `_release`.
        """
        while queue:
            delivery = queue.popleft()
            # Read anew for each submission: a hook that was removed receives no more.
            hook = (self._hooks or {}).get(hook_id)
            try:
                if hook and self._now() - delivery.notice.created_at < MAX_NOTICE_AGE:
                    await self._deliver_with_retries(hook, delivery.notice.payload)
            except BaseException:
                queue.appendleft(delivery)
                raise
            self._finish(delivery, hook_id)
        del self._queues[hook_id]

    async def _deliver_with_retries(self, hook: Hook, payload: bytes) -> None:
        for delay in (*RETRY_DELAYS, None):
            try:
                async with self._slots:
                    await self._deliver(hook, payload)
            except CodeWalkError as exc:
                if delay is None:
                    self._warn_once(hook.id, exc.message)
                    return
            except Exception:
                log.exception("Hook %s failed unexpectedly", hook.id)
                return
            else:
                self._failing.discard(hook.id)
                return
            await asyncio.sleep(delay)

    def _warn_once(self, hook_id: str, problem: str) -> None:
        """Log a problem, once until the hook works again."""
        if hook_id not in self._failing:
            self._failing.add(hook_id)
            log.warning("Hook %s: %s", hook_id, problem)

    def _finish(self, delivery: _Delivery, hook_id: str) -> None:
        """Record that a hook is done with a notice: it received it, or it was given up."""
        delivery.waiting.discard(hook_id)
        delivery.done.add(hook_id)
        self._record_progress(delivery)

    def _record_progress(self, delivery: _Delivery) -> None:
        if notice_id := delivery.notice.id:
            self._progress[notice_id] = frozenset(delivery.done) if delivery.waiting else None

    async def _take_over_repeatedly(self) -> None:
        with suppress(StorageError):
            await self._take_over()
        await repeat(
            self._take_over,
            interval=TAKE_OVER_INTERVAL,
            warning="Notices that other processes left can't be read",
            log=log,
        )

    async def _take_over(self) -> None:
        """Take over as many notices as there is room for; the others stay in the outbox."""
        full = True
        while full:
            limit = min(TAKE_OVER_LIMIT, self._room())
            notices = await self._outbox.take_over(limit)
            self.submit(notices)
            full = 0 < limit == len(notices)
        if self._queues:
            await self._load_hooks()

    def _room(self) -> int:
        """Return how many more notices can wait without one being dropped."""
        longest = max(map(len, self._queues.values()), default=0)
        return max(MAX_PENDING_DELIVERIES - longest - len(self._submitted), 0)

    async def _save_progress_repeatedly(self) -> None:
        await repeat(
            self._save_progress,
            interval=PROGRESS_INTERVAL,
            warning="What was delivered to hooks can't be stored",
            log=log,
        )

    async def _save_progress(self) -> None:
        progress, self._progress = self._progress, {}
        if not progress:
            return
        try:
            await run_to_completion(self._outbox.save_progress(progress))
        except BaseException:
            # Also if this was cancelled: whether the progress was stored isn't known then.
            self._progress = {**progress, **self._progress}
            raise

    async def _release(self) -> None:
        """Empty the queues, and give the stored notices back to the outbox.

        A later run takes them over from there, unless another process does.
        """
        try:
            with suppress(StorageError):
                await self._save_progress()
        finally:
            self._clear_queues()
            with suppress(StorageError):
                await self._outbox.release()

    def _clear_queues(self) -> None:
        """Empty the queues; notices that could not be stored are submitted again."""
        pending = {id(delivery): delivery for queue in self._queues.values() for delivery in queue}
        unstored = [
            replace(delivery.notice, delivered_to=frozenset(delivery.done))
            for delivery in pending.values()
            if delivery.notice.id is None
        ]
        unstored.sort(key=lambda notice: notice.created_at)
        unstored += (notice for notice in self._submitted if notice.id is None)
        # Also the queue of a task that was cancelled before its first step.
        self._queues.clear()
        self._submitted.clear()
        self.submit(unstored)
