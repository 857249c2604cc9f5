"""Host name resolution on threads of its own.

A look-up can take half a minute to fail, and a `getaddrinfo` in progress can't be stopped. On the
event loop's default executor a handful of such names would block everything else that needs a
thread, and the process couldn't exit before them. Here each look-up has a daemon thread. Numeric
addresses never come here.

The threads are bounded in two groups, so that names that hang take no thread from names that
don't: a look-up that takes longer than `SLOW_AFTER` moves to the group of slow ones, and the name
starts there the next time.
"""

import asyncio
import errno
import socket
import threading
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from aiohttp.abc import AbstractResolver, ResolveResult

MAX_LOOKUPS: Final = 64
"""Threads for look-ups that have just started."""

MAX_SLOW_LOOKUPS: Final = 192
"""Threads for look-ups that take long. A blocked thread costs little more than its stack."""

SLOW_AFTER: Final = 0.25
"""Seconds after which a look-up counts as slow; a name server answers in a tenth of that."""

MAX_SLOW_NAMES: Final = 10_000
"""Names whose last look-up was slow; beyond that the oldest is forgotten."""

AddressInfo = tuple[Any, Any, int, str, tuple[Any, ...]]
Lookup = Callable[[str, int, int, int, int, int], list[AddressInfo]]
"""The signature of `socket.getaddrinfo`, which is also the default."""


class Resolver(AbstractResolver):
    """Resolve names for aiohttp; one look-up serves all that wait for the same name.

    Args:
        lookup: What a thread calls for each look-up.
        slow_after: Seconds after which a look-up counts as slow.
        max_lookups: Threads for look-ups that have just started.
        max_slow_lookups: Threads for those that are slow.
    """

    def __init__(
        self,
        *,
        lookup: Lookup = socket.getaddrinfo,
        slow_after: float = SLOW_AFTER,
        max_lookups: int = MAX_LOOKUPS,
        max_slow_lookups: int = MAX_SLOW_LOOKUPS,
    ) -> None:
        self._lookup = lookup
        self._slow_after = slow_after
        self._pending: dict[tuple[str, int], _PendingLookup] = {}
        self._waiting: Counter[str] = Counter()
        self._new = _ThreadGroup(max_lookups)
        self._slow = _ThreadGroup(max_slow_lookups)
        # Look-ups that are slow and still count as new, because the slow group is full.
        self._overdue: deque[_PendingLookup] = deque()
        self._slow_names: dict[str, None] = {}

    def is_resolving(self, host: str) -> bool:
        """Whether a caller waits for this name: a timeout now is the name's fault."""
        return self._waiting[host] > 0

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses of `host`.

        Raises:
            OSError: The name can't be resolved (`socket.gaierror`).
        """
        self._waiting[host] += 1
        try:
            # Shielded: others may wait for the same look-up.
            infos = await asyncio.shield(self._join(host, family).result)
        finally:
            self._waiting[host] -= 1
            if not self._waiting[host]:
                del self._waiting[host]
        return [_make_result(host, port, info) for info in infos]

    async def close(self) -> None:
        """Do nothing: threads still waiting for a name end with it or with the process."""

    def _join(self, host: str, family: int) -> "_PendingLookup":
        """Return the pending look-up of this name, a new one if there is none."""
        pending = self._pending.get((host, family))
        if pending is None:
            group = self._slow if host in self._slow_names else self._new
            pending = self._pending[host, family] = _PendingLookup(host, family, group)
            group.queue.append(pending)
            self._start_queued(group)
        return pending

    def _start_queued(self, group: "_ThreadGroup") -> None:
        while group.queue and group.has_room:
            pending = group.queue.popleft()
            if self._waiting[pending.host]:
                group.running += 1
                self._start(pending)
            else:
                # All callers have given up meanwhile.
                del self._pending[pending.host, pending.family]
                pending.result.cancel()

    def _start(self, pending: "_PendingLookup") -> None:
        host, family = pending.host, pending.family
        loop = asyncio.get_running_loop()
        timer = loop.call_later(self._slow_after, self._mark_slow, pending)
        # An offline machine has no address but loopback, and AI_ADDRCONFIG would then hide
        # localhost; for every other name it leaves out families that can't be reached.
        local = host == "localhost" or host.endswith(".localhost")
        flags = 0 if local else getattr(socket, "AI_ADDRCONFIG", 0)

        def deliver(infos: list[AddressInfo], error: OSError | None) -> None:
            timer.cancel()
            self._finish(pending, infos, error)

        def look_up() -> None:
            infos: list[AddressInfo] = []
            error: OSError | None = None
            try:
                infos = self._lookup(host, 0, family, socket.SOCK_STREAM, 0, flags)
            except OSError as exc:
                error = exc
            except UnicodeError as exc:
                error = socket.gaierror(socket.EAI_NONAME, f"not a host name: {exc}")
            # The loop is closed where the process went on without waiting for this name.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(deliver, infos, error)

        try:
            threading.Thread(target=look_up, name=f"resolve {host}", daemon=True).start()
        except RuntimeError as exc:
            # The system has no thread left.
            loop.call_soon(deliver, [], OSError(errno.EAGAIN, str(exc)))

    def _mark_slow(self, pending: "_PendingLookup") -> None:
        pending.is_slow = True
        self._slow_names[pending.host] = None
        if len(self._slow_names) > MAX_SLOW_NAMES:
            del self._slow_names[next(iter(self._slow_names))]
        if pending.group is self._new:
            self._overdue.append(pending)
            self._move_overdue()

    def _move_overdue(self) -> None:
        """Free the threads of new look-ups that have become slow, as far as there is room."""
        while self._overdue and self._slow.has_room:
            pending = self._overdue.popleft()
            pending.group = self._slow
            self._slow.running += 1
            self._new.running -= 1
        self._start_queued(self._new)

    def _finish(
        self, pending: "_PendingLookup", infos: list[AddressInfo], error: OSError | None
    ) -> None:
        if pending.is_slow:
            with suppress(ValueError):
                self._overdue.remove(pending)
        else:
            self._slow_names.pop(pending.host, None)
        del self._pending[pending.host, pending.family]
        pending.group.running -= 1
        self._move_overdue()
        self._start_queued(self._slow)
        if error:
            pending.result.set_exception(error)
            # Mark it as seen: perhaps nobody waits for it any more.
            pending.result.exception()
        else:
            pending.result.set_result(infos)


class _ThreadGroup:
    """Threads under one bound, and the look-ups that wait for one of them."""

    def __init__(self, limit: int) -> None:
        self.running = 0
        self.queue: deque[_PendingLookup] = deque()
        self._limit = limit

    @property
    def has_room(self) -> bool:
        return self.running < self._limit


class _PendingLookup:
    """One look-up, waiting for a thread or on it; `result` is what the callers wait for."""

    def __init__(self, host: str, family: int, group: _ThreadGroup) -> None:
        self.host = host
        self.family = family
        self.group = group
        self.is_slow = False
        self.result: asyncio.Future[list[AddressInfo]] = asyncio.get_running_loop().create_future()


def _make_result(host: str, port: int, info: AddressInfo) -> ResolveResult:
    family, _, proto, _, address = info
    numeric = address[0]
    if family == socket.AF_INET6 and len(address) > 3 and address[3] and "%" not in numeric:
        # A link-local address is only good with its interface.
        numeric = f"{numeric}%{address[3]}"
    return ResolveResult(
        hostname=host,
        host=numeric,
        port=port,
        family=family,
        proto=proto,
        flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
    )
