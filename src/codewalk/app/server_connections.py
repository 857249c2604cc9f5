"""The connection to each server, made when it is first needed."""

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Protocol, Self

from codewalk.secret import Secret
from codewalk.servers.profile import ServerProfile

if TYPE_CHECKING:
    from codewalk.opencode.client import OpenCodeClient
    from codewalk.opencode.connection import Connection


class Unlocking(Protocol):
    """What must happen before stored passwords can be read."""

    async def unlock(self) -> None: ...


class ServerConnections:
    """Hands out one connection a server, over one HTTP session that is opened on first use.

    A command that asks no server never loads the HTTP client, nor the key of the passwords.
    """

    def __init__(self, vault: Unlocking) -> None:
        self._vault = vault
        self._stack = AsyncExitStack()
        self._lock = asyncio.Lock()
        self._client: OpenCodeClient | None = None
        self._known: dict[str, tuple[ServerProfile, Connection]] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def connect(self, profile: ServerProfile) -> "Connection":
        """The connection to this server, with its credentials and nobody else's.

        Raises `StorageError` where the key of its password can't be had.
        """
        known = self._known.get(profile.id)
        if known and known[0] is profile:
            return known[1]
        client = self._client or await self._open()
        if profile.basic_auth_password is not None:
            await self.unlock()
        enabled = profile.basic_auth_enabled
        connection = client.connect(
            profile.url,
            profile.basic_auth_username if enabled else None,
            profile.basic_auth_password if enabled else None,
        )
        self._known[profile.id] = profile, connection
        return connection

    async def connect_url(
        self, url: str, username: str | None = None, password: Secret | None = None
    ) -> "Connection":
        """A connection to somebody else than a server that is kept, with these credentials."""
        client = self._client or await self._open()
        return client.connect(url, username, password)

    async def unlock(self) -> None:
        """Loads the key of the stored passwords. Raises `StorageError`."""
        await self._vault.unlock()

    def forget(self, server_id: str) -> None:
        """Drops a server's connection; the next one is made anew."""
        self._known.pop(server_id, None)

    def drop_idle(self) -> None:
        """Has each server's next request make a connection of its own: those from before a sleep
        may be dead."""
        if self._client:
            self._client.drop_idle()

    async def _open(self) -> "OpenCodeClient":
        async with self._lock:
            if self._client is None:
                from codewalk.opencode.client import OpenCodeClient

                self._client = await self._stack.enter_async_context(OpenCodeClient())
            return self._client
