"""The rules that change the roster, by example."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codewalk.errors import (
    DuplicateServer,
    InvalidValue,
    ServerManaged,
    ServerNotFound,
)
from codewalk.reason import State
from codewalk.secret import Secret
from codewalk.servers.health_check import HealthCheckSettings
from codewalk.servers.profile import ServerProfile
from codewalk.servers.references import find
from codewalk.servers.roster import Roster
from codewalk.servers.rules import (
    StateOf,
    add,
    edit,
    fallback,
    move,
    move_by,
    remove,
    require_unmanaged,
    restore,
    set_default,
    start,
    switch,
    upsert_managed,
)
from tests.fakes import EPOCH, profile

A, B, C = (
    profile(number, label=label) for number, label in ((1, "Able"), (2, "Baker"), (3, "Çöl"))
)
LATER = EPOCH + timedelta(hours=1)


def roster(active: int | None = 0, default: int | None = None) -> Roster:
    ids = (A.id, B.id, C.id)
    return Roster(
        profiles=(A, B, C),
        active_id=None if active is None else ids[active],
        default_id=None if default is None else ids[default],
        generation=5,
        revision=9,
    )


def states(a: str, b: str, c: str) -> StateOf:
    known = {A.id: State(a), B.id: State(b), C.id: State(c)}
    return known.__getitem__


def everyone(state: State) -> StateOf:
    return lambda _: state


def test_the_first_server_added_becomes_active() -> None:
    first = add(Roster(), A)
    assert (first.active_id, first.previous_id, first.default_id) == (A.id, None, None)
    assert first.generation == 1


def test_a_further_server_goes_to_the_end_and_leaves_the_active_one() -> None:
    second = add(add(Roster(), B), A)
    assert second.profiles == (B, A)
    assert second.active_id == B.id
    assert second.generation == 1


def test_a_server_may_be_added_as_active_and_default() -> None:
    second = add(add(Roster(), A), B, activate=True, default=True)
    assert (second.active_id, second.default_id, second.previous_id) == (B.id, B.id, A.id)


@pytest.mark.parametrize("label", ["able", "ABLE"])
def test_a_label_is_unique_in_any_case(label: str) -> None:
    with pytest.raises(DuplicateServer) as refused:
        add(roster(), profile(4, label=label))
    assert refused.value.value == label


def test_a_label_is_unique_in_any_case_in_any_script() -> None:
    with pytest.raises(DuplicateServer):
        add(add(Roster(), profile(8, label="Straße")), profile(9, label="STRASSE"))


def test_a_url_is_unique() -> None:
    with pytest.raises(DuplicateServer) as refused:
        add(roster(), profile(4, url=A.url))
    assert refused.value.value == A.url
    assert "Able" in refused.value.message


def test_an_edit_may_not_take_anothers_url_or_label() -> None:
    with pytest.raises(DuplicateServer):
        edit(roster(), B.id, LATER, url=A.url)
    with pytest.raises(DuplicateServer):
        edit(roster(), B.id, LATER, label="ABLE")


def test_an_edit_changes_the_named_fields_and_the_time() -> None:
    edited = edit(roster(), B.id, LATER, label="BAKER")
    assert edited.profiles == (A, replace(B, label="BAKER", updated_at=LATER), C)
    assert replace(edited, profiles=()) == replace(roster(), profiles=())


def test_an_edit_merges_settings_with_those_stored_by_then() -> None:
    # Not of what the one who edits has seen: another process may have set the other one.
    once = edit(roster(), B.id, LATER, health_check={"interval": 30, "fall": 5})
    again = edit(once, B.id, LATER, health_check={"interval": None, "timeout": 7})
    assert again.require(B.id).health_check == HealthCheckSettings(timeout=7, fall=5)
    assert edit(again, B.id, LATER, health_check={"timeout": 7}) is again
    with pytest.raises(InvalidValue):
        edit(roster(), B.id, LATER, health_check={"interval": 0})


def test_an_edit_that_changes_nothing_returns_the_same_roster() -> None:
    before = roster()
    assert edit(before, B.id, LATER, label="Baker", url=B.url) is before


@pytest.mark.parametrize(
    "rule",
    [
        lambda r: edit(r, "nobody", LATER, label="x"),
        lambda r: remove(r, "nobody", everyone(State.HEALTHY)),
        lambda r: move(r, "nobody", None),
        lambda r: move(r, A.id, "nobody"),
        lambda r: move_by(r, "nobody", 1),
        lambda r: switch(r, "nobody"),
        lambda r: set_default(r, "nobody"),
    ],
)
def test_a_rule_refuses_an_unknown_server(rule: Callable[[Roster], Roster]) -> None:
    with pytest.raises(ServerNotFound):
        rule(roster())


@pytest.mark.parametrize(
    ("moved", "before", "order"),
    [
        (A, C, (B, A, C)),
        (C, A, (C, A, B)),
        (C, B, (A, C, B)),
        (A, None, (B, C, A)),
        (B, B, (A, B, C)),
        (B, C, (A, B, C)),
        (C, None, (A, B, C)),
    ],
)
def test_a_server_moves_right_before_another_or_to_the_end(
    moved: ServerProfile, before: ServerProfile | None, order: tuple[ServerProfile, ...]
) -> None:
    after = move(roster(active=0, default=1), moved.id, before.id if before else None)
    assert after == replace(roster(active=0, default=1), profiles=order)


@pytest.mark.parametrize(
    ("moved", "places", "order"),
    [
        (B, -1, (B, A, C)),
        (B, 1, (A, C, B)),
        (A, -1, (A, B, C)),
        (C, 1, (A, B, C)),
        (A, 2, (B, C, A)),
        (C, -9, (C, A, B)),
    ],
)
def test_a_server_moves_by_places_and_no_further_than_the_end(
    moved: ServerProfile, places: int, order: tuple[ServerProfile, ...]
) -> None:
    assert move_by(roster(), moved.id, places).profiles == order


def test_a_switch_is_a_new_generation_and_remembers_the_previous_one() -> None:
    switched = switch(roster(active=0), C.id)
    assert (switched.active_id, switched.previous_id, switched.generation) == (C.id, A.id, 6)


def test_a_switch_to_the_active_server_changes_nothing() -> None:
    before = roster(active=0)
    assert switch(before, A.id) is before


def test_two_switches_back_and_forth_end_where_they_began() -> None:
    there = switch(roster(active=0), B.id)
    back = switch(there, find(there, "-").id)
    assert (back.active_id, back.previous_id, back.generation) == (A.id, B.id, 7)


@pytest.mark.parametrize(
    ("default", "health", "successor"),
    [
        # The active one, A, is removed.
        (2, ("healthy", "healthy", "healthy"), C),
        (2, ("healthy", "healthy", "unknown"), C),
        (2, ("healthy", "healthy", "unhealthy"), B),
        (None, ("healthy", "unhealthy", "healthy"), C),
        (None, ("healthy", "healthy", "healthy"), B),
        (None, ("healthy", "unhealthy", "unknown"), C),
        (None, ("healthy", "unknown", "unknown"), B),
        (None, ("healthy", "unknown", "healthy"), C),
        (None, ("healthy", "unhealthy", "unhealthy"), B),
        (2, ("healthy", "unhealthy", "unhealthy"), B),
        (0, ("healthy", "unhealthy", "healthy"), C),
    ],
)
def test_the_fallback_rule_chooses_the_next_server_when_the_active_one_is_removed(
    default: int | None, health: tuple[str, str, str], successor: object
) -> None:
    left = remove(roster(active=0, default=default), A.id, states(*health))
    assert left.active == successor
    assert left.generation == 6
    assert left.profiles == (B, C)


def test_no_server_is_active_when_the_last_one_is_removed() -> None:
    left = remove(set_default(add(Roster(), A), A.id), A.id, everyone(State.HEALTHY))
    assert (left.profiles, left.active_id, left.default_id) == ((), None, None)
    assert left.generation == 2
    assert fallback(left, everyone(State.HEALTHY)) is None


POINTERS = st.sampled_from([None, A.id, B.id, C.id, "of-no-server"])


@given(
    pointers=st.tuples(POINTERS, POINTERS, POINTERS),
    removed=st.sampled_from([A, B, C]),
    state=st.sampled_from(State),
)
def test_a_server_stays_active_whatever_ids_of_no_server_are_stored(
    pointers: tuple[str | None, str | None, str | None], removed: ServerProfile, state: State
) -> None:
    active_id, default_id, previous_id = pointers
    before = Roster(
        profiles=(A, B, C), active_id=active_id, default_id=default_id, previous_id=previous_id
    )
    left = remove(before, removed.id, everyone(state))
    if before.active and before.active != removed:
        assert left.active == before.active
    else:
        assert left.active in left.profiles
    back = restore(left, removed.id, before)
    assert back.active in back.profiles
    assert back.get(back.default_id) == before.get(default_id)
    switched = switch(before, B.id)
    assert switched.active == B
    assert switched.previous_id in {None, A.id, C.id} or active_id == B.id
    assert start(before).active in before.profiles


def test_removing_another_server_leaves_the_active_one_and_the_generation() -> None:
    left = remove(roster(active=0, default=1), B.id, everyone(State.UNHEALTHY))
    assert (left.active_id, left.default_id, left.generation) == (A.id, None, 5)


def test_a_removed_server_is_no_longer_the_previous_one() -> None:
    left = remove(switch(roster(active=0), B.id), A.id, everyone(State.HEALTHY))
    assert left.previous_id is None
    with pytest.raises(ServerNotFound, match="previously"):
        find(left, "-")


def test_the_server_that_takes_over_is_not_its_own_previous_one() -> None:
    switched = switch(roster(active=1), A.id)
    left = remove(switched, A.id, everyone(State.HEALTHY))
    assert (left.active_id, left.previous_id) == (B.id, None)


@pytest.mark.parametrize(
    ("active", "default", "expected"),
    [(0, 2, C), (1, None, B), (None, None, A), (None, 1, B), (2, 2, C)],
)
def test_on_start_the_default_is_active_else_the_last_one_else_the_first(
    active: int | None, default: int | None, expected: object
) -> None:
    before = roster(active=active, default=default)
    started = start(before)
    assert started.active == expected
    assert (started.generation > before.generation) == (started.active_id != before.active_id)


def test_on_start_without_servers_none_is_active() -> None:
    assert start(Roster()) == Roster()


def test_the_managed_server_keeps_its_id_when_its_url_changes() -> None:
    local = profile(7, managed=True, label="Local", basic_auth_enabled=True)
    first = upsert_managed(Roster(), local.url, Secret("one"), local, EPOCH)
    secret = Secret("two")
    moved = upsert_managed(first, "http://127.0.0.1:5555", secret, profile(8), LATER)
    assert [p.id for p in moved.profiles] == [local.id]
    assert moved.managed
    assert moved.managed.url == "http://127.0.0.1:5555"
    assert moved.managed.basic_auth_password is secret
    assert moved.active_id == local.id


def test_only_the_managed_server_is_protected() -> None:
    require_unmanaged(A, "edited")
    with pytest.raises(ServerManaged, match="removed"):
        require_unmanaged(replace(A, managed=True), "removed")


# What an undo brings back. `gone` is a roster without a server that `before` had.


def test_an_undo_right_after_the_removal_brings_back_all_but_the_generation() -> None:
    before = replace(roster(active=1, default=1), previous_id=C.id)
    gone = remove(before, B.id, everyone(State.UNKNOWN))
    assert restore(gone, B.id, before) == replace(before, generation=7)


def test_an_undo_activates_no_server_that_was_not_active() -> None:
    before = roster(active=0)
    gone = remove(before, B.id, everyone(State.UNKNOWN))
    assert restore(gone, B.id, before) == before


def test_an_undo_after_a_switch_leaves_the_server_that_is_active_now() -> None:
    before = roster(active=0)
    switched = switch(remove(before, A.id, everyone(State.UNKNOWN)), C.id)
    back = restore(switched, A.id, before)
    assert back == replace(switched, profiles=(A, B, C))


def test_an_undo_leaves_the_default_and_the_previous_server_of_others() -> None:
    before = replace(roster(active=0, default=1), previous_id=B.id)
    gone = set_default(switch(remove(before, B.id, everyone(State.UNKNOWN)), C.id), C.id)
    back = restore(gone, B.id, before)
    assert (back.active_id, back.default_id, back.previous_id) == (C.id, C.id, A.id)


def test_an_undo_of_a_removal_that_is_undone_changes_nothing() -> None:
    assert restore(roster(), B.id, roster()) == roster()


def test_a_list_that_an_undo_fills_again_has_an_active_server() -> None:
    # A switch came in between, to a server that is gone too.
    before = add(Roster(), A)
    empty = remove(before, A.id, everyone(State.UNKNOWN))
    empty = remove(add(empty, B), B.id, everyone(State.UNKNOWN))
    assert restore(empty, A.id, before).active_id == A.id


D = profile(4)


@pytest.mark.parametrize(
    ("now", "order"),
    [
        ((A, C), (A, B, C)),
        ((C, A), (B, C, A)),
        ((A,), (A, B)),
        ((A, D), (A, B, D)),
        ((D, C), (D, B, C)),
        ((D,), (D, B)),
        ((), (B,)),
    ],
)
def test_an_undo_finds_the_place_among_those_that_are_left(
    now: tuple[ServerProfile, ...], order: tuple[ServerProfile, ...]
) -> None:
    back = restore(replace(roster(active=None), profiles=now), B.id, roster())
    assert back.profiles == order


@pytest.mark.parametrize("taken", [{"url": B.url}, {"label": "BAKER"}])
def test_an_undo_is_refused_where_the_url_or_label_is_taken(taken: dict[str, str]) -> None:
    gone = remove(roster(), B.id, everyone(State.UNKNOWN))
    with pytest.raises(DuplicateServer):
        restore(add(gone, profile(4, **taken)), B.id, roster())
