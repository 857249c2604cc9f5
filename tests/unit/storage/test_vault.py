"""The vault: what it seals only it can open, and its key is found again wherever it lies."""

import asyncio
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codewalk.errors import StorageError
from codewalk.secret import Secret
from codewalk.settings import Settings
from codewalk.storage.keyring import NoKeyring, SystemKeyring
from codewalk.storage.vault import Vault


class FakeKeyring:
    """A keyring of the test's own; `broken` keeps nothing that it is given."""

    def __init__(self, *, broken: bool = False) -> None:
        self.kept: dict[str, Secret] = {}
        self.asked = 0
        self._broken = broken

    def get(self, owner: str) -> Secret | None:
        self.asked += 1
        return self.kept.get(owner)

    def set(self, owner: str, text: Secret) -> None:
        if not self._broken:
            self.kept[owner] = text


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data")


async def unlocked(settings: Settings, keyring: FakeKeyring | None = None) -> Vault:
    vault = Vault(settings, keyring=keyring or NoKeyring())
    await vault.unlock()
    return vault


def opened(vault: Vault, sealed: str) -> str:
    return vault.unseal(sealed, "server")


async def test_what_is_sealed_opens_again_and_shows_nothing(settings: Settings) -> None:
    vault = await unlocked(settings)
    sealed = vault.seal(Secret("hunter2: ☃"), "server")

    assert vault.unseal(sealed, "server") == "hunter2: ☃"
    assert "hunter2" not in sealed
    assert sealed.startswith("v1.")
    # Never twice the same: equal passwords can't be told from equal texts.
    assert vault.seal(Secret("hunter2: ☃"), "server") != sealed


async def test_any_text_can_be_sealed(settings: Settings) -> None:
    vault = await unlocked(settings)

    @given(st.text(st.characters()), st.text())
    def holds(text: str, server_id: str) -> None:
        assert vault.unseal(vault.seal(Secret(text), server_id), server_id) == text

    holds()


async def test_a_sealed_password_is_good_for_its_own_server_alone(settings: Settings) -> None:
    vault = await unlocked(settings)
    with pytest.raises(StorageError, match="damaged"):
        vault.unseal(vault.seal(Secret("pw"), "server"), "other")


async def test_a_locked_vault_says_so(settings: Settings) -> None:
    vault = Vault(settings, keyring=NoKeyring())
    with pytest.raises(RuntimeError, match="locked"):
        vault.seal(Secret("pw"), "server")
    with pytest.raises(RuntimeError, match="locked"):
        vault.unseal("v1.x.y", "server")


@pytest.mark.parametrize("position", [0, 4, 13, 20, -5])
async def test_a_changed_byte_is_noticed(settings: Settings, position: int) -> None:
    vault = await unlocked(settings)
    sealed = list(vault.seal(Secret("pw"), "server"))
    sealed[position] = "A" if sealed[position] != "A" else "B"
    with pytest.raises(StorageError, match="codewalk server edit"):
        opened(vault, "".join(sealed))


@pytest.mark.parametrize("text", ["", "v1", "v1.", "v1..", "pw", "v2.x.y"])
async def test_what_was_never_sealed_is_refused(settings: Settings, text: str) -> None:
    vault = await unlocked(settings)
    with pytest.raises(StorageError, match="server"):
        opened(vault, text)


async def test_another_key_is_told_from_damage(settings: Settings) -> None:
    first = await unlocked(replace(settings, secret_key=Secret("one")))
    second = await unlocked(replace(settings, secret_key=Secret("two")))
    with pytest.raises(StorageError, match=r"another key.*CODEWALK_SECRET_KEY"):
        opened(second, first.seal(Secret("pw"), "server"))


async def test_the_key_from_the_environment_is_kept_nowhere(settings: Settings) -> None:
    keyring = FakeKeyring()
    await unlocked(replace(settings, secret_key=Secret("mine")), keyring)
    assert not settings.data_dir.exists()
    assert keyring.asked == 0


async def test_a_key_is_made_once_and_private(settings: Settings) -> None:
    sealed = (await unlocked(settings)).seal(Secret("pw"), "server")
    key_file = settings.data_dir / "secret.key"

    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    before = key_file.read_bytes()
    assert opened(await unlocked(settings), sealed) == "pw"
    assert key_file.read_bytes() == before


async def test_the_key_files_text_works_in_the_environment_too(settings: Settings) -> None:
    sealed = (await unlocked(settings)).seal(Secret("pw"), "server")
    text = (settings.data_dir / "secret.key").read_text()

    moved = Settings(data_dir=settings.data_dir / "elsewhere", secret_key=Secret(text))
    assert opened(await unlocked(moved), sealed) == "pw"


async def test_a_keyring_that_works_has_the_key_and_no_file_is_made(settings: Settings) -> None:
    keyring = FakeKeyring()
    sealed = (await unlocked(settings, keyring)).seal(Secret("pw"), "server")

    assert list(keyring.kept) == [str(settings.data_dir.resolve())]
    assert not (settings.data_dir / "secret.key").exists()
    assert opened(await unlocked(settings, keyring), sealed) == "pw"


async def test_a_keyring_that_forgets_is_not_trusted(settings: Settings) -> None:
    keyring = FakeKeyring(broken=True)
    sealed = (await unlocked(settings, keyring)).seal(Secret("pw"), "server")
    assert opened(await unlocked(settings), sealed) == "pw"


async def test_an_existing_file_wins_over_the_keyring(settings: Settings) -> None:
    sealed = (await unlocked(settings)).seal(Secret("pw"), "server")
    keyring = FakeKeyring()
    keyring.set(str(settings.data_dir.resolve()), Secret("another"))
    assert opened(await unlocked(settings, keyring), sealed) == "pw"
    assert keyring.asked == 0


async def test_unlocking_many_times_at_once_looks_once(settings: Settings) -> None:
    keyring = FakeKeyring()
    vault = Vault(settings, keyring=keyring)
    await asyncio.gather(*(vault.unlock() for _ in range(10)))
    looked = keyring.asked
    await vault.unlock()
    # Before the lock on making it, behind the lock, and to see that it stayed.
    assert keyring.asked == looked == 3


@pytest.mark.parametrize("content", [b"", b"  \n", b"\xff\xfe\x00"])
async def test_a_key_file_that_cannot_be_used_is_named(settings: Settings, content: bytes) -> None:
    settings.data_dir.mkdir()
    (settings.data_dir / "secret.key").write_bytes(content)
    with pytest.raises(StorageError, match=r"secret\.key"):
        await unlocked(settings)
    assert (settings.data_dir / "secret.key").read_bytes() == content


async def test_others_are_kept_from_reading_an_existing_key(settings: Settings) -> None:
    settings.data_dir.mkdir()
    key_file = settings.data_dir / "secret.key"
    key_file.write_text("mine")
    key_file.chmod(0o644)
    await unlocked(settings)
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600


def test_without_a_real_keyring_there_is_nothing_and_no_error() -> None:
    keyring = SystemKeyring()
    keyring.set("codewalk tests", Secret("x"))
    assert keyring.get("codewalk tests") is None
