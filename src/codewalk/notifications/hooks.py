"""The use cases that are about hooks."""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Protocol

from codewalk.notifications.delivery import Delivery
from codewalk.notifications.hook import Hook, find_hook, new_command, new_webhook
from codewalk.notifications.notice import NoticeKind
from codewalk.notifications.payload import example_payload
from codewalk.server import Server


class HookKeeper(Protocol):
    """Where hooks are kept."""

    async def list(self) -> Sequence[Hook]: ...
    async def add(self, hook: Hook) -> None: ...
    async def remove(self, hook_id: str) -> None: ...


class Hooks:
    """What is run or called when something happens to a server. Reached as `app.hooks`.

    A `REF` is a hook's id or a unique beginning of it; one that fits none raises `HookNotFound`.
    Every method raises `StorageError`.
    """

    def __init__(
        self, keeper: HookKeeper, delivery: Delivery, *, servers: Callable[[], Sequence[Server]]
    ) -> None:
        self._keeper = keeper
        self._delivery = delivery
        self._servers = servers

    async def list(self) -> Sequence[Hook]:
        """All hooks, in the order in which they were added."""
        return await self._keeper.list()

    async def add_command(
        self, arguments: Sequence[str], events: Iterable[NoticeKind] = ()
    ) -> Hook:
        """Keeps a program that is run for each of `events`, for all without any.

        Raises `InvalidValue`.
        """
        return await self._add(new_command(arguments, events, datetime.now(UTC)))

    async def add_webhook(self, url: str, events: Iterable[NoticeKind] = ()) -> Hook:
        """Keeps a URL that is called for each of `events`, for all without any.

        Raises `InvalidURL` and `InvalidValue`.
        """
        return await self._add(new_webhook(url, events, datetime.now(UTC)))

    async def remove(self, ref: str) -> Hook:
        """Forgets a hook."""
        hook = find_hook(await self._keeper.list(), ref)
        await self._keeper.remove(hook.id)
        return hook

    async def test(self, ref: str) -> Hook:
        """Runs or calls a hook once, with the event `test` and the first server there is.

        Raises `HookFailed`.
        """
        hook = find_hook(await self._keeper.list(), ref)
        server = next(iter(self._servers()), None)
        await self._delivery.deliver(hook, example_payload(server, datetime.now(UTC)))
        return hook

    async def _add(self, hook: Hook) -> Hook:
        await self._keeper.add(hook)
        return hook
