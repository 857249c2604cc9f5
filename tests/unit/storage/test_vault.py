"""The vault: only it can unseal what it sealed, and it never loses or replaces a key."""

import asyncio
import re
import stat
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codewalk.errors import StorageError
from codewalk.secret import Secret
from codewalk.settings import Settings
from codewalk.storage.keyring import Keyring, SystemKeyring
from codewalk.storage.vault import FAILURE_REUSE_SECONDS, Vault
from codewalk.storage.vault_key import KeySource, KeyStore
from tests.fake_keyring import Clock, FakeBackend, FakeKeyring, NoKeyring, wait_for_keyring_threads


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data")


async def unlocked(settings: Settings, keyring: Keyring | None = None) -> Vault:
    """A vault that can seal: its key is created where there is none."""
    vault = Vault(settings, keyring=keyring or NoKeyring())
    await vault.unlock_to_seal(())
    return vault


async def reading(settings: Settings, keyring: Keyring | None = None) -> Vault:
    """A vault that was unlocked to read what is sealed already."""
    vault = Vault(settings, keyring=keyring or NoKeyring())
    await vault.unlock()
    return vault


def unseal(vault: Vault, sealed: str) -> str:
    return vault.unseal(sealed, "server")


def files_in(settings: Settings) -> list[str]:
    return [path.name for path in settings.data_dir.iterdir()] if settings.data_dir.exists() else []


async def test_a_sealed_text_hides_its_content_and_can_be_unsealed(settings: Settings) -> None:
    vault = await unlocked(settings)
    sealed = vault.seal(Secret("hunter2: ☃"), "server")

    assert vault.unseal(sealed, "server") == "hunter2: ☃"
    assert "hunter2" not in sealed
    assert sealed.startswith("v1.")
    # Never twice the same: equal passwords can't be told from equal texts.
    assert vault.seal(Secret("hunter2: ☃"), "server") != sealed


async def test_any_text_can_be_sealed_and_unsealed(settings: Settings) -> None:
    vault = await unlocked(settings)

    @given(st.text(st.characters()), st.text())
    def holds(text: str, server_id: str) -> None:
        assert vault.unseal(vault.seal(Secret(text), server_id), server_id) == text

    holds()


async def test_a_sealed_password_cannot_be_unsealed_for_another_server(settings: Settings) -> None:
    vault = await unlocked(settings)
    with pytest.raises(StorageError, match="damaged"):
        vault.unseal(vault.seal(Secret("pw"), "server"), "other")


async def test_a_vault_that_was_never_unlocked_refuses_to_seal_and_unseal(
    settings: Settings,
) -> None:
    vault = Vault(settings, keyring=NoKeyring())
    with pytest.raises(RuntimeError, match="locked"):
        vault.seal(Secret("pw"), "server")
    with pytest.raises(RuntimeError, match="locked"):
        vault.unseal("v1.x.y", "server")


@pytest.mark.parametrize("position", [0, 4, 13, 20, -5])
async def test_a_sealed_text_with_a_changed_byte_is_refused(
    settings: Settings, position: int
) -> None:
    vault = await unlocked(settings)
    sealed = list(vault.seal(Secret("pw"), "server"))
    sealed[position] = "A" if sealed[position] != "A" else "B"
    with pytest.raises(StorageError, match="codewalk server edit"):
        unseal(vault, "".join(sealed))


@pytest.mark.parametrize("text", ["", "v1", "v1.", "v1..", "pw", "v2.x.y"])
async def test_a_text_that_was_never_sealed_is_refused(settings: Settings, text: str) -> None:
    vault = await unlocked(settings)
    with pytest.raises(StorageError, match="server"):
        unseal(vault, text)


async def test_the_error_for_another_key_differs_from_that_for_damage(settings: Settings) -> None:
    first = await unlocked(replace(settings, secret_key=Secret("one")))
    second = await unlocked(replace(settings, secret_key=Secret("two")))
    with pytest.raises(StorageError, match=r"another key.*CODEWALK_SECRET_KEY"):
        unseal(second, first.seal(Secret("pw"), "server"))


async def test_a_key_from_the_environment_is_not_stored(settings: Settings) -> None:
    keyring = FakeKeyring()
    await unlocked(replace(settings, secret_key=Secret("mine")), keyring)
    assert not settings.data_dir.exists()
    assert keyring.reads == 0


async def test_the_key_file_is_created_once_and_private(settings: Settings) -> None:
    sealed = (await unlocked(settings)).seal(Secret("pw"), "server")
    key_file = settings.data_dir / "secret.key"

    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    before = key_file.read_bytes()
    assert unseal(await unlocked(settings), sealed) == "pw"
    assert unseal(await reading(settings), sealed) == "pw"
    assert key_file.read_bytes() == before


async def test_the_text_of_the_key_file_can_be_moved_into_the_environment(
    settings: Settings,
) -> None:
    sealed = (await unlocked(settings)).seal(Secret("pw"), "server")
    text = (settings.data_dir / "secret.key").read_text()

    moved = Settings(data_dir=settings.data_dir / "elsewhere", secret_key=Secret(text))
    assert unseal(await reading(moved), sealed) == "pw"


async def test_the_key_is_created_in_a_keyring_that_works_and_in_no_file(
    settings: Settings,
) -> None:
    keyring = FakeKeyring()
    sealed = (await unlocked(settings, keyring)).seal(Secret("pw"), "server")

    assert list(keyring.entries) == [str(settings.data_dir.resolve())]
    assert not (settings.data_dir / "secret.key").exists()
    assert unseal(await reading(settings, keyring), sealed) == "pw"


@pytest.mark.parametrize("fault", ["forgetful", "read_only"])
async def test_a_keyring_that_stores_nothing_is_replaced_by_a_file(
    settings: Settings, fault: str
) -> None:
    keyring = FakeKeyring(forgetful=fault == "forgetful")
    keyring.read_only = fault == "read_only"
    sealed = (await unlocked(settings, keyring)).seal(Secret("pw"), "server")
    assert unseal(await reading(settings), sealed) == "pw"


async def test_an_existing_file_wins_over_the_keyring(settings: Settings) -> None:
    sealed = (await unlocked(settings)).seal(Secret("pw"), "server")
    keyring = FakeKeyring()
    keyring.set(str(settings.data_dir.resolve()), Secret("another"))
    assert unseal(await reading(settings, keyring), sealed) == "pw"
    assert keyring.reads == 0


async def test_passwords_are_readable_again_after_a_keyring_has_hung(settings: Settings) -> None:
    backend, clock = FakeBackend(), Clock()
    sealing = await unlocked(settings, SystemKeyring(find_backend=lambda: backend))
    sealed = sealing.seal(Secret("pw"), "server")
    entries = dict(backend.entries)
    assert unseal(await reading(settings, SystemKeyring(find_backend=lambda: backend)), sealed)

    backend.gate.clear()
    hanging = SystemKeyring(find_backend=lambda: backend, timeout=0.01)
    vault = Vault(settings, keyring=hanging, clock=clock)
    for attempt in (vault.unlock(), vault.unlock_to_seal(()), vault.unlock_to_seal([sealed])):
        with pytest.raises(StorageError) as failure:
            await attempt
        assert failure.value.message == (
            "The key for stored passwords can't be read: the system keyring didn't answer within "
            "0.01 s. Unlock it and try again, or set CODEWALK_SECRET_KEY."
        )
        assert not vault.unlocked
    assert files_in(settings) == ["secret.key.lock"]
    assert backend.entries == entries

    backend.gate.set()
    wait_for_keyring_threads()
    clock.now += FAILURE_REUSE_SECONDS
    await vault.unlock()
    assert unseal(vault, sealed) == "pw"
    assert backend.entries == entries


@pytest.mark.parametrize("unavailable", ["is locked", "failed (InitError)"])
async def test_no_key_is_created_while_the_keyring_is_unavailable(
    settings: Settings, unavailable: str
) -> None:
    keyring = FakeKeyring()
    keyring.unavailable = unavailable
    vault = Vault(settings, keyring=keyring)
    with pytest.raises(StorageError, match=rf"{re.escape(unavailable)}.*CODEWALK_SECRET_KEY"):
        await vault.unlock_to_seal(())
    assert files_in(settings) == []

    keyring.unavailable = None
    await vault.unlock_to_seal(())
    assert list(keyring.entries) == [str(settings.data_dir.resolve())]


def test_no_key_is_created_when_the_keyring_locks_just_before(
    settings: Settings,
) -> None:
    # Between the first read and the one behind the lock that all processes share.
    keyring = FakeKeyring()
    keyring.unavailable = "is locked"
    with pytest.raises(StorageError, match="is locked"):
        KeyStore(settings, keyring=keyring).create()
    assert not (settings.data_dir / "secret.key").exists()


async def test_unlocking_to_read_creates_nothing(settings: Settings) -> None:
    keyring = FakeKeyring()
    vault = Vault(settings, keyring=keyring)
    with pytest.raises(StorageError, match=r"missing.*secret\.key.*CODEWALK_SECRET_KEY"):
        await vault.unlock()
    assert not settings.data_dir.exists()
    assert keyring.entries == {}


async def test_no_second_key_is_created_beside_what_is_sealed_with_a_missing_one(
    settings: Settings,
) -> None:
    first = await unlocked(settings)
    sealed = first.seal(Secret("pw"), "server")
    (settings.data_dir / "secret.key").rename(settings.data_dir / "moved.key")
    keyring = FakeKeyring()
    vault = Vault(settings, keyring=keyring)

    with pytest.raises(StorageError) as refused:
        await vault.unlock_to_seal([sealed])

    assert f"under a key ({sealed.split('.')[1]}) that is missing" in refused.value.message
    assert "CODEWALK_SECRET_KEY" in refused.value.message
    assert keyring.entries == {}
    assert not (settings.data_dir / "secret.key").exists()
    (settings.data_dir / "moved.key").rename(settings.data_dir / "secret.key")
    await vault.unlock_to_seal([sealed])
    assert unseal(vault, sealed) == "pw"


async def test_revealing_a_secret_repeats_why_the_vault_could_not_be_unlocked(
    settings: Settings,
) -> None:
    keyring = FakeKeyring()
    keyring.unavailable = "is locked"
    vault = Vault(settings, keyring=keyring)
    with pytest.raises(StorageError):
        await vault.unlock()
    with pytest.raises(StorageError, match="system keyring is locked"):
        vault.unseal("v1.x.y", "server")


async def test_unlocking_many_times_at_once_asks_the_keyring_once(settings: Settings) -> None:
    keyring = FakeKeyring()
    sealed = (await unlocked(settings, keyring)).seal(Secret("pw"), "server")
    keyring.reads, keyring.gate = 0, threading.Event()
    keyring.entered.clear()
    vault = Vault(settings, keyring=keyring)

    async with asyncio.TaskGroup() as group:
        unlocking = [group.create_task(vault.unlock(), name=f"unlock {n}") for n in range(10)]
        await asyncio.to_thread(keyring.entered.wait)
        # Who gives up takes nothing from the others.
        unlocking[0].cancel()
        unlocking[5].cancel()
        await asyncio.sleep(0)
        keyring.gate.set()
    await vault.unlock()

    assert [task.cancelled() for task in unlocking] == [n in (0, 5) for n in range(10)]
    assert keyring.reads == 1
    assert unseal(vault, sealed) == "pw"


class ManualExecutor(ThreadPoolExecutor):
    """Runs nothing until `finish`, which runs it in the calling thread."""

    def __init__(self) -> None:
        super().__init__()
        self._calls: list[tuple[Future[Any], Callable[[], Any]]] = []

    def submit(self, fn: Callable[..., Any], /, *arguments: Any, **options: Any) -> "Future[Any]":
        future: Future[Any] = Future()
        self._calls.append((future, partial(fn, *arguments, **options)))
        return future

    def finish(self) -> None:
        for future, call in self._calls:
            future.set_result(call())


async def test_who_asks_at_the_moment_when_an_attempt_ends_gets_the_key(
    settings: Settings,
) -> None:
    # The attempt's future had its result, and the callback that takes the key from it came later:
    # unlock() returned at once, and unsealing failed, for the vault was still locked.
    executor = ManualExecutor()
    asyncio.get_running_loop().set_default_executor(executor)
    vault = Vault(replace(settings, secret_key=Secret("key")), keyring=NoKeyring())
    async with asyncio.TaskGroup() as group:
        group.create_task(vault.unlock(), name="first")
        await asyncio.sleep(0)
        executor.finish()
        # In this turn of the loop the future gets its result; its callbacks run in the next one.
        await asyncio.sleep(0)
        await vault.unlock()
        assert vault.unlocked


async def test_an_attempt_goes_on_when_all_its_callers_are_cancelled(settings: Settings) -> None:
    keyring = FakeKeyring()
    await unlocked(settings, keyring)
    keyring.gate = threading.Event()
    keyring.entered.clear()
    vault = Vault(settings, keyring=keyring)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await vault.unlock()
    await asyncio.to_thread(keyring.entered.wait)
    reads = keyring.reads
    keyring.gate.set()
    await vault.unlock()
    assert vault.unlocked
    assert keyring.reads == reads


async def test_a_failure_answers_further_attempts_for_a_while(settings: Settings) -> None:
    keyring, clock = FakeKeyring(), Clock()
    await unlocked(settings, keyring)
    keyring.unavailable, keyring.reads = "is locked", 0
    vault = Vault(settings, keyring=keyring, clock=clock)
    for _ in range(5):
        with pytest.raises(StorageError, match="is locked"):
            await vault.unlock()
    assert keyring.reads == 1
    # A person who has unlocked it and saves a password doesn't wait for that.
    keyring.unavailable = None
    with pytest.raises(StorageError, match="is locked"):
        await vault.unlock()
    clock.now += FAILURE_REUSE_SECONDS - 0.01
    with pytest.raises(StorageError, match="is locked"):
        await vault.unlock()
    assert keyring.reads == 1
    await vault.unlock_to_seal(())
    assert keyring.reads == 2


async def test_a_failure_is_forgotten_after_a_while(settings: Settings) -> None:
    keyring, clock = FakeKeyring(), Clock()
    await unlocked(settings, keyring)
    keyring.unavailable = "is locked"
    vault = Vault(settings, keyring=keyring, clock=clock)
    with pytest.raises(StorageError, match="is locked"):
        await vault.unlock()
    keyring.unavailable = None
    clock.now += FAILURE_REUSE_SECONDS
    await vault.unlock()
    assert vault.unlocked


def test_finding_the_key_names_its_place_and_changes_nothing(settings: Settings) -> None:
    keyring = FakeKeyring()
    store = KeyStore(settings, keyring=keyring)
    assert store.find() is None
    assert not settings.data_dir.exists()
    assert store.create().source is KeySource.KEYRING
    found = store.find()
    assert found
    assert found.source is KeySource.KEYRING
    store.path.write_text("mine")
    store.path.chmod(0o644)
    found = store.find()
    assert found
    assert (found.source, found.text.reveal()) == (KeySource.FILE, "mine")
    assert stat.S_IMODE(store.path.stat().st_mode) == 0o644
    environment = KeyStore(replace(settings, secret_key=Secret("k")), keyring=keyring).find()
    assert environment
    assert environment.source is KeySource.ENVIRONMENT
    keyring.unavailable = "is locked"
    store.path.unlink()
    with pytest.raises(StorageError, match="is locked"):
        store.find()


@pytest.mark.parametrize("content", [b"", b"  \n", b"\xff\xfe\x00"])
async def test_the_error_for_an_unusable_key_file_names_it(
    settings: Settings, content: bytes
) -> None:
    settings.data_dir.mkdir()
    (settings.data_dir / "secret.key").write_bytes(content)
    with pytest.raises(StorageError, match=r"secret\.key"):
        await unlocked(settings)
    assert (settings.data_dir / "secret.key").read_bytes() == content


async def test_an_existing_key_file_is_made_private(settings: Settings) -> None:
    settings.data_dir.mkdir()
    key_file = settings.data_dir / "secret.key"
    key_file.write_text("mine")
    key_file.chmod(0o644)
    await unlocked(settings)
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
