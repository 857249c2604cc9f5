"""The HTTP client: what the connections to all servers share."""

import ssl
from typing import Final, Self

import aiohttp

from codewalk.opencode.bounded_connector import BoundedConnector
from codewalk.opencode.connection import HEADERS, Connection
from codewalk.opencode.pool import PoolManager, ServerPool
from codewalk.opencode.resolver import Resolver
from codewalk.secret import Secret

KEEP_ALIVE: Final = 30.0
"""Seconds for which an idle connection is kept for the next request."""

_DNS_CACHE_SECONDS: Final = 30
# `asyncio.timeout` bounds the whole of a request, redirects and body included.
_NO_TIMEOUT: Final = aiohttp.ClientTimeout(total=None, sock_connect=None)


class OpenCodeClient:
    """An HTTP client of OpenCode servers; `connect` gives the connection to one of them.

    An async context manager. It keeps no cookies, and takes no proxy or credentials from the
    environment.

    Args:
        resolver: Resolves the servers' names; one that uses the system's look-up if None.
        ssl_context: Which certificates are trusted; the system's if None.
        keep_alive: Seconds after which an idle connection isn't used again.
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
            ttl_dns_cache=_DNS_CACHE_SECONDS,
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
            self._pool_manager.close_idle()
        if self._session is not None:
            await self._session.close()

    def close_idle(self) -> None:
        """Close the connections that no request uses, and forget the addresses of all names.

        For use after a sleep of the machine: connections may be dead without knowing it.
        """
        if self._connector is not None and self._pool_manager is not None:
            self._pool_manager.close_idle()
            self._connector.close_idle()
            self._connector.clear_dns_cache()

    def connect(
        self,
        url: str,
        username: str | None = None,
        password: Secret | None = None,
        *,
        unreachable_note: str = "",
        always_sign_in: bool = False,
    ) -> Connection:
        """Return the connection to the server at `url` (normalised); nothing is sent yet.

        Args:
            url: The base URL.
            username: Without both a user name and a password no credentials are sent.
            password: As for `username`.
            unreachable_note: Added to the detail where the server can't be reached.
            always_sign_in: Send the credentials unasked, for a URL that isn't a stored server's.
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
            unreachable_note=unreachable_note,
            always_sign_in=always_sign_in,
        )
