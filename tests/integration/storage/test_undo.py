"""A removal takes everything of a server from the disk, and an undo brings all of it back."""

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
from codewalk.servers.roster import Roster, add, edit, move, remove, restore, set_default, switch
from codewalk.settings import Settings
from codewalk.storage.database import open_database
from codewalk.storage.tables import METADATA
from tests.integration.storage.conftest import Stores
from tests.integration.storage.workers import profile, unknown

NOW = datetime(2026, 2, 9, 20, 51, 50, 489123, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Kept:
    """Three servers, of which the one in the middle has a password, health, history and state."""

    roster: Roster
    server_id: str


@pytest.fixture
async def kept(stores: Stores) -> Kept:
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
    return Kept(roster=roster, server_id=server.id)


def _day_before(server_id: str) -> Batch:
    tape = RecentChecks()
    tape.add((NOW - EPOCH) // timedelta(milliseconds=1), Reason.OK, 3141)
    period = Period(begins=NOW.replace(second=0, microsecond=0) - 2 * DAY, checks=6)
    change = Transition(
        at=NOW - DAY, before=State.UNKNOWN, after=State.HEALTHY, reason=Reason.OK, detail="☃"
    )
    noted = MinuteRecord(server_id=server_id, period=period, checks=tape.take_unsaved())
    return Batch(minutes=[noted], transitions=[(server_id, change)])


async def taken_away(stores: Stores, kept: Kept, known: Roster | None = None) -> Removal:
    _, removal = await stores.roster.remove(
        known or kept.roster, kept.server_id, lambda r: remove(r, kept.server_id, unknown)
    )
    return removal


async def bring_back(stores: Stores, removal: Removal, known: Roster | None = None) -> Roster:
    return await stores.roster.update(
        known or await stores.roster.load(),
        lambda r: restore(r, removal.server_id, removal.before),
        undo=removal,
    )


async def everything(stores: Stores) -> Mapping[str, list[tuple[Any, ...]]]:
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
    stores: Stores, kept: Kept
) -> None:
    before = await everything(stores)

    removal = await taken_away(stores, kept)
    assert kept.server_id not in str(await everything(stores))
    roster = await bring_back(stores, removal)

    # The sealed password too: it was neither opened nor sealed anew.
    assert await everything(stores) == before
    assert [p.id for p in roster.profiles] == [p.id for p in kept.roster.profiles]
    assert (roster.active_id, roster.generation) == (kept.server_id, kept.roster.generation + 2)
    password = roster.require(kept.server_id).basic_auth_password
    assert password is not None
    assert password.reveal() == "of b"
    loaded = await stores.roster.load()
    assert [p.id for p in loaded.profiles] == [p.id for p in kept.roster.profiles]


async def test_what_others_do_meanwhile_stays(stores: Stores, other: Stores, kept: Kept) -> None:
    first, _, last = (p.id for p in kept.roster.profiles)
    removal = await taken_away(stores, kept)
    stale = await stores.roster.load()

    await other.roster.update(stale, lambda r: add(r, profile("http://new")))
    await other.roster.update(stale, lambda r: edit(r, last, NOW, label="Last"))
    await other.roster.update(stale, lambda r: move(r, last, first))
    await other.roster.update(stale, lambda r: set_default(switch(r, last), last))
    roster = await bring_back(stores, removal, known=stale)

    urls = [p.url for p in roster.profiles]
    assert urls == ["http://b", "http://c", "http://a", "http://new"]
    assert [p.url for p in (await stores.roster.load()).profiles] == urls
    assert (roster.active_id, roster.default_id) == (last, last)
    assert roster.require(last).label == "Last"
    assert len(await stores.state.list(kept.server_id)) == 2


async def test_an_undo_that_is_refused_brings_nothing_back(
    stores: Stores, other: Stores, kept: Kept
) -> None:
    removal = await taken_away(stores, kept)
    stale = await stores.roster.load()
    await other.roster.update(stale, lambda r: add(r, profile("http://x", label="b")))
    before = await everything(stores)

    with pytest.raises(DuplicateServer, match="label"):
        await bring_back(stores, removal, known=stale)

    assert await everything(stores) == before


async def test_an_undo_of_what_is_there_again_changes_nothing(stores: Stores, kept: Kept) -> None:
    removal = await taken_away(stores, kept)
    first = await bring_back(stores, removal)
    before = await everything(stores)
    assert (await bring_back(stores, removal)).revision == first.revision
    assert await everything(stores) == before


async def test_a_removal_that_is_refused_leaves_everything(stores: Stores, kept: Kept) -> None:
    before = await everything(stores)
    with pytest.raises(ServerNotFound):
        await stores.roster.remove(kept.roster, "gone", lambda r: remove(r, "gone", unknown))
    assert await everything(stores) == before


async def test_an_undo_needs_no_key(stores: Stores, kept: Kept, settings: Settings) -> None:
    wrong = replace(settings, secret_key=Secret("another key"))
    before = await everything(stores)
    async with open_database(wrong) as database:
        there = Stores.on(database, wrong)
        await bring_back(there, await taken_away(there, kept, await there.roster.load()))
        assert not there.vault.unlocked
        await there.vault.unlock()
        password = (await there.roster.load()).require(kept.server_id).basic_auth_password
        assert password is not None
        with pytest.raises(StorageError, match="another key"):
            password.reveal()
    assert await everything(stores) == before


async def test_state_kept_at_the_last_moment_comes_back_too(
    stores: Stores, other: Stores, kept: Kept
) -> None:
    # The race: kept after the removal has read what is there, and gone with the server.
    for number in range(20):
        key = f"m{number}::{kept.server_id}"
        removal, was_kept = await asyncio.gather(
            taken_away(stores, kept, await stores.roster.load()),
            other.state.put(kept.server_id, {key: b"late"}, NOW),
        )
        await bring_back(stores, removal)
        found = await stores.state.get(kept.server_id, key)
        assert (found is not None) == was_kept
