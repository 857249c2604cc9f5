"""Limits of the removals that can be undone: their age and their number."""

import pytest

from codewalk.errors import ServerNotFound
from codewalk.servers.removal import MAX_REMOVALS, UNDO_SECONDS, Removal, Removals
from codewalk.servers.roster import Roster
from tests.fake_time import advance_time, fake_time


def removal(server_id: str = "a") -> Removal:
    return Removal(
        server_id=server_id, before=Roster(), sealed="v1.sealed", rows={"state": [{"value": b"x"}]}
    )


@fake_time
async def test_a_removal_is_remembered_for_ten_seconds() -> None:
    removals, added = Removals(), removal()
    removals.add(added)
    await advance_time(UNDO_SECONDS - 0.1)
    assert removals.require("a") is added
    await advance_time(0.2)
    with pytest.raises(ServerNotFound, match="10 s"):
        removals.require("a")


@fake_time
async def test_a_removal_that_was_undone_cannot_be_undone_again() -> None:
    removals = Removals()
    removals.add(removal())
    removals.discard("a")
    removals.discard("a")
    with pytest.raises(ServerNotFound):
        removals.require("a")


@fake_time
async def test_a_server_removed_again_has_the_whole_time_again() -> None:
    removals, again = Removals(), removal()
    removals.add(removal())
    await advance_time(UNDO_SECONDS - 1)
    removals.discard("a")
    removals.add(again)
    await advance_time(UNDO_SECONDS - 1)
    assert removals.require("a") is again


@fake_time
async def test_only_the_last_removals_are_remembered() -> None:
    removals = Removals()
    for number in range(MAX_REMOVALS + 1):
        removals.add(removal(f"{number}"))
    with pytest.raises(ServerNotFound):
        removals.require("0")
    for number in range(1, MAX_REMOVALS + 1):
        assert removals.require(f"{number}").server_id == f"{number}"


def test_the_repr_of_a_removal_shows_nothing_stored() -> None:
    assert "sealed" not in repr(removal())
    assert "value" not in repr(removal())
