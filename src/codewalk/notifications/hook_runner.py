"""Hands news to the hooks, beside everything else: no check and no page waits for one."""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

from codewalk.errors import CodeWalkError, StorageError
from codewalk.events import Announcer, Kind
from codewalk.notifications.hook import Hook
from codewalk.notifications.notice import Notice, NoticeEvent

RETRY_DELAYS: Final = (1.0, 5.0, 25.0)
"""Seconds before each retry of a delivery that failed."""

MAX_PENDING_DELIVERIES: Final = 100
"""Deliveries at most that wait for one hook; of more, the oldest are dropped."""

MAX_CONCURRENT_DELIVERIES: Final = 8
"""Programs and requests under way at most."""

log = logging.getLogger(__name__)


class HookKeeper(Protocol):
    """Where the hooks are kept."""

    async def list(self) -> Sequence[Hook]: ...


class HookRunner:
    """Delivers each piece of news to each hook that wants it, in order, while `run` does.

    `deliver` raises `CodeWalkError` for what failed; then it is tried again, three times, and given
    up. `describe` is the payload of a piece of news, None where its server is gone meanwhile.
    """

    def __init__(
        self,
        announcer: Announcer,
        keeper: HookKeeper,
        *,
        deliver: Callable[[Hook, bytes], Awaitable[None]],
        describe: Callable[[Notice], bytes | None],
    ) -> None:
        self._announcer = announcer
        self._keeper = keeper
        self._deliver = deliver
        self._describe = describe
        self._queues: dict[str, deque[tuple[Hook, bytes]]] = {}
        self._failing: set[str] = set()
        self._slots = asyncio.Semaphore(MAX_CONCURRENT_DELIVERIES)

    async def run(self) -> None:
        """Delivers news until it is cancelled."""
        with self._announcer.listen() as events:
            async with asyncio.TaskGroup() as group:
                while True:
                    event = await events.get()
                    if event.kind is Kind.OVERFLOW:
                        log.warning("Some news came too fast for the hooks and were lost.")
                    elif isinstance(event, NoticeEvent):
                        await self._hand_out(event.notice, group)

    async def _hand_out(self, news: Notice, group: asyncio.TaskGroup) -> None:
        try:
            hooks = await self._keeper.list()
        except StorageError as exc:
            log.warning("The hooks can't be read: %s", exc.message)
            return
        payload = self._describe(news)
        for hook in hooks if payload else ():
            if news.kind in hook.events and payload:
                self._enqueue(hook, payload, group)
        self._failing &= {hook.id for hook in hooks}

    def _enqueue(self, hook: Hook, payload: bytes, group: asyncio.TaskGroup) -> None:
        queue = self._queues.get(hook.id)
        if queue is None:
            queue = self._queues[hook.id] = deque(maxlen=MAX_PENDING_DELIVERIES)
            group.create_task(self._work_off(hook.id, queue), name=f"hook {hook.id}")
        if len(queue) == MAX_PENDING_DELIVERIES:
            self._complain(
                hook,
                f"it is behind by {MAX_PENDING_DELIVERIES} deliveries; the oldest are dropped.",
            )
        queue.append((hook, payload))

    async def _work_off(self, hook_id: str, queue: deque[tuple[Hook, bytes]]) -> None:
        """Delivers what waits for one hook, one after the other."""
        try:
            while queue:
                hook, payload = queue.popleft()
                await self._deliver_with_patience(hook, payload)
        finally:
            del self._queues[hook_id]

    async def _deliver_with_patience(self, hook: Hook, payload: bytes) -> None:
        for pause in (*RETRY_DELAYS, None):
            try:
                async with self._slots:
                    await self._deliver(hook, payload)
            except CodeWalkError as exc:
                if pause is None:
                    self._complain(hook, exc.message)
                    return
            except Exception:
                log.exception("Hook %s broke", hook.id)
                return
            else:
                self._failing.discard(hook.id)
                return
            await asyncio.sleep(pause)

    def _complain(self, hook: Hook, problem: str) -> None:
        """Once, until the hook works again."""
        if hook.id not in self._failing:
            self._failing.add(hook.id)
            log.warning("Hook %s: %s", hook.id, problem)
