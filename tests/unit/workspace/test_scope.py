"""The stored state of one server, and its keys."""

import re
from urllib.parse import unquote

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from codewalk.workspace.scope import SEPARATOR, Scope, StateName, state_key
from tests.fake_time import fake_time
from tests.fakes import EPOCH, FakeStateStore, StoredEntry

A, B = "00000000-0000-4000-8000-00000000000a", "00000000-0000-4000-8000-00000000000b"

PARTS = st.text() | st.text(":%/3A\x00é\udcff.") | st.sampled_from(["", "::", "a::b", "%3A%3A"])
KEYS = st.tuples(st.sampled_from(StateName), PARTS, st.none() | PARTS)


def test_the_keys_are_those_of_the_interface() -> None:
    assert {*StateName} == {
        "all_sessions",
        "cached_sessions",
        "cached_projects",
        "cached_models",
        "current_session_id",
        "identity",
        "own_directory",
        "selected_provider",
        "selected_model",
    }
    assert state_key(StateName.SELECTED_MODEL, A) == f"selected_model::{A}"
    key = state_key(StateName.CACHED_SESSIONS, A, "/home/me/a project")
    assert key == f"cached_sessions::{A}::/home/me/a%20project"


@given(KEYS, KEYS)
@example((StateName.CACHED_SESSIONS, "a", "b::c"), (StateName.CACHED_SESSIONS, "a::b", "c"))
@example((StateName.CACHED_SESSIONS, "a", ""), (StateName.CACHED_SESSIONS, "a", None))
@example((StateName.CACHED_SESSIONS, "a", "%3A"), (StateName.CACHED_SESSIONS, "a", ":"))
def test_different_things_have_different_keys(
    one: tuple[StateName, str, str | None], other: tuple[StateName, str, str | None]
) -> None:
    assert (state_key(*one) == state_key(*other)) == (one == other)


@given(KEYS)
def test_no_part_can_hold_the_separator(what: tuple[StateName, str, str | None]) -> None:
    name, server_id, place = what
    parts = state_key(name, server_id, place).split(SEPARATOR)
    expected = [name.value, server_id] if place is None else [name.value, server_id, place]
    assert [unquote(part, errors="surrogatepass") for part in parts] == expected
    assert all(re.fullmatch(r"[A-Za-z0-9_.~/%-]*", part) for part in parts)


@given(st.text("abc/", min_size=1))
def test_a_path_stays_readable(place: str) -> None:
    assert state_key(StateName.CACHED_SESSIONS, A, place).endswith(f"::{place}")


@fake_time
async def test_prefetched_values_are_read_once_and_at_one_moment() -> None:
    keeper = FakeStateStore()
    scope = Scope(keeper, A)
    await scope.put({StateName.SELECTED_MODEL: "one"})
    await Scope(keeper, B).put({StateName.SELECTED_PROVIDER: "another's"})
    prefetched = await scope.prefetch(
        (StateName.SELECTED_MODEL, None), (StateName.SELECTED_PROVIDER, None)
    )
    await scope.put({StateName.SELECTED_MODEL: "two", StateName.SELECTED_PROVIDER: "late"})
    reads = keeper.reads
    stored = await prefetched.get(StateName.SELECTED_MODEL)
    assert stored is not None
    assert stored.value == "one"
    assert await prefetched.get(StateName.SELECTED_PROVIDER) is None
    assert keeper.reads == reads
    # What wasn't named is read when it is asked for, and the scope itself reads as ever.
    assert await prefetched.get(StateName.CURRENT_SESSION_ID, "/p") is None
    late = await scope.get(StateName.SELECTED_PROVIDER)
    assert late is not None
    assert late.value == "late"


@fake_time
async def test_a_stored_value_is_returned_with_its_time() -> None:
    scope = Scope(FakeStateStore(), A)
    assert await scope.get(StateName.SELECTED_MODEL) is None
    assert await scope.put({StateName.SELECTED_MODEL: "m"})
    stored = await scope.get(StateName.SELECTED_MODEL)
    assert stored
    assert stored.value == "m"
    assert stored.updated_at.tzinfo


@fake_time
async def test_several_values_are_stored_in_one_call() -> None:
    keeper = FakeStateStore()
    await Scope(keeper, A).put({StateName.SELECTED_PROVIDER: "p", StateName.SELECTED_MODEL: "m"})
    assert keeper.calls == [
        (A, {f"selected_provider::{A}": b'"p"', f"selected_model::{A}": b'"m"'}),
    ]


@fake_time
async def test_one_servers_scope_never_reaches_anothers_state() -> None:
    keeper = FakeStateStore()
    await Scope(keeper, A).put({StateName.CACHED_SESSIONS: ["a"]}, "/p")
    assert await Scope(keeper, B).get(StateName.CACHED_SESSIONS, "/p") is None
    await Scope(keeper, B).put({StateName.CACHED_SESSIONS: ["b"]}, "/p")
    stored = await Scope(keeper, A).get(StateName.CACHED_SESSIONS, "/p")
    assert stored
    assert stored.value == ["a"]
    assert {server_id for server_id, _ in keeper.entries} == {A, B}


@given(st.lists(st.tuples(st.sampled_from([A, B]), PARTS), min_size=2, max_size=6, unique=True))
def test_each_server_and_directory_has_its_own(places: list[tuple[str, str]]) -> None:
    assume(len(places) > 1)

    @fake_time
    async def run() -> None:
        keeper = FakeStateStore()
        for number, (server_id, place) in enumerate(places):
            await Scope(keeper, server_id).put({StateName.CACHED_SESSIONS: number}, place)
        for number, (server_id, place) in enumerate(places):
            stored = await Scope(keeper, server_id).get(StateName.CACHED_SESSIONS, place)
            assert stored
            assert stored.value == number

    run()


@fake_time
async def test_nothing_is_stored_for_a_removed_server() -> None:
    keeper = FakeStateStore()
    keeper.removed_servers.add(A)
    assert not await Scope(keeper, A).put({StateName.SELECTED_MODEL: "m"})
    assert keeper.entries == {}


@pytest.mark.parametrize("value", [b"", b"{", b"\xff", b"NaN"])
@fake_time
async def test_a_value_that_cannot_be_read_counts_as_none(value: bytes) -> None:
    keeper = FakeStateStore()
    key = state_key(StateName.SELECTED_MODEL, A)
    keeper.entries[A, key] = StoredEntry(value=value, updated_at=EPOCH)
    assert await Scope(keeper, A).get(StateName.SELECTED_MODEL) is None
