"""The models of one server, and the one selected there."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codewalk.errors import InvalidValue, RequestFailed
from codewalk.opencode.fields import MAX_ID
from codewalk.reason import Reason
from codewalk.workspace.models import (
    MAX_MODELS,
    MAX_NAME,
    MAX_TEXT,
    Model,
    ModelList,
    cached_models,
    clear_selection,
    fetch_models,
    find_model,
    select_model,
    selected_model,
)
from codewalk.workspace.scope import Scope, StateName
from tests.fake_time import fake_time
from tests.fakes import FakeConnection, FakeStateStore, html_reply, json_reply

A, B = "server-a", "server-b"
PROVIDERS = {
    "providers": [
        {"id": "anthropic", "models": {"claude": {"name": "Claude"}, "claude-mini": {}}},
        {"id": "router", "models": {"vendor/model": {"name": "Vendor's"}}},
    ],
    "default": {"anthropic": "claude"},
}


def offering(body: Any) -> FakeConnection:
    return FakeConnection({"/config/providers": json_reply(body)})


async def listed(body: Any) -> ModelList:
    """The list parsed from `body`, which also comes back from the store."""
    scope = Scope(FakeStateStore(), A)
    live = await fetch_models(scope, offering(body))
    again = await cached_models(scope)
    assert again == replace(live, source="cache")
    return live


@fake_time
async def test_the_connected_providers_models_are_listed() -> None:
    models = await listed(PROVIDERS)
    assert models.models == (
        Model(provider_id="anthropic", model_id="claude", name="Claude"),
        Model(provider_id="anthropic", model_id="claude-mini", name="claude-mini"),
        Model(provider_id="router", model_id="vendor/model", name="Vendor's"),
    )
    assert models.to_json() == {
        "server_id": A,
        "selected": None,
        "models": [
            {"provider_id": "anthropic", "model_id": "claude", "name": "Claude"},
            {"provider_id": "anthropic", "model_id": "claude-mini", "name": "claude-mini"},
            {"provider_id": "router", "model_id": "vendor/model", "name": "Vendor's"},
        ],
    }


@pytest.mark.parametrize("body", [[], None, 5, {}, {"providers": {}}, {"providers": None}])
@fake_time
async def test_a_bad_answer_is_an_error_of_that_server(body: Any) -> None:
    with pytest.raises(RequestFailed) as failed:
        await listed(body)
    assert failed.value.reason is Reason.NOT_OPENCODE


@pytest.mark.parametrize(
    "provider",
    [
        None,
        5,
        "anthropic",
        [],
        {},
        {"id": 5, "models": {"m": {}}},
        {"id": "", "models": {"m": {}}},
        {"id": "x" * (MAX_ID + 1), "models": {"m": {}}},
        {"id": "p"},
        {"id": "p", "models": ["m"]},
        {"id": "p", "models": None},
        {"id": "p", "models": {"": {}}},
        {"id": "p", "models": {"x" * (MAX_ID + 1): {}}},
    ],
)
@fake_time
async def test_an_item_that_is_no_provider_or_model_is_left_out(provider: Any) -> None:
    models = await listed({"providers": [provider, *PROVIDERS["providers"]]})
    assert len(models.models) == 3


@pytest.mark.parametrize("model", [None, 5, [], {}, {"name": None}, {"name": 5}, {"name": ""}])
@fake_time
async def test_a_model_without_a_name_is_called_by_its_id(model: Any) -> None:
    models = await listed({"providers": [{"id": "p", "models": {"m": model}}]})
    assert models.models == (Model(provider_id="p", model_id="m", name="m"),)


async def test_names_and_lists_are_bounded() -> None:
    many = {f"m{number}": {"name": "x" * 10_000} for number in range(50)}
    models = await listed({"providers": [{"id": "p", "models": many}]})
    assert {len(model.name) for model in models.models} == {MAX_NAME}
    none: dict[str, Any] = {f"m{number}": None for number in range(MAX_MODELS + 1)}
    models = await listed({"providers": [{"id": "p", "models": none}]})
    assert len(models.models) == MAX_MODELS


@given(
    st.recursive(
        st.none() | st.booleans() | st.text(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["providers", "id", "models", "name"]), inner)
        ),
        max_leaves=12,
    )
)
def test_whatever_a_server_sends_is_a_list_or_its_error(body: Any) -> None:
    @fake_time
    async def run() -> None:
        try:
            (await listed(body)).to_json()
        except RequestFailed as failed:
            reason = failed.reason
        else:
            reason = Reason.NOT_OPENCODE
        assert reason is Reason.NOT_OPENCODE

    run()


async def use(keeper: FakeStateStore, connection: FakeConnection, ref: str) -> ModelList:
    scope = Scope(keeper, A)
    return await select_model(scope, await fetch_models(scope, connection), ref)


@pytest.mark.parametrize("ref", ["anthropic/claude", " router/vendor/model\n"])
@fake_time
async def test_a_model_is_selected_for_its_server_alone(ref: str) -> None:
    keeper = FakeStateStore()
    used = await use(keeper, offering(PROVIDERS), ref)
    assert used.selected == ref.strip()
    assert (await cached_models(Scope(keeper, A))).selected == ref.strip()
    assert (await fetch_models(Scope(keeper, A), offering(PROVIDERS))).selected == ref.strip()
    assert await selected_model(Scope(keeper, B)) is None
    assert (await cached_models(Scope(keeper, B))).models == ()


@fake_time
async def test_a_selection_can_be_cleared() -> None:
    keeper = FakeStateStore()
    used = await use(keeper, offering(PROVIDERS), "anthropic/claude")
    scope = Scope(keeper, A)
    await select_model(Scope(keeper, B), used, "anthropic/claude")
    assert await clear_selection(scope, used) == replace(used, selected=None)
    assert (await cached_models(scope)).selected is None
    assert await selected_model(Scope(keeper, B)) == "anthropic/claude"
    assert f"selected_model::{A}" not in {key for _, key in keeper.entries}
    await clear_selection(scope, used)


@fake_time
async def test_a_provider_with_a_slash_in_its_id_is_stored_whole() -> None:
    keeper = FakeStateStore()
    odd = offering({"providers": [{"id": "a/b", "models": {"c": {}}}]})
    await use(keeper, odd, "a/b/c")
    assert keeper.entries[A, f"selected_provider::{A}"].value == b'"a/b"'
    assert keeper.entries[A, f"selected_model::{A}"].value == b'"c"'


@pytest.mark.parametrize("ref", ["", "claude", "/", "anthropic/", "/claude", "  /  "])
@fake_time
async def test_a_reference_that_is_no_provider_and_model_is_refused(ref: str) -> None:
    with pytest.raises(InvalidValue, match="PROVIDER/MODEL"):
        find_model(await listed(PROVIDERS), ref)


async def test_a_model_that_is_not_available_is_refused_with_similar_ones() -> None:
    keeper = FakeStateStore()
    with pytest.raises(InvalidValue) as refused:
        await use(keeper, offering(PROVIDERS), "anthropic/cloude")
    assert "Similar ones: anthropic/claude" in refused.value.message
    assert refused.value.value == "anthropic/cloude"
    assert await selected_model(Scope(keeper, A)) is None


async def test_the_search_for_similar_models_is_bounded() -> None:
    long: dict[str, Any] = {"ab" * 200 + str(number): {} for number in range(20_000)}
    connection = offering({"providers": [{"id": "p", "models": long}]})
    with pytest.raises(InvalidValue):
        await use(FakeStateStore(), connection, "p/" + "ba" * 200)


@fake_time
async def test_a_server_that_fails_changes_neither_list_nor_selection() -> None:
    keeper = FakeStateStore()
    before = await use(keeper, offering(PROVIDERS), "anthropic/claude")
    with pytest.raises(RequestFailed):
        await use(
            keeper, FakeConnection({"/config/providers": html_reply()}), "router/vendor/model"
        )
    assert await cached_models(Scope(keeper, A)) == replace(before, source="cache")


@pytest.mark.parametrize(
    ("providers", "defaults", "default"),
    [
        (["a", "b"], {"b": "m", "a": "m"}, "a/m"),
        (["b", "a"], {"a": "m"}, None),
        (["a"], {"a": "of another release"}, None),
        (["a"], {"a": ["m"]}, None),
        (["a"], {"a": None}, None),
        (["a"], ["m"], None),
        (["a"], None, None),
        ([], {"a": "m"}, None),
    ],
)
@fake_time
async def test_the_servers_own_choice_is_that_of_its_first_provider(
    providers: list[str], defaults: Any, default: str | None
) -> None:
    offered = [{"id": provider_id, "models": {"m": {}}} for provider_id in providers]
    assert (await listed({"providers": offered, "default": defaults})).default == default


@fake_time
async def test_a_list_never_fetched_is_empty_and_says_so() -> None:
    cached = await cached_models(Scope(FakeStateStore(), A))
    assert (cached.models, cached.default, cached.fetched_at) == ((), None, None)


@pytest.mark.parametrize("value", [5, None, [], {}, {"models": 5}, {"models": [["p", "m"]]}])
@fake_time
async def test_a_list_that_cannot_be_loaded_counts_as_none(value: Any) -> None:
    scope = Scope(FakeStateStore(), A)
    await scope.put({StateName.CACHED_MODELS: value})
    assert (await cached_models(scope)).fetched_at is None


async def test_models_with_long_names_are_fewer() -> None:
    long: dict[str, Any] = {
        f"{n}".ljust(MAX_ID, "x"): {"name": "y" * MAX_NAME} for n in range(3000)
    }
    offered = {"providers": [{"id": "a", "models": {**long, "z": None}}]}
    models = (await listed(offered)).models
    assert sum(len(m.ref) + len(m.name) for m in models) <= MAX_TEXT
    assert 1000 < len(models) < 1100
    assert models[-1].model_id == "z"
