"""All outgoing HTTP: what the connections to single servers share.

`OpenCodeClient` owns the one HTTP session, and the pool that GETs take instead; it takes nothing
from the environment, and keeps no cookie.
"""

import ssl
from typing import Final, Self

import aiohttp

from codewalk.opencode.bounded_connector import BoundedConnector
from codewalk.opencode.connection import HEADERS, Connection
from codewalk.opencode.pool import PoolManager, ServerPool
from codewalk.opencode.resolver import Resolver
from codewalk.secret import Secret

__all__ = ["OpenCodeClient"]

KEEP_ALIVE: Final = 30.0
"""Seconds for which a connection may wait for its next request."""

_DNS_TTL: Final = 30
# `asyncio.timeout` bounds the whole of a request, redirects and body included.
_NO_TIMEOUT: Final = aiohttp.ClientTimeout(total=None, sock_connect=None)


class OpenCodeClient:
    """All outgoing HTTP: one session, no cookies, no proxy or netrc from the environment.

    A connection that nothing was sent on for `keep_alive` seconds is closed.
    """

    def __init__(
        self,
        *,
        resolver: Resolver | None = None,
        ssl_context: ssl.SSLContext | None = None,
        keep_alive: float = KEEP_ALIVE,
    ) -> None:
        self._resolver = resolver
        self._ssl_context = ssl_context
        self._keep_alive = keep_alive
        self._session: aiohttp.ClientSession | None = None
        self._connector: BoundedConnector | None = None
        self._pool_manager: PoolManager | None = None

    async def __aenter__(self) -> Self:
        self._resolver = self._resolver or Resolver()
        self._connector = BoundedConnector(
            limit=0,
            resolver=self._resolver,
            ttl_dns_cache=_DNS_TTL,
            keepalive_timeout=self._keep_alive,
            ssl=True if self._ssl_context is None else self._ssl_context,
        )
        self._session = aiohttp.ClientSession(
            connector=self._connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=HEADERS,
            timeout=_NO_TIMEOUT,
            trust_env=False,
        )
        self._pool_manager = PoolManager(self._connector, keep_alive=self._keep_alive)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._pool_manager is not None:
            self._pool_manager.drop_idle()
        if self._session is not None:
            await self._session.close()

    def drop_idle(self) -> None:
        """Closes the connections that nothing is under way on: after a sleep they may be dead
        without knowing it. Names are looked up anew, too."""
        if self._connector is not None and self._pool_manager is not None:
            self._pool_manager.drop_idle()
            self._connector.drop_idle()
            self._connector.clear_dns_cache()

    def connect(
        self, url: str, username: str | None = None, password: Secret | None = None
    ) -> Connection:
        """The connection to the server at `url` (normalised). Nothing is sent yet.

        With neither a user name nor a password no credentials are sent at all.
        """
        if self._session is None or self._resolver is None or self._pool_manager is None:
            raise RuntimeError("OpenCodeClient is used before `async with`")
        return Connection(
            session=self._session,
            pool=ServerPool(self._pool_manager),
            resolver=self._resolver,
            url=url,
            username=username,
            password=password,
        )
