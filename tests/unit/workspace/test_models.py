"""The models of one server, and the one selected there."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codewalk.errors import InvalidValue, RequestFailed
from codewalk.health.status import Reason
from codewalk.workspace.models import (
    MAX_ID,
    MAX_MODELS,
    MAX_NAME,
    Model,
    ModelList,
    list_models,
    selected,
    use_model,
)
from codewalk.workspace.scope import Scope
from tests.fake_time import fake_time
from tests.fakes import FakeConnection, FakeStateKeeper, page, says

A, B = "server-a", "server-b"
PROVIDERS = {
    "providers": [
        {"id": "anthropic", "models": {"claude": {"name": "Claude"}, "claude-mini": {}}},
        {"id": "router", "models": {"vendor/model": {"name": "Vendor's"}}},
    ],
    "default": {"anthropic": "claude"},
}


def offering(body: Any) -> FakeConnection:
    return FakeConnection({"/config/providers": says(body)})


async def listed(body: Any) -> ModelList:
    return await list_models(Scope(FakeStateKeeper(), A), offering(body))


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
async def test_what_is_no_list_is_an_error_of_that_server(body: Any) -> None:
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
async def test_what_is_no_provider_or_model_is_left_out(provider: Any) -> None:
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


@pytest.mark.parametrize("ref", ["anthropic/claude", " router/vendor/model\n"])
@fake_time
async def test_a_model_is_selected_for_its_server_alone(ref: str) -> None:
    keeper = FakeStateKeeper()
    used = await use_model(Scope(keeper, A), offering(PROVIDERS), ref)
    assert used.selected == ref.strip()
    assert (await list_models(Scope(keeper, A), offering(PROVIDERS))).selected == ref.strip()
    assert await selected(Scope(keeper, B)) is None


@fake_time
async def test_a_provider_with_a_slash_in_its_id_is_kept_as_it_is() -> None:
    keeper = FakeStateKeeper()
    odd = offering({"providers": [{"id": "a/b", "models": {"c": {}}}]})
    await use_model(Scope(keeper, A), odd, "a/b/c")
    assert keeper.kept[A, f"selected_provider::{A}"].value == b'"a/b"'
    assert keeper.kept[A, f"selected_model::{A}"].value == b'"c"'


@pytest.mark.parametrize("ref", ["", "claude", "/", "anthropic/", "/claude", "  /  "])
@fake_time
async def test_what_is_no_model_is_refused_before_the_server_is_asked(ref: str) -> None:
    connection = offering(PROVIDERS)
    with pytest.raises(InvalidValue, match="PROVIDER/MODEL"):
        await use_model(Scope(FakeStateKeeper(), A), connection, ref)
    assert connection.asked == []


async def test_a_model_that_is_not_offered_is_refused_with_what_is_near() -> None:
    keeper = FakeStateKeeper()
    with pytest.raises(InvalidValue) as refused:
        await use_model(Scope(keeper, A), offering(PROVIDERS), "anthropic/cloude")
    assert "near it: anthropic/claude" in refused.value.message
    assert refused.value.value == "anthropic/cloude"
    assert keeper.kept == {}


async def test_looking_for_what_is_near_is_bounded() -> None:
    long: dict[str, Any] = {"ab" * 200 + str(number): {} for number in range(20_000)}
    connection = offering({"providers": [{"id": "p", "models": long}]})
    with pytest.raises(InvalidValue):
        await use_model(Scope(FakeStateKeeper(), A), connection, "p/" + "ba" * 200)


@fake_time
async def test_a_server_that_fails_changes_no_selection() -> None:
    keeper = FakeStateKeeper()
    await use_model(Scope(keeper, A), offering(PROVIDERS), "anthropic/claude")
    with pytest.raises(RequestFailed):
        await use_model(
            Scope(keeper, A), FakeConnection({"/config/providers": page()}), "router/vendor/model"
        )
    assert await selected(Scope(keeper, A)) == "anthropic/claude"
