"""A TCP proxy on loopback with the faults of networks.

    async with ChaosProxy(server.port) as proxy:
        proxy.fault = Fault.HALF_OPEN
        …
        proxy.fault = Fault.NONE

A new fault applies to open connections too.
"""

import asyncio
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from enum import Enum, auto
from typing import Final, Self

LATENCY: Final = 0.3
"""Seconds by which `SLOW` delays each response."""

DRIP: Final = 0.05
"""Seconds between two bytes of a `DRIPPING` response."""

CUT: Final = 150
"""Bytes of a response after which it is `CUT`: in the middle of its body."""

_CHUNK: Final = 65_536


class Fault(Enum):
    """A fault of a network."""

    NONE = auto()
    SLOW = auto()
    """Each response is delayed."""
    RESET = auto()
    """Each connection is reset at its first request."""
    BLACK_HOLE = auto()
    """Requests are accepted, and nothing comes back."""
    HALF_OPEN = auto()
    """Open connections are dead without a sign of it; new ones work."""
    DRIPPING = auto()
    """A response comes byte by byte."""
    CUT = auto()
    """The connection ends in the middle of the response."""


class ChaosProxy:
    """A proxy of the server at `port` on loopback; `opened` counts the connections so far."""

    def __init__(self, port: int) -> None:
        self.opened = 0
        self._target = port
        self._fault = Fault.NONE
        self._dead: set[asyncio.StreamWriter] = set()
        self._clients: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._resets = 0

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    @property
    def fault(self) -> Fault:
        return self._fault

    @fault.setter
    def fault(self, fault: Fault) -> None:
        self._fault = fault
        if fault is Fault.HALF_OPEN:
            self._dead |= self._clients

    def reset_next(self, count: int) -> None:
        """Reset the next `count` requests, and no more."""
        self._resets = count

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _serve(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self.opened += 1
        self._clients.add(client)
        try:
            responses, server = await asyncio.open_connection("127.0.0.1", self._target)
            try:
                async with asyncio.TaskGroup() as group:
                    up = group.create_task(
                        self._forward_requests(reader, client, server), name="requests"
                    )
                    down = group.create_task(
                        self._forward_responses(responses, client), name="responses"
                    )
                    await asyncio.wait((up, down), return_when=asyncio.FIRST_COMPLETED)
                    up.cancel()
                    down.cancel()
            finally:
                server.close()
        except (OSError, asyncio.CancelledError, ExceptionGroup):
            pass
        finally:
            self._clients.discard(client)
            self._dead.discard(client)
            client.close()

    async def _forward_requests(
        self,
        reader: asyncio.StreamReader,
        client: asyncio.StreamWriter,
        server: asyncio.StreamWriter,
    ) -> None:
        while data := await reader.read(_CHUNK):
            if client in self._dead:
                continue
            if self._fault is Fault.RESET or self._resets:
                self._resets = max(self._resets - 1, 0)
                _reset(client)
                return
            server.write(data)
            await server.drain()

    async def _forward_responses(
        self, responses: asyncio.StreamReader, client: asyncio.StreamWriter
    ) -> None:
        sent = 0
        while data := await responses.read(_CHUNK):
            match self._fault:
                case _ if client in self._dead:
                    continue
                case Fault.BLACK_HOLE:
                    continue
                case Fault.SLOW:
                    await asyncio.sleep(LATENCY)
                case Fault.DRIPPING:
                    await _drip(client.write, data)
                    continue
                case Fault.CUT:
                    client.write(data[: max(CUT - sent, 0)])
                    sent += len(data)
                    if sent >= CUT:
                        await client.drain()
                        return
                    continue
            client.write(data)
            await client.drain()


async def _drip(write: Callable[[bytes], None], data: bytes) -> None:
    for byte in data:
        write(bytes([byte]))
        await asyncio.sleep(DRIP)


def _reset(client: asyncio.StreamWriter) -> None:
    sock = client.get_extra_info("socket")
    with suppress(OSError):
        # Without lingering, a close is a reset.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.transport.abort()
