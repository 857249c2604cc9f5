"""The use cases that concern hooks."""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Protocol

from codewalk.notifications.delivery import Delivery
from codewalk.notifications.hook import Hook, find_hook, new_command, new_webhook
from codewalk.notifications.notice import NoticeKind
from codewalk.notifications.payload import ServerJson, example_payload


class HookStore(Protocol):
    """The stored hooks. Every method raises `StorageError`."""

    async def list(self) -> Sequence[Hook]:
        """Return all hooks, in the order in which they were added."""

    async def add(self, hook: Hook) -> None:
        """Store a hook."""

    async def remove(self, hook_id: str) -> None:
        """Remove a hook."""


class Hooks:
    """Programs and URLs that are run or called for events of servers. Reached as `app.hooks`.

    A `ref` is a hook's id or a unique beginning of it; where none fits, `HookNotFound` is raised,
    where several do, `AmbiguousReference`. Every method raises `StorageError`.
    """

    def __init__(
        self,
        store: HookStore,
        delivery: Delivery,
        *,
        example_server: Callable[[], ServerJson | None],
    ) -> None:
        """Set up the use cases; `example_server` returns the server that `test` reports on."""
        self._store = store
        self._delivery = delivery
        self._example_server = example_server

    async def list(self) -> Sequence[Hook]:
        """Return all hooks, in the order in which they were added."""
        return await self._store.list()

    async def add_command(
        self, arguments: Sequence[str], events: Iterable[NoticeKind] = ()
    ) -> Hook:
        """Add a program that is run for each of `events`, for all of them if there are none.

        Raises:
            InvalidValue: The arguments are not those of a program, or there are too many hooks.
        """
        return await self._add(new_command(arguments, events, datetime.now(UTC)))

    async def add_webhook(self, url: str, events: Iterable[NoticeKind] = ()) -> Hook:
        """Add a URL that is called for each of `events`, for all of them if there are none.

        Raises:
            InvalidURL: It can't be called.
            InvalidValue: There are too many hooks.
        """
        return await self._add(new_webhook(url, events, datetime.now(UTC)))

    async def remove(self, ref: str) -> Hook:
        """Remove a hook and return it."""
        hook = find_hook(await self._store.list(), ref)
        await self._store.remove(hook.id)
        return hook

    async def test(self, ref: str) -> Hook:
        """Run or call a hook once, with the event `test` and the first server in the list.

        Raises:
            HookFailed: The program or the URL failed.
        """
        hook = find_hook(await self._store.list(), ref)
        await self._delivery.deliver(
            hook, example_payload(self._example_server(), datetime.now(UTC))
        )
        return hook

    async def _add(self, hook: Hook) -> Hook:
        await self._store.add(hook)
        return hook
