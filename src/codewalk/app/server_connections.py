"""The HTTP connection to each server, made when it is first needed."""

import asyncio
import os
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Protocol, Self

from codewalk.health.checker import keyring_timeout
from codewalk.health.proxies import unused_proxy_note
from codewalk.secret import Secret
from codewalk.servers.profile import ServerProfile

if TYPE_CHECKING:
    from codewalk.opencode.client import OpenCodeClient
    from codewalk.opencode.connection import Connection


class Unlockable(Protocol):
    """A vault that must be unlocked before stored passwords can be read."""

    async def unlock(self) -> None: ...


class ServerConnections:
    """One connection for each server, over one HTTP client that is opened on first use.

    So a command that asks no server loads neither the client nor the key of the passwords.

    Args:
        vault: Where the passwords are.
        environment: Its variables may name a proxy, which isn't used; by default the process's.
    """

    def __init__(self, vault: Unlockable, *, environment: Mapping[str, str] | None = None) -> None:
        self._vault = vault
        self._environment = os.environ if environment is None else environment
        self._stack = AsyncExitStack()
        self._lock = asyncio.Lock()
        self._client: OpenCodeClient | None = None
        self._connections: dict[str, tuple[ServerProfile, Connection]] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def connect(self, profile: ServerProfile) -> "Connection":
        """Return the connection to this server, with its credentials and nobody else's.

        Where its password is sealed, the vault is unlocked first. That takes no longer than a check
        of the server may, whatever a keyring does.

        Raises:
            StorageError: The key of its password can't be read, or not in time.
        """
        existing = self._connections.get(profile.id)
        if existing and existing[0] is profile:
            return existing[1]
        client = self._client or await self._open()
        enabled = profile.basic_auth_enabled
        password = profile.basic_auth_password if enabled else None
        if password is not None and password.is_sealed:
            await self._unlock_within(profile.health_check.timeout)
        connection = client.connect(
            profile.url,
            profile.basic_auth_username if enabled else None,
            password,
            unreachable_note=unused_proxy_note(profile.url, self._environment),
        )
        self._connections[profile.id] = profile, connection
        return connection

    async def connect_url(
        self, url: str, username: str | None = None, password: Secret | None = None
    ) -> "Connection":
        """Return a connection to a URL that is no profile's, with these credentials."""
        client = self._client or await self._open()
        return client.connect(url, username, password, always_sign_in=True)

    async def unlock(self) -> None:
        """Load the key of the stored passwords. Raises `StorageError`."""
        await self._vault.unlock()

    async def _unlock_within(self, timeout: float) -> None:
        try:
            async with asyncio.timeout(timeout):
                await self.unlock()
        except TimeoutError as exc:
            raise keyring_timeout(timeout) from exc

    def retain(self, profiles: Mapping[str, ServerProfile]) -> None:
        """Drop all connections but those to these profiles as they are now."""
        self._connections = {
            server_id: (profile, connection)
            for server_id, (profile, connection) in self._connections.items()
            if profiles.get(server_id) is profile
        }

    def forget(self, server_id: str) -> None:
        """Drop a server's connection; the next one is made anew."""
        self._connections.pop(server_id, None)

    def close_idle(self) -> None:
        """Close idle connections: those from before a sleep may be dead without knowing it."""
        if self._client:
            self._client.close_idle()

    async def _open(self) -> "OpenCodeClient":
        async with self._lock:
            if self._client is None:
                from codewalk.opencode.client import OpenCodeClient

                self._client = await self._stack.enter_async_context(OpenCodeClient())
            return self._client
