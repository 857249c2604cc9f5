"""Hooks in both stores: sealed, in order, and bounded."""

from dataclasses import replace

import pytest
from sqlalchemy import select, update

from codewalk.errors import InvalidValue, StorageError
from codewalk.notifications.hook import ALL_EVENTS, MAX_HOOKS, new_command, new_webhook
from codewalk.notifications.notice import NoticeKind
from codewalk.secret import Secret
from codewalk.settings import Settings
from codewalk.storage.hooks import HookStore
from codewalk.storage.tables import hooks
from codewalk.storage.vault import FAILURE_REUSE_SECONDS, Vault
from tests.fake_keyring import Clock, FakeKeyring, NoKeyring
from tests.fakes import EPOCH
from tests.integration.storage.conftest import Stores

URL = "https://hooks.example/T0/s3cret"


def hook_store(stores: Stores) -> HookStore:
    return HookStore(stores.database, stores.vault)


async def test_hooks_are_listed_as_stored_in_order(stores: Stores) -> None:
    store = hook_store(stores)
    assert await store.list() == ()
    command = new_command(["notify-send", "ü 'x'\n"], [NoticeKind.DOWN, NoticeKind.UP], EPOCH)
    webhook = new_webhook(URL, [], EPOCH.replace(year=2027))
    for hook in (webhook, command):
        await store.add(hook)
    first, second = await store.list()
    assert (first.id, first.kind, first.arguments) == (
        command.id,
        command.kind,
        ("notify-send", "ü 'x'\n"),
    )
    assert first.events == {NoticeKind.DOWN, NoticeKind.UP}
    assert first.created_at == EPOCH
    assert (second.target.reveal(), second.events) == (URL, ALL_EVENTS)
    await store.remove(first.id)
    assert [hook.id for hook in await store.list()] == [webhook.id]


async def test_the_database_has_no_part_of_a_target_in_plain_text(stores: Stores) -> None:
    await hook_store(stores).add(new_webhook(URL, [], EPOCH))
    row = await stores.database.read(lambda c: c.execute(select(hooks)).one())
    assert "s3cret" not in str(row)
    assert "hooks.example" not in str(row)


async def test_a_hook_that_was_sealed_with_another_key_cannot_run(
    stores: Stores, settings: Settings
) -> None:
    # Another key: somebody else's CodeWalk on the same PostgreSQL, say.
    theirs = replace(settings, secret_key=Secret("somebody else's"))
    other = HookStore(stores.database, Vault(theirs, keyring=NoKeyring()))
    await other.add(new_command(["rm", "-rf", "/"], [], EPOCH))
    (hook,) = await hook_store(stores).list()
    with pytest.raises(StorageError, match="another key"):
        hook.arguments  # noqa: B018 - to be read is what it refuses


async def test_a_target_cannot_be_moved_to_another_hook(stores: Stores) -> None:
    store = hook_store(stores)
    for name in "ab":
        await store.add(new_command([name], [], EPOCH))
    first = await stores.database.read(lambda c: c.scalar(select(hooks.c.target).limit(1)))
    await stores.database.write(lambda c: c.execute(update(hooks).values(target=first)))
    unreadable = 0
    for hook in await store.list():
        try:
            hook.target.reveal()
        except StorageError:
            unreadable += 1
    assert unreadable == 1


async def test_hooks_whose_key_is_missing_can_still_be_removed(
    stores: Stores, settings: Settings
) -> None:
    await hook_store(stores).add(new_webhook(URL, [], EPOCH))
    vault = Vault(replace(settings, secret_key=None), keyring=NoKeyring())
    store = HookStore(stores.database, vault)
    (hook,) = await store.list()
    with pytest.raises(StorageError, match=r"key for stored passwords is missing.*CODEWALK_SECRET"):
        hook.target.reveal()
    await store.remove(hook.id)
    assert await store.list() == ()


async def test_hooks_wait_for_a_keyring_that_is_locked(stores: Stores, settings: Settings) -> None:
    keyring = FakeKeyring()
    vault = Vault(replace(settings, secret_key=None), keyring=keyring)
    store = HookStore(stores.database, vault)
    await store.add(new_webhook(URL, [], EPOCH))
    keyring.unavailable = "is locked"
    clock = Clock()
    vault = Vault(replace(settings, secret_key=None), keyring=keyring, clock=clock)
    restarted = HookStore(stores.database, vault)
    with pytest.raises(StorageError, match="keyring is locked"):
        await restarted.list()
    keyring.unavailable = None
    clock.now += FAILURE_REUSE_SECONDS
    (hook,) = await restarted.list()
    assert hook.target.reveal() == URL


async def test_the_number_of_hooks_is_bounded(stores: Stores) -> None:
    store = hook_store(stores)
    for number in range(MAX_HOOKS):
        await store.add(new_command([f"{number}"], [], EPOCH))
    with pytest.raises(InvalidValue, match="already"):
        await store.add(new_command(["one more"], [], EPOCH))
    assert len(await store.list()) == MAX_HOOKS


async def test_kinds_and_events_of_another_release_are_ignored(
    stores: Stores,
) -> None:
    store = hook_store(stores)
    for name in "ab":
        await store.add(new_command([name], [], EPOCH))
    (a,) = (hook for hook in await store.list() if hook.arguments == ("a",))
    strange = update(hooks).where(hooks.c.id == a.id)
    await stores.database.write(lambda c: c.execute(strange.values(events="up moved")))
    assert {hook.events for hook in await store.list()} == {frozenset({NoticeKind.UP}), ALL_EVENTS}
    await stores.database.write(lambda c: c.execute(strange.values(kind="carrier pigeon")))
    assert [hook.arguments for hook in await store.list()] == [("b",)]
