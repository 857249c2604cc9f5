"""A removal takes all_rows of a server from the disk, and an undo brings all of it back."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from codewalk.errors import DuplicateServer, ServerNotFound, StorageError
from codewalk.health.status import HealthStatus
from codewalk.history.history import Batch, MinuteRecord, Transition
from codewalk.history.period import DAY, EPOCH, Period
from codewalk.history.recent_checks import RecentChecks
from codewalk.reason import Reason, State
from codewalk.secret import Secret
from codewalk.servers.removal import Removal
from codewalk.servers.roster import Roster
from codewalk.servers.rules import add, edit, move, remove, restore, set_default, switch
from codewalk.settings import Settings
from codewalk.storage.database import open_database
from codewalk.storage.tables import METADATA
from tests.integration.storage.conftest import Stores
from tests.integration.storage.workers import profile, unknown

NOW = datetime(2026, 2, 9, 20, 51, 50, 489123, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Original:
    """Three servers, of which the one in the middle has a password, health, history and state."""

    roster: Roster
    server_id: str


@pytest.fixture
async def original(stores: Stores) -> Original:
    server = profile("http://b", label="B", basic_auth_password=Secret("of b"))
    several = (profile("http://a"), server, profile("http://c"))

    def decide(roster: Roster) -> Roster:
        for each in several:
            roster = add(roster, each)
        return set_default(switch(roster, server.id), server.id)

    await stores.unlocked()
    roster = await stores.roster.update(Roster(), decide)
    await stores.state.put(server.id, {f"k::{server.id}": b"\0\xff", f"l::{server.id}": b""}, NOW)
    await stores.health.save({p.id: HealthStatus(reason=Reason.DNS) for p in several})
    for _ in range(2):
        await stores.history.save(_day_before(server.id))
        await stores.history.compact("", NOW)
    await stores.history.save(_day_before(server.id))
    return Original(roster=roster, server_id=server.id)


def _day_before(server_id: str) -> Batch:
    tape = RecentChecks()
    tape.add((NOW - EPOCH) // timedelta(milliseconds=1), Reason.OK, 3141)
    period = Period(begins=NOW.replace(second=0, microsecond=0) - 2 * DAY, checks=6)
    change = Transition(
        at=NOW - DAY, before=State.UNKNOWN, after=State.HEALTHY, reason=Reason.OK, detail="☃"
    )
    noted = MinuteRecord(server_id=server_id, period=period, checks=tape.take_unsaved())
    return Batch(minutes=[noted], transitions=[(server_id, change)])


async def remove_server(
    stores: Stores, original: Original, cached: Roster | None = None
) -> Removal:
    _, removal = await stores.roster.remove(
        cached or original.roster,
        original.server_id,
        lambda r: remove(r, original.server_id, unknown),
    )
    return removal


async def restore_server(stores: Stores, removal: Removal, cached: Roster | None = None) -> Roster:
    return await stores.roster.update(
        cached or await stores.roster.load(),
        lambda r: restore(r, removal.server_id, removal.before),
        undo=removal,
    )


async def all_rows(stores: Stores) -> Mapping[str, list[tuple[Any, ...]]]:
    """Each row of the store but for the list's positions and the counters."""

    def read(connection: Any) -> Mapping[str, list[tuple[Any, ...]]]:
        return {
            table.name: sorted(
                tuple(row)
                for row in connection.execute(
                    select(*(c for c in table.columns if c.name != "position"))
                )
                if row[0] not in ("revision", "generation")
            )
            for table in METADATA.sorted_tables
        }

    return await stores.database.read(read)


async def test_an_undo_leaves_the_store_as_if_nothing_had_been_removed(
    stores: Stores, original: Original
) -> None:
    before = await all_rows(stores)

    removal = await remove_server(stores, original)
    assert original.server_id not in str(await all_rows(stores))
    roster = await restore_server(stores, removal)

    # The sealed password too: it was neither opened nor sealed anew.
    assert await all_rows(stores) == before
    assert [p.id for p in roster.profiles] == [p.id for p in original.roster.profiles]
    assert (roster.active_id, roster.generation) == (
        original.server_id,
        original.roster.generation + 2,
    )
    password = roster.require(original.server_id).basic_auth_password
    assert password is not None
    assert password.reveal() == "of b"
    loaded = await stores.roster.load()
    assert [p.id for p in loaded.profiles] == [p.id for p in original.roster.profiles]


async def test_an_undo_leaves_what_others_changed_meanwhile(
    stores: Stores, other: Stores, original: Original
) -> None:
    first, _, last = (p.id for p in original.roster.profiles)
    removal = await remove_server(stores, original)
    stale = await stores.roster.load()

    await other.roster.update(stale, lambda r: add(r, profile("http://new")))
    await other.roster.update(stale, lambda r: edit(r, last, NOW, label="Last"))
    await other.roster.update(stale, lambda r: move(r, last, first))
    await other.roster.update(stale, lambda r: set_default(switch(r, last), last))
    roster = await restore_server(stores, removal, cached=stale)

    urls = [p.url for p in roster.profiles]
    assert urls == ["http://b", "http://c", "http://a", "http://new"]
    assert [p.url for p in (await stores.roster.load()).profiles] == urls
    assert (roster.active_id, roster.default_id) == (last, last)
    assert roster.require(last).label == "Last"
    assert len(await stores.state.list(original.server_id)) == 2


async def test_an_undo_that_is_refused_brings_nothing_back(
    stores: Stores, other: Stores, original: Original
) -> None:
    removal = await remove_server(stores, original)
    stale = await stores.roster.load()
    await other.roster.update(stale, lambda r: add(r, profile("http://x", label="b")))
    before = await all_rows(stores)

    with pytest.raises(DuplicateServer, match="label"):
        await restore_server(stores, removal, cached=stale)

    assert await all_rows(stores) == before


async def test_a_second_undo_changes_nothing(stores: Stores, original: Original) -> None:
    removal = await remove_server(stores, original)
    first = await restore_server(stores, removal)
    before = await all_rows(stores)
    assert (await restore_server(stores, removal)).revision == first.revision
    assert await all_rows(stores) == before


async def test_a_removal_that_is_refused_leaves_everything(
    stores: Stores, original: Original
) -> None:
    before = await all_rows(stores)
    with pytest.raises(ServerNotFound):
        await stores.roster.remove(original.roster, "gone", lambda r: remove(r, "gone", unknown))
    assert await all_rows(stores) == before


async def test_an_undo_needs_no_key(stores: Stores, original: Original, settings: Settings) -> None:
    wrong = replace(settings, secret_key=Secret("another key"))
    before = await all_rows(stores)
    async with open_database(wrong) as database:
        there = Stores.on(database, wrong)
        await restore_server(there, await remove_server(there, original, await there.roster.load()))
        assert not there.vault.unlocked
        await there.vault.unlock()
        password = (await there.roster.load()).require(original.server_id).basic_auth_password
        assert password is not None
        with pytest.raises(StorageError, match="another key"):
            password.reveal()
    assert await all_rows(stores) == before


async def test_state_stored_just_before_the_removal_is_restored(
    stores: Stores, other: Stores, original: Original
) -> None:
    # The race: original after the removal has read what is there, and gone with the server.
    for number in range(20):
        key = f"m{number}::{original.server_id}"
        removal, was_kept = await asyncio.gather(
            remove_server(stores, original, await stores.roster.load()),
            other.state.put(original.server_id, {key: b"late"}, NOW),
        )
        await restore_server(stores, removal)
        found = await stores.state.get(original.server_id, key)
        assert (found is not None) == was_kept
