"""The roster in force, and its changes by this and other processes."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from codewalk.errors import DuplicateServer, ServerNotFound, StorageError
from codewalk.reason import State
from codewalk.secret import Secret
from codewalk.servers import roster as rules
from codewalk.servers.registry import Registry
from codewalk.servers.removal import UNDO_SECONDS
from codewalk.servers.roster import Roster, Rule
from tests.fake_time import advance_time, fake_time
from tests.fakes import EPOCH, FakeRosterStore, profile

A, B, C = profile(1), profile(2), profile(3)


class Seen:
    """What the registry told of its changes."""

    def __init__(self) -> None:
        self.changes: list[tuple[Roster, Roster]] = []

    def __call__(self, old: Roster, new: Roster) -> None:
        self.changes.append((old, new))


async def opened(keeper: FakeRosterStore) -> tuple[Registry, Seen]:
    seen = Seen()
    registry = Registry(keeper, changed=seen)
    await registry.load()
    return registry, seen


@fake_time
async def test_what_was_kept_is_there_after_a_load_and_is_no_change() -> None:
    kept = rules.add(Roster(), A)
    registry, seen = await opened(FakeRosterStore(kept))
    assert registry.roster == kept
    assert seen.changes == []


@fake_time
async def test_a_change_is_kept_told_and_returned() -> None:
    keeper = FakeRosterStore()
    registry, seen = await opened(keeper)
    after = await registry.change(lambda roster: rules.add(roster, A))
    assert after == registry.roster == keeper.stored
    assert seen.changes == [(Roster(), after)]


@fake_time
async def test_a_refused_change_changes_and_tells_nothing() -> None:
    registry, seen = await opened(FakeRosterStore(rules.add(Roster(), A)))
    before = registry.roster
    with pytest.raises(DuplicateServer):
        await registry.change(lambda roster: rules.add(roster, profile(9, url=A.url)))
    assert registry.roster is before
    assert seen.changes == []


@fake_time
async def test_a_change_that_changes_nothing_is_not_told() -> None:
    registry, seen = await opened(FakeRosterStore(rules.add(Roster(), A)))
    await registry.change(lambda roster: rules.switch(roster, A.id))
    assert seen.changes == []


@fake_time
async def test_a_change_is_decided_on_what_is_really_kept() -> None:
    keeper = FakeRosterStore(rules.add(Roster(), A))
    registry, _ = await opened(keeper)
    keeper.change_elsewhere(lambda roster: rules.add(roster, B))
    with pytest.raises(DuplicateServer):
        await registry.change(lambda roster: rules.add(roster, profile(9, url=B.url)))
    after = await registry.change(lambda roster: rules.add(roster, C))
    assert after.profiles == (A, B, C)


@fake_time
async def test_changes_at_once_all_land_one_after_the_other() -> None:
    keeper = FakeRosterStore()
    registry, seen = await opened(keeper)
    keeper.before_update = lambda: asyncio.sleep(0.01)
    async with asyncio.TaskGroup() as group:
        for server in (A, B, C):
            change = registry.change(lambda roster, server=server: rules.add(roster, server))  # type: ignore[misc] # mypy can't type a default of a lambda
            group.create_task(change, name=server.name)
    assert set(registry.roster.profiles) == {A, B, C}
    olds, news = zip(*seen.changes, strict=True)
    assert olds == (Roster(), *news[:-1])


@fake_time
async def test_a_failing_store_leaves_what_is_known() -> None:
    keeper = FakeRosterStore(rules.add(Roster(), A))
    registry, seen = await opened(keeper)

    async def fails() -> None:
        raise StorageError("The disk is full.")

    keeper.before_update = fails
    with pytest.raises(StorageError):
        await registry.change(lambda roster: rules.add(roster, B))
    assert registry.roster.profiles == (A,)
    keeper.before_update = None
    await registry.change(lambda roster: rules.add(roster, B))
    assert seen.changes[-1][1].profiles == (A, B)


@fake_time
async def test_another_process_change_is_taken_over_at_the_next_refresh() -> None:
    keeper = FakeRosterStore(rules.add(Roster(), A))
    registry, seen = await opened(keeper)
    keeper.change_elsewhere(lambda roster: rules.add(roster, B, activate=True))
    await registry.refresh()
    assert registry.roster.active is B
    assert [new.generation for _, new in seen.changes] == [2]


@fake_time
async def test_a_refresh_reads_no_servers_where_nothing_changed() -> None:
    keeper = FakeRosterStore(rules.add(Roster(), A))
    registry, seen = await opened(keeper)
    loads = keeper.loads
    await registry.refresh()
    assert keeper.loads == loads
    assert seen.changes == []


@fake_time
async def test_a_change_waits_for_a_refresh_under_way() -> None:
    # The race: a refresh has read the servers, a change adds one more and is done first; taken
    # over after that, what was read would undo the change in this process.
    keeper = FakeRosterStore(rules.add(Roster(), A))
    registry, seen = await opened(keeper)
    keeper.change_elsewhere(lambda roster: rules.add(roster, B))
    keeper.after_load = lambda: asyncio.sleep(1)
    async with asyncio.TaskGroup() as group:
        group.create_task(registry.refresh(), name="refresh")
        await asyncio.sleep(0.5)
        group.create_task(registry.change(lambda roster: rules.add(roster, C)), name="change")
    assert registry.roster.profiles == (A, B, C)
    assert [new.revision for _, new in seen.changes] == [1, 2]


@fake_time
async def test_a_refresh_waits_for_a_change_under_way() -> None:
    # The race: a refresh that reads between a change's commit and its return would take the older
    # roster over the newer one.
    keeper = FakeRosterStore(rules.add(Roster(), A))
    registry, seen = await opened(keeper)
    gate = asyncio.Event()

    async def wait() -> None:
        await gate.wait()

    keeper.before_update = wait
    async with asyncio.TaskGroup() as group:
        group.create_task(registry.change(lambda roster: rules.add(roster, B)), name="change")
        await asyncio.sleep(0)
        group.create_task(registry.refresh(), name="refresh")
        await asyncio.sleep(1)
        gate.set()
    assert registry.roster.profiles == (A, B)
    assert [new.revision for _, new in seen.changes] == [1]


@fake_time
async def test_a_server_that_did_not_change_stays_the_same_object_when_it_is_read_again() -> None:
    # Read again, its password is another object; it would look edited, and be checked anew.
    known = replace(A, basic_auth_password=Secret("one"))
    keeper = FakeRosterStore(rules.add(Roster(), known))
    registry, _ = await opened(keeper)
    read_again = replace(known, basic_auth_password=Secret("one"))
    keeper.change_elsewhere(
        lambda roster: rules.add(replace(roster, profiles=(read_again,)), B, activate=True)
    )
    await registry.refresh()
    assert registry.roster.profiles[0] is known
    assert registry.roster.active is B


@fake_time
async def test_a_server_that_was_edited_elsewhere_is_the_new_one() -> None:
    keeper = FakeRosterStore(rules.add(Roster(), A))
    registry, seen = await opened(keeper)
    later = EPOCH + timedelta(seconds=1)
    keeper.change_elsewhere(lambda roster: rules.edit(roster, A.id, later, label="New"))
    await registry.refresh()
    assert registry.roster.require(A.id).label == "New"
    assert len(seen.changes) == 1


async def test_a_change_whose_caller_is_cancelled_is_in_force_here_as_on_disk() -> None:
    keeper, seen = FakeRosterStore(), Seen()
    registry = Registry(keeper, changed=seen)
    writing, go_on = asyncio.Event(), asyncio.Event()

    async def held() -> None:
        writing.set()
        await go_on.wait()

    keeper.before_update = held
    async with asyncio.TaskGroup() as group:
        change = group.create_task(registry.change(lambda roster: rules.add(roster, A)))
        await writing.wait()
        change.cancel()
        go_on.set()
    assert change.cancelled()
    assert keeper.stored.profiles == registry.roster.profiles == (A,)


@fake_time
async def test_a_switch_does_not_wait_until_the_vault_is_unlocked_for_a_new_password() -> None:
    keeper = FakeRosterStore(rules.add(rules.add(Roster(), A), B), locked=True)
    registry, _ = await opened(keeper)
    unlocking, go_on = asyncio.Event(), asyncio.Event()

    async def ask_keyring() -> None:
        unlocking.set()
        await go_on.wait()

    keeper.before_unlock = ask_keyring
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
    keeper = FakeRosterStore(rules.add(Roster(), A), locked=True)
    registry, seen = await opened(keeper)

    async def fail() -> None:
        raise StorageError("The keyring is locked.")

    keeper.before_unlock = fail
    secured = replace(B, basic_auth_password=Secret("pw"))
    with pytest.raises(StorageError, match="locked"):
        await registry.change(lambda roster: rules.add(roster, secured))
    assert registry.roster.profiles == keeper.stored.profiles == (A,)
    assert seen.changes == []


def without(server_id: str) -> Rule:
    return lambda roster: rules.remove(roster, server_id, lambda _: State.UNKNOWN)


@fake_time
async def test_a_removal_is_undone_on_what_is_really_kept_then() -> None:
    keeper = FakeRosterStore(rules.add(rules.add(Roster(), A), B))
    registry, seen = await opened(keeper)
    assert (await registry.remove(A.id, without(A.id))).active is B
    keeper.change_elsewhere(lambda roster: rules.add(roster, C, activate=True))
    after = await registry.restore(A.id)
    assert after == registry.roster == keeper.stored
    assert (after.profiles, after.active) == ((A, B, C), C)
    assert seen.changes[-1][1] is after
    assert keeper.undone_removals == [A.id]


@fake_time
async def test_a_removal_that_is_undone_already_stays_so() -> None:
    registry, _ = await opened(FakeRosterStore(rules.add(Roster(), A)))
    await registry.remove(A.id, without(A.id))
    async with asyncio.TaskGroup() as group:
        for name in ("first", "second"):
            group.create_task(registry.restore(A.id), name=name)
    assert registry.roster.revision == 2


@fake_time
async def test_a_removal_can_be_undone_for_a_while_and_once_for_each_time() -> None:
    registry, _ = await opened(FakeRosterStore(rules.add(Roster(), A)))
    await registry.remove(A.id, without(A.id))
    await registry.restore(A.id)
    await registry.remove(A.id, without(A.id))
    await advance_time(UNDO_SECONDS + 0.1)
    with pytest.raises(ServerNotFound, match="undone"):
        await registry.restore(A.id)


@fake_time
async def test_a_removal_made_elsewhere_cannot_be_undone_here() -> None:
    keeper = FakeRosterStore(rules.add(Roster(), A))
    registry, _ = await opened(keeper)
    keeper.change_elsewhere(without(A.id))
    await registry.refresh()
    with pytest.raises(ServerNotFound):
        await registry.restore(A.id)


@fake_time
async def test_an_undo_that_failed_can_be_tried_again() -> None:
    keeper = FakeRosterStore(rules.add(Roster(), A))
    registry, _ = await opened(keeper)
    await registry.remove(A.id, without(A.id))
    keeper.change_elsewhere(lambda roster: rules.add(roster, profile(9, url=A.url)))
    with pytest.raises(DuplicateServer):
        await registry.restore(A.id)
    keeper.change_elsewhere(without(profile(9).id))
    assert (await registry.restore(A.id)).profiles == (A,)


async def test_a_removal_whose_caller_is_cancelled_can_be_undone() -> None:
    keeper, seen = FakeRosterStore(rules.add(Roster(), A)), Seen()
    registry = Registry(keeper, changed=seen)
    await registry.load()
    writing, go_on = asyncio.Event(), asyncio.Event()

    async def held() -> None:
        writing.set()
        await go_on.wait()

    keeper.before_update = held
    async with asyncio.TaskGroup() as group:
        removing = group.create_task(registry.remove(A.id, without(A.id)))
        await writing.wait()
        removing.cancel()
        go_on.set()
    assert registry.roster.profiles == ()
    assert (await registry.restore(A.id)).profiles == (A,)
