"""GETs over aiohttp's connections, without its session.

A session makes a request, a writer and a response object for each call, and takes the connection
from its pool and puts it back: three quarters of what a small GET costs. A `ServerPool` keeps one
connection to one server from each GET to the next and writes bytes that were made once. All that
has to be right is aiohttp's as before: how a connection is made (names, addresses, TLS), the parser
with its limits, decompression, flow control, and the errors of all of these.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Final, Self

import aiohttp
from aiohttp.connector import Connection
from aiohttp.http import RawResponseMessage
from aiohttp.streams import StreamReader
from multidict import CIMultiDict
from yarl import URL

from codewalk.opencode.bounded_connector import BoundedConnector
from codewalk.opencode.response import read_body

# The call's own timeout bounds the making of its connection, too.
_NO_TIMEOUT: Final = aiohttp.ClientTimeout(total=None, sock_connect=None)


@dataclass(frozen=True, slots=True)
class GetRequest:
    """A GET as it is sent; one may be sent any number of times."""

    request: aiohttp.ClientRequest
    data: bytes = field(repr=False)

    @classmethod
    def build(cls, url: URL, headers: Mapping[str, str]) -> Self:
        """Raises `ValueError` where a part of it would end its line."""
        loop = asyncio.get_running_loop()
        request = aiohttp.ClientRequest("GET", url, headers=CIMultiDict(headers), loop=loop)
        lines = [f"GET {url.raw_path_qs} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in request.headers.items()]
        if any("\r" in line or "\n" in line for line in lines):
            raise ValueError("a line break within a request's head")
        return cls(request, "\r\n".join([*lines, "", ""]).encode())


class PoolManager:
    """Makes the connections of all manager. None is used that nothing was sent on for `keep_alive`
    seconds; it is closed before as long again has passed."""

    def __init__(self, connector: BoundedConnector, *, keep_alive: float) -> None:
        self.connector = connector
        self.keep_alive = keep_alive
        self._idle: set[ServerPool] = set()
        self._timer: asyncio.TimerHandle | None = None

    async def open(self, request: aiohttp.ClientRequest) -> Connection:
        """A connection to where `request` goes. Raises what aiohttp does."""
        if self.connector.closed:
            raise RuntimeError("The connections are closed")
        connection = await self.connector.connect(request, [], _NO_TIMEOUT)
        if connection.protocol is not None:
            connection.protocol.set_response_params(read_until_eof=True)
        return connection

    def watch(self, wire: "ServerPool") -> None:
        """Has the connection that waits at `wire` closed in time, unless it is used again."""
        self._idle.add(wire)
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self.keep_alive, self._look)

    def drop_idle(self) -> None:
        """Closes the connections that nothing is under way on."""
        for wire in self._idle:
            wire.drop()
        self._idle.clear()
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        waiting, self._idle = self._idle, set()
        for wire in waiting:
            if wire.is_fresh():
                self.watch(wire)
            else:
                wire.drop()


class ServerPool:
    """The way to one server. Any number of GETs may be under way; one connection is kept."""

    def __init__(self, manager: PoolManager) -> None:
        self._manager = manager
        self._kept: Connection | None = None
        self._since = 0.0

    async def get(self, get: GetRequest, limit: int) -> tuple[RawResponseMessage, bytes]:
        """The head and the body of the answer. Raises what aiohttp does, and `BodyTooLarge`.

        Where a connection ends before an answer began, the GET is sent once more: a server may
        close one at the moment in which it is used again.
        """
        try:
            connection, head, content = await self._ask(get)
        except aiohttp.ClientConnectorError:
            raise
        except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError):
            connection, head, content = await self._ask(get)
        try:
            body = await read_body(content, limit)
        except BaseException:  # cancelled too: the rest of its answer would be the next one's
            connection.close()
            raise
        self._keep(connection)
        return head, body

    def is_fresh(self) -> bool:
        """Whether a connection waits here that was used lately."""
        return self._kept is not None and monotonic() - self._since < self._manager.keep_alive

    def drop(self) -> None:
        """Closes the connection that waits here, if any."""
        if self._kept:
            self._kept.close()
            self._kept = None

    async def _ask(self, get: GetRequest) -> tuple[Connection, RawResponseMessage, StreamReader]:
        connection = self._take() or await self._manager.open(get.request)
        try:
            protocol = connection.protocol
            if protocol is None or protocol.transport is None:
                raise aiohttp.ServerDisconnectedError
            protocol.transport.write(get.data)
            head, content = await protocol.read()
            while 100 <= head.code < 200 and head.code != 101:
                head, content = await protocol.read()
        except BaseException:  # cancelled too: the rest of its answer would be the next one's
            connection.close()
            raise
        return connection, head, content

    def _take(self) -> Connection | None:
        connection = self._kept
        if connection is None:
            return None
        # What came while nobody had asked is no answer to what is asked now.
        if not self.is_fresh() or not _is_usable(connection):
            self.drop()
            return None
        self._kept = None
        return connection

    def _keep(self, connection: Connection) -> None:
        if self._kept is None and _is_usable(connection) and not self._manager.connector.closed:
            self._kept = connection
            self._since = monotonic()
            self._manager.watch(self)
        else:
            connection.release()


def _is_usable(connection: Connection) -> bool:
    protocol = connection.protocol
    return protocol is not None and protocol.is_connected() and not protocol.should_close
