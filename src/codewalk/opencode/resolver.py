"""Host names to addresses, on threads of their own.

A name can take half a minute to fail, and a `getaddrinfo` under way can't be stopped. On the loop's
default executor a handful of such names would hold up everything else that needs a thread, and the
process couldn't end before them. Here each look-up has a daemon thread, at most `MAX_LOOKUPS` at
once; numeric addresses never come here.
"""

import asyncio
import socket
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from aiohttp.abc import AbstractResolver, ResolveResult

MAX_LOOKUPS: Final = 64

AddressInfo = tuple[Any, Any, int, str, tuple[Any, ...]]
Lookup = Callable[[str, int, int, int, int, int], list[AddressInfo]]
"""The signature of `socket.getaddrinfo`, which is also the default."""


class Resolver(AbstractResolver):
    """Resolves names for aiohttp; knows which ones are still being looked up."""

    def __init__(self, *, lookup: Lookup = socket.getaddrinfo) -> None:
        self._lookup = lookup
        self._slots = asyncio.Semaphore(MAX_LOOKUPS)
        self._pending: Counter[str] = Counter()

    def is_resolving(self, host: str) -> bool:
        """Whether somebody waits for this name: a timeout now is the name's fault."""
        return self._pending[host] > 0

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses of `host`. Raises `OSError` (`socket.gaierror`)."""
        self._pending[host] += 1
        try:
            infos = await self._start(host, port, family)
        finally:
            self._pending[host] -= 1
            if not self._pending[host]:
                del self._pending[host]
        return [_result(host, info) for info in infos]

    async def close(self) -> None:
        """Nothing to close: threads still waiting for a name end with it or with the process."""

    async def _start(self, host: str, port: int, family: int) -> list[AddressInfo]:
        await self._slots.acquire()
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[list[AddressInfo]] = loop.create_future()
        # An offline machine has no address but loopback, and AI_ADDRCONFIG would then hide
        # localhost; for every other name it leaves out families that can't be reached.
        local = host == "localhost" or host.endswith(".localhost")
        flags = 0 if local else getattr(socket, "AI_ADDRCONFIG", 0)

        def deliver(infos: list[AddressInfo], error: OSError | None) -> None:
            self._slots.release()
            if answer.done():
                return
            if error:
                answer.set_exception(error)
            else:
                answer.set_result(infos)

        def look_up() -> None:
            infos: list[AddressInfo] = []
            error: OSError | None = None
            try:
                infos = self._lookup(host, port, family, socket.SOCK_STREAM, 0, flags)
            except OSError as exc:
                error = exc
            except UnicodeError as exc:
                error = socket.gaierror(socket.EAI_NONAME, f"not a host name: {exc}")
            # The loop is closed where the process went on without waiting for this name.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(deliver, infos, error)

        threading.Thread(target=look_up, name=f"resolve {host}", daemon=True).start()
        return await answer


def _result(host: str, info: AddressInfo) -> ResolveResult:
    family, _, proto, _, address = info
    shown = address[0]
    if family == socket.AF_INET6 and len(address) > 3 and address[3] and "%" not in shown:
        # A link-local address is only good with its interface.
        shown = f"{shown}%{address[3]}"
    return ResolveResult(
        hostname=host,
        host=shown,
        port=address[1],
        family=family,
        proto=proto,
        flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
    )
