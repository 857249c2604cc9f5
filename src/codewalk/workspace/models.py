"""The models that one server offers, and the one selected there."""

from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from codewalk.errors import InvalidValue, RequestFailed
from codewalk.health.status import Reason
from codewalk.workspace.scope import Name, Scope

if TYPE_CHECKING:
    from codewalk.opencode.connection import Connection


@dataclass(frozen=True, kw_only=True, slots=True)
class Model:
    """A model of a connected provider."""

    provider_id: str
    model_id: str
    name: str

    @property
    def ref(self) -> str:
        """As a person names it: `provider/model`; a model's id may itself have slashes."""
        return f"{self.provider_id}/{self.model_id}"

    def to_json(self) -> dict[str, Any]:
        return {"provider_id": self.provider_id, "model_id": self.model_id, "name": self.name}


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelList:
    """The models of one server's connected providers; `selected` is a `provider/model` or None."""

    server_id: str
    selected: str | None
    models: tuple[Model, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "server_id": self.server_id,
            "selected": self.selected,
            "models": [model.to_json() for model in self.models],
        }


async def list_models(scope: Scope, connection: "Connection") -> ModelList:
    """Asks the server. Raises `RequestFailed`."""
    models = await _fetch(connection)
    return ModelList(server_id=scope.server_id, selected=await selected(scope), models=models)


async def use_model(scope: Scope, connection: "Connection", ref: str) -> ModelList:
    """Keeps the selection for this server.

    Raises `InvalidValue` for a model that the server doesn't offer, and `RequestFailed`.
    """
    provider_id, slash, model_id = ref.strip().partition("/")
    if not (provider_id and slash and model_id):
        raise InvalidValue(f"{ref!r} isn't a model; write PROVIDER/MODEL.", value=ref)
    models = await _fetch(connection)
    if (chosen := f"{provider_id}/{model_id}") not in {model.ref for model in models}:
        near = get_close_matches(chosen, [model.ref for model in models], n=3, cutoff=0.4)
        hint = f"; near it: {', '.join(near)}" if near else ""
        raise InvalidValue(
            f"The server offers no model {chosen!r}{hint}. `codewalk model list` shows all.",
            value=ref,
        )
    await scope.put({Name.SELECTED_PROVIDER: provider_id, Name.SELECTED_MODEL: model_id})
    return ModelList(server_id=scope.server_id, selected=chosen, models=models)


async def selected(scope: Scope) -> str | None:
    """The selection kept for this server, as `provider/model`."""
    provider = await scope.get(Name.SELECTED_PROVIDER)
    model = await scope.get(Name.SELECTED_MODEL)
    return f"{provider.value}/{model.value}" if provider and model else None


async def _fetch(connection: "Connection") -> tuple[Model, ...]:
    body = await connection.get_json("/config/providers")
    providers = body.get("providers") if isinstance(body, dict) else None
    if not isinstance(providers, list):
        raise RequestFailed(Reason.NOT_OPENCODE, "Its list of providers isn't a list.")
    return tuple(model for provider in providers for model in _models(provider))


def _models(provider: Any) -> list[Model]:
    if not isinstance(provider, dict) or not isinstance(provider.get("id"), str):
        return []
    models = provider.get("models")
    if not isinstance(models, dict):
        return []
    return [
        Model(provider_id=provider["id"], model_id=model_id, name=_name(model, model_id))
        for model_id, model in models.items()
    ]


def _name(model: Any, model_id: str) -> str:
    name = model.get("name") if isinstance(model, dict) else None
    return name if isinstance(name, str) and name else model_id
