"""A pool of keep-alive connections for GETs, over aiohttp's connections without its session.

A session makes a request, a writer and a response object for each call, and takes the connection
from its pool and puts it back: three quarters of what a small GET costs. A `ServerPool` keeps one
connection to one server from each GET to the next and writes bytes that were made once. All that
has to be right is still aiohttp's: how a connection is made (names, addresses, TLS), the parser
with its limits, decompression, flow control, and the errors of all of these.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
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

REFUSALS: Final = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
"""Statuses of a server that wants other credentials."""

# The timeout of the whole call bounds the making of its connection, too.
_NO_TIMEOUT: Final = aiohttp.ClientTimeout(total=None, sock_connect=None)


@dataclass(frozen=True, slots=True)
class GetRequest:
    """A GET as it is sent; it may be sent any number of times."""

    request: aiohttp.ClientRequest
    data: bytes = field(repr=False)

    @classmethod
    def build(cls, url: URL, headers: Mapping[str, str]) -> Self:
        """Make the GET of `url`.

        Raises:
            ValueError: A part of it has a line break, which would end its line.
        """
        loop = asyncio.get_running_loop()
        request = aiohttp.ClientRequest("GET", url, headers=CIMultiDict(headers), loop=loop)
        lines = [f"GET {url.raw_path_qs} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in request.headers.items()]
        if any("\r" in line or "\n" in line for line in lines):
            raise ValueError("a line break in the head of a request")
        return cls(request, "\r\n".join([*lines, "", ""]).encode())


class PoolManager:
    """The shared part of all servers' pools: the connector, and the closing of idle connections.

    A connection that was idle for `keep_alive` seconds isn't used again, and is closed before as
    long again has passed.
    """

    def __init__(self, connector: BoundedConnector, *, keep_alive: float) -> None:
        self.connector = connector
        self.keep_alive = keep_alive
        self._idle: set[ServerPool] = set()
        self._timer: asyncio.TimerHandle | None = None

    async def open_connection(self, request: aiohttp.ClientRequest) -> Connection:
        """Return a new connection to where `request` goes. Raises what aiohttp raises."""
        if self.connector.closed:
            raise RuntimeError("The connections are closed")
        connection = await self.connector.connect(request, [], _NO_TIMEOUT)
        if connection.protocol is not None:
            connection.protocol.set_response_params(read_until_eof=True)
        return connection

    def close_when_expired(self, pool: "ServerPool") -> None:
        """Close the idle connection of `pool` in time, unless it is used again."""
        self._idle.add(pool)
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self.keep_alive, self._close_expired)

    def close_idle(self) -> None:
        """Close the connections that no request uses."""
        for pool in self._idle:
            pool.close_idle()
        self._idle.clear()
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _close_expired(self) -> None:
        self._timer = None
        idle, self._idle = self._idle, set()
        for pool in idle:
            if pool.has_idle():
                self.close_when_expired(pool)
            else:
                pool.close_idle()


class ServerPool:
    """The connections to one server: any number in use, and at most one idle."""

    def __init__(self, manager: PoolManager) -> None:
        self._manager = manager
        self._idle: Connection | None = None
        self._idle_since = 0.0

    async def get(self, get: GetRequest, limit: int) -> tuple[RawResponseMessage, bytes]:
        """Send a GET and return the head and the body of its response.

        Where a connection that was used before ends before a response began, the GET is sent once
        more: a server may close a connection at the moment in which it is used again.

        Args:
            get: The request.
            limit: Bytes that the body may have.

        Raises:
            BodyTooLarge: The body is larger; and whatever aiohttp raises.
        """
        idle = self._take_idle()
        try:
            connection, head, content = await self._send(get, idle)
        except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError):
            if idle is None:
                raise
            connection, head, content = await self._send(get, None)
        try:
            body = await read_body(content, limit)
        except BaseException:  # cancelled too: the rest of its response would be the next one's
            connection.close()
            raise
        if head.code in REFUSALS:
            # On a new connection refused credentials are never sent a second time.
            connection.close()
        else:
            self._release(connection)
        return head, body

    def has_idle(self) -> bool:
        """Return whether there is an idle connection that hasn't expired."""
        return self._idle is not None and monotonic() - self._idle_since < self._manager.keep_alive

    def close_idle(self) -> None:
        """Close the idle connection, if any."""
        if self._idle:
            self._idle.close()
            self._idle = None

    async def _send(
        self, get: GetRequest, idle: Connection | None
    ) -> tuple[Connection, RawResponseMessage, StreamReader]:
        connection = idle or await self._manager.open_connection(get.request)
        try:
            protocol = connection.protocol
            if protocol is None or protocol.transport is None:
                raise aiohttp.ServerDisconnectedError
            protocol.transport.write(get.data)
            head, content = await protocol.read()
            while 100 <= head.code < 200 and head.code != 101:
                head, content = await protocol.read()
        except BaseException:  # cancelled too: the rest of its response would be the next one's
            connection.close()
            raise
        return connection, head, content

    def _take_idle(self) -> Connection | None:
        connection = self._idle
        if connection is None:
            return None
        # A response that came before the request isn't the response to it.
        if not self.has_idle() or not _is_reusable(connection):
            self.close_idle()
            return None
        self._idle = None
        return connection

    def _release(self, connection: Connection) -> None:
        if self._idle is None and _is_reusable(connection) and not self._manager.connector.closed:
            self._idle = connection
            self._idle_since = monotonic()
            self._manager.close_when_expired(self)
        else:
            connection.release()


def _is_reusable(connection: Connection) -> bool:
    protocol = connection.protocol
    return protocol is not None and protocol.is_connected() and not protocol.should_close
