"""The roster in force, and its changes by this and other processes."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from codewalk.errors import DuplicateServer, ServerNotFound, StorageError
from codewalk.reason import State
from codewalk.secret import Secret
from codewalk.servers import rules
from codewalk.servers.registry import Registry
from codewalk.servers.removal import UNDO_SECONDS
from codewalk.servers.roster import Roster, Rule
from tests.fake_time import advance_time, fake_time
from tests.fakes import EPOCH, FakeRosterStore, profile

A, B, C = profile(1), profile(2), profile(3)


class Recorder:
    """The changes that the registry reported."""

    def __init__(self) -> None:
        self.changes: list[tuple[Roster, Roster]] = []

    def __call__(self, old: Roster, new: Roster) -> None:
        self.changes.append((old, new))


async def open_registry(store: FakeRosterStore) -> tuple[Registry, Recorder]:
    recorder = Recorder()
    registry = Registry(store, changed=recorder)
    await registry.load()
    return registry, recorder


@fake_time
async def test_a_loaded_roster_is_no_change() -> None:
    stored = rules.add(Roster(), A)
    registry, recorder = await open_registry(FakeRosterStore(stored))
    assert registry.roster == stored
    assert recorder.changes == []


@fake_time
async def test_a_change_is_stored_reported_and_returned() -> None:
    store = FakeRosterStore()
    registry, recorder = await open_registry(store)
    after = await registry.change(lambda roster: rules.add(roster, A))
    assert after == registry.roster == store.stored
    assert recorder.changes == [(Roster(), after)]


@fake_time
async def test_a_refused_change_changes_and_reports_nothing() -> None:
    registry, recorder = await open_registry(FakeRosterStore(rules.add(Roster(), A)))
    before = registry.roster
    with pytest.raises(DuplicateServer):
        await registry.change(lambda roster: rules.add(roster, profile(9, url=A.url)))
    assert registry.roster is before
    assert recorder.changes == []


@fake_time
async def test_a_change_that_changes_nothing_is_not_reported() -> None:
    registry, recorder = await open_registry(FakeRosterStore(rules.add(Roster(), A)))
    await registry.change(lambda roster: rules.switch(roster, A.id))
    assert recorder.changes == []


@fake_time
async def test_a_change_is_decided_on_what_is_stored_by_then() -> None:
    store = FakeRosterStore(rules.add(Roster(), A))
    registry, _ = await open_registry(store)
    store.change_elsewhere(lambda roster: rules.add(roster, B))
    with pytest.raises(DuplicateServer):
        await registry.change(lambda roster: rules.add(roster, profile(9, url=B.url)))
    after = await registry.change(lambda roster: rules.add(roster, C))
    assert after.profiles == (A, B, C)


@fake_time
async def test_changes_at_once_all_land_one_after_the_other() -> None:
    store = FakeRosterStore()
    registry, recorder = await open_registry(store)
    store.before_update = lambda: asyncio.sleep(0.01)
    async with asyncio.TaskGroup() as group:
        for server in (A, B, C):
            change = registry.change(lambda roster, server=server: rules.add(roster, server))  # type: ignore[misc] # mypy can't type a default of a lambda
            group.create_task(change, name=server.name)
    assert set(registry.roster.profiles) == {A, B, C}
    olds, news = zip(*recorder.changes, strict=True)
    assert olds == (Roster(), *news[:-1])


@fake_time
async def test_a_failing_store_leaves_the_roster_as_it_was() -> None:
    store = FakeRosterStore(rules.add(Roster(), A))
    registry, recorder = await open_registry(store)

    async def fails() -> None:
        raise StorageError("The disk is full.")

    store.before_update = fails
    with pytest.raises(StorageError):
        await registry.change(lambda roster: rules.add(roster, B))
    assert registry.roster.profiles == (A,)
    store.before_update = None
    await registry.change(lambda roster: rules.add(roster, B))
    assert recorder.changes[-1][1].profiles == (A, B)


@fake_time
async def test_another_process_change_is_adopted_at_the_next_refresh() -> None:
    store = FakeRosterStore(rules.add(Roster(), A))
    registry, recorder = await open_registry(store)
    store.change_elsewhere(lambda roster: rules.add(roster, B, activate=True))
    await registry.refresh()
    assert registry.roster.active is B
    assert [new.generation for _, new in recorder.changes] == [2]


@fake_time
async def test_a_refresh_reads_no_servers_where_nothing_changed() -> None:
    store = FakeRosterStore(rules.add(Roster(), A))
    registry, recorder = await open_registry(store)
    loads = store.loads
    await registry.refresh()
    assert store.loads == loads
    assert recorder.changes == []


@fake_time
async def test_a_change_waits_for_a_refresh_under_way() -> None:
    # The race: a refresh has read the servers, a change adds one more and is done first; taken
    # over after that, what was read would undo the change in this process.
    store = FakeRosterStore(rules.add(Roster(), A))
    registry, recorder = await open_registry(store)
    store.change_elsewhere(lambda roster: rules.add(roster, B))
    store.after_load = lambda: asyncio.sleep(1)
    async with asyncio.TaskGroup() as group:
        group.create_task(registry.refresh(), name="refresh")
        await asyncio.sleep(0.5)
        group.create_task(registry.change(lambda roster: rules.add(roster, C)), name="change")
    assert registry.roster.profiles == (A, B, C)
    assert [new.revision for _, new in recorder.changes] == [1, 2]


@fake_time
async def test_a_refresh_waits_for_a_change_under_way() -> None:
    # The race: a refresh that reads between a change's commit and its return would take the older
    # roster over the newer one.
    store = FakeRosterStore(rules.add(Roster(), A))
    registry, recorder = await open_registry(store)
    gate = asyncio.Event()

    async def wait() -> None:
        await gate.wait()

    store.before_update = wait
    async with asyncio.TaskGroup() as group:
        group.create_task(registry.change(lambda roster: rules.add(roster, B)), name="change")
        await asyncio.sleep(0)
        group.create_task(registry.refresh(), name="refresh")
        await asyncio.sleep(1)
        gate.set()
    assert registry.roster.profiles == (A, B)
    assert [new.revision for _, new in recorder.changes] == [1]


@fake_time
async def test_a_server_that_did_not_change_stays_the_same_object_when_it_is_read_again() -> None:
    # Read again, its password is another object; it would look edited, and be checked anew.
    known = replace(A, basic_auth_password=Secret("one"))
    store = FakeRosterStore(rules.add(Roster(), known))
    registry, _ = await open_registry(store)
    read_again = replace(known, basic_auth_password=Secret("one"))
    store.change_elsewhere(
        lambda roster: rules.add(replace(roster, profiles=(read_again,)), B, activate=True)
    )
    await registry.refresh()
    assert registry.roster.profiles[0] is known
    assert registry.roster.active is B


@fake_time
async def test_a_server_that_was_edited_elsewhere_is_the_new_one() -> None:
    store = FakeRosterStore(rules.add(Roster(), A))
    registry, recorder = await open_registry(store)
    later = EPOCH + timedelta(seconds=1)
    store.change_elsewhere(lambda roster: rules.edit(roster, A.id, later, label="New"))
    await registry.refresh()
    assert registry.roster.require(A.id).label == "New"
    assert len(recorder.changes) == 1


async def test_a_change_whose_caller_is_cancelled_is_in_force_here_as_on_disk() -> None:
    store, recorder = FakeRosterStore(), Recorder()
    registry = Registry(store, changed=recorder)
    writing, go_on = asyncio.Event(), asyncio.Event()

    async def held() -> None:
        writing.set()
        await go_on.wait()

    store.before_update = held
    async with asyncio.TaskGroup() as group:
        change = group.create_task(registry.change(lambda roster: rules.add(roster, A)))
        await writing.wait()
        change.cancel()
        go_on.set()
    assert change.cancelled()
    assert store.stored.profiles == registry.roster.profiles == (A,)


@fake_time
async def test_a_switch_does_not_wait_until_the_vault_is_unlocked_for_a_new_password() -> None:
    store = FakeRosterStore(rules.add(rules.add(Roster(), A), B), locked=True)
    registry, _ = await open_registry(store)
    unlocking, go_on = asyncio.Event(), asyncio.Event()

    async def ask_keyring() -> None:
        unlocking.set()
        await go_on.wait()

    store.before_unlock = ask_keyring
    secured = replace(C, basic_auth_password=Secret("pw"))
    async with asyncio.TaskGroup() as group:
        adding = group.create_task(registry.change(lambda roster: rules.add(roster, secured)))
        await unlocking.wait()
        async with asyncio.timeout(0.1):
            await registry.change(lambda roster: rules.switch(roster, B.id))
            await registry.refresh()
        assert registry.roster.active_id == B.id
        assert not adding.done()
        go_on.set()
    assert registry.roster.profiles == (A, B, secured)
    assert registry.roster.active_id == B.id


@fake_time
async def test_a_vault_that_cannot_be_unlocked_leaves_everything_as_it_was() -> None:
    store = FakeRosterStore(rules.add(Roster(), A), locked=True)
    registry, recorder = await open_registry(store)

    async def fail() -> None:
        raise StorageError("The keyring is locked.")

    store.before_unlock = fail
    secured = replace(B, basic_auth_password=Secret("pw"))
    with pytest.raises(StorageError, match="locked"):
        await registry.change(lambda roster: rules.add(roster, secured))
    assert registry.roster.profiles == store.stored.profiles == (A,)
    assert recorder.changes == []


def without(server_id: str) -> Rule:
    return lambda roster: rules.remove(roster, server_id, lambda _: State.UNKNOWN)


@fake_time
async def test_a_removal_is_undone_on_what_is_stored_by_then() -> None:
    store = FakeRosterStore(rules.add(rules.add(Roster(), A), B))
    registry, recorder = await open_registry(store)
    assert (await registry.remove(A.id, without(A.id))).active is B
    store.change_elsewhere(lambda roster: rules.add(roster, C, activate=True))
    after = await registry.restore(A.id)
    assert after == registry.roster == store.stored
    assert (after.profiles, after.active) == ((A, B, C), C)
    assert recorder.changes[-1][1] is after
    assert store.undone_removals == [A.id]


@fake_time
async def test_a_removal_that_is_undone_already_stays_so() -> None:
    registry, _ = await open_registry(FakeRosterStore(rules.add(Roster(), A)))
    await registry.remove(A.id, without(A.id))
    async with asyncio.TaskGroup() as group:
        for name in ("first", "second"):
            group.create_task(registry.restore(A.id), name=name)
    assert registry.roster.revision == 2


@fake_time
async def test_a_removal_can_be_undone_for_a_while_and_once_for_each_time() -> None:
    registry, _ = await open_registry(FakeRosterStore(rules.add(Roster(), A)))
    await registry.remove(A.id, without(A.id))
    await registry.restore(A.id)
    await registry.remove(A.id, without(A.id))
    await advance_time(UNDO_SECONDS + 0.1)
    with pytest.raises(ServerNotFound, match="undone"):
        await registry.restore(A.id)


@fake_time
async def test_a_removal_made_elsewhere_cannot_be_undone_here() -> None:
    store = FakeRosterStore(rules.add(Roster(), A))
    registry, _ = await open_registry(store)
    store.change_elsewhere(without(A.id))
    await registry.refresh()
    with pytest.raises(ServerNotFound):
        await registry.restore(A.id)


@fake_time
async def test_an_undo_that_failed_can_be_tried_again() -> None:
    store = FakeRosterStore(rules.add(Roster(), A))
    registry, _ = await open_registry(store)
    await registry.remove(A.id, without(A.id))
    store.change_elsewhere(lambda roster: rules.add(roster, profile(9, url=A.url)))
    with pytest.raises(DuplicateServer):
        await registry.restore(A.id)
    store.change_elsewhere(without(profile(9).id))
    assert (await registry.restore(A.id)).profiles == (A,)


async def test_a_removal_whose_caller_is_cancelled_can_be_undone() -> None:
    store, recorder = FakeRosterStore(rules.add(Roster(), A)), Recorder()
    registry = Registry(store, changed=recorder)
    await registry.load()
    writing, go_on = asyncio.Event(), asyncio.Event()

    async def held() -> None:
        writing.set()
        await go_on.wait()

    store.before_update = held
    async with asyncio.TaskGroup() as group:
        removing = group.create_task(registry.remove(A.id, without(A.id)))
        await writing.wait()
        removing.cancel()
        go_on.set()
    assert registry.roster.profiles == ()
    assert (await registry.restore(A.id)).profiles == (A,)


@fake_time
async def test_a_change_whose_listener_fails_is_reported_again_by_the_next_refresh() -> None:
    """Otherwise the rest of the app would keep the servers of before until the next change."""
    store = FakeRosterStore()
    reported: list[Roster] = []

    def fail_once(_: Roster, new: Roster) -> None:
        reported.append(new)
        if len(reported) == 1:
            raise KeyError("a fault of a listener's own")

    registry = Registry(store, changed=fail_once)
    await registry.load()
    with pytest.raises(KeyError):
        await registry.change(lambda roster: rules.add(roster, A))
    await registry.refresh()
    assert registry.roster == store.stored
    assert reported == [store.stored, store.stored]
