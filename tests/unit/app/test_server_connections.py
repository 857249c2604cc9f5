"""The connections to the servers, and the key of their passwords that they need."""

import asyncio
from dataclasses import replace

import pytest

from codewalk.app.server_connections import ServerConnections
from codewalk.errors import StorageError
from codewalk.health.checker import Checker
from codewalk.reason import Reason
from codewalk.secret import Secret
from codewalk.servers.health_check import HealthCheckSettings
from codewalk.servers.profile import ServerProfile
from tests.fake_time import elapsed, fake_time
from tests.fakes import profile

SEALED = Secret.sealed("v1.k.abc", lambda: "pw")


def secured(number: int = 1, *, password: Secret = SEALED, timeout: float = 3.0) -> ServerProfile:
    return profile(
        number,
        basic_auth_enabled=True,
        basic_auth_password=password,
        health_check=HealthCheckSettings(timeout=timeout),
    )


class FakeVault:
    """A vault that is unlocked when `keyring_answers` is set; `failure` is raised instead."""

    def __init__(self) -> None:
        self.keyring_answers = asyncio.Event()
        self.failure: StorageError | None = None
        self.attempts = 0

    async def unlock(self) -> None:
        self.attempts += 1
        if self.failure:
            raise self.failure
        await self.keyring_answers.wait()


@fake_time
async def test_a_keyring_that_hangs_ends_a_check_within_its_time_and_is_named() -> None:
    vault = FakeVault()
    async with ServerConnections(vault) as connections, Checker(connections.connect) as checker:
        result = await checker.check(secured(timeout=1.5))
        assert elapsed() == 1.5
        assert result.reason is Reason.AUTH_REQUIRED
        assert result.detail == (
            "The key for stored passwords can't be read: the system keyring hasn't answered "
            "within 1.5 s. Unlock it and try again, or set CODEWALK_SECRET_KEY."
        )


@fake_time
async def test_a_server_is_reached_again_once_the_keyring_answers() -> None:
    vault = FakeVault()
    async with ServerConnections(vault) as connections:
        server = secured()
        with pytest.raises(StorageError, match="hasn't answered"):
            await connections.connect(server)
        vault.keyring_answers.set()
        connection = await connections.connect(server)
        assert connection.has_credentials
        assert await connections.connect(server) is connection
        assert vault.attempts == 2


@fake_time
async def test_what_the_vault_says_of_its_key_is_the_detail_of_the_check() -> None:
    vault = FakeVault()
    vault.failure = StorageError("The key is missing.")
    async with ServerConnections(vault) as connections, Checker(connections.connect) as checker:
        result = await checker.check(secured())
    assert (result.reason, result.detail) == (Reason.AUTH_REQUIRED, "The key is missing.")


@fake_time
async def test_only_a_sealed_password_that_is_sent_needs_the_vault() -> None:
    vault = FakeVault()
    async with ServerConnections(vault) as connections:
        await connections.connect(profile(1))
        await connections.connect(secured(2, password=Secret("typed, not stored yet")))
        await connections.connect(replace(secured(3), basic_auth_enabled=False))
    assert vault.attempts == 0


@fake_time
async def test_a_server_removed_while_its_password_is_unlocked_leaves_no_connection() -> None:
    vault = FakeVault()
    removed, retained = secured(1), secured(2)
    async with ServerConnections(vault) as connections, asyncio.TaskGroup() as group:
        waiting = group.create_task(connections.connect(removed))
        await asyncio.sleep(1)
        connections.retain({retained.id: retained})
        vault.keyring_answers.set()
        before = await waiting
        same = await connections.connect(retained)
        connections.retain({retained.id: retained})
        assert await connections.connect(retained) is same
        assert await connections.connect(removed) is not before


async def test_a_connection_notes_the_proxy_that_is_not_used() -> None:
    environment = {"HTTP_PROXY": "http://proxy.example:3128"}
    async with ServerConnections(FakeVault(), environment=environment) as connections:
        far = await connections.connect(profile(1, url="http://devbox:4096"))
        near = await connections.connect(profile(2, url="http://127.0.0.1:4096"))
    assert far.unreachable_note == "HTTP_PROXY is set, but CodeWalk uses no proxy"
    assert near.unreachable_note == ""
