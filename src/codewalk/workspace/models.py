"""The models that one server offers, and the one selected there."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from codewalk.errors import InvalidValue, RequestFailed
from codewalk.health.status import Reason
from codewalk.workspace.scope import Name, Scope

if TYPE_CHECKING:
    from codewalk.opencode.connection import Connection


MAX_ID: Final = 500
MAX_NAME: Final = 500
MAX_MODELS: Final = 20_000
MAX_NEAR: Final = 2_000
MAX_NEAR_LENGTH: Final = 100


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
    provider_id, _, model_id = ref.strip().partition("/")
    if not (provider_id and model_id):
        raise InvalidValue(f"{ref!r} isn't a model; write PROVIDER/MODEL.", value=ref)
    models = await _fetch(connection)
    chosen = ref.strip()
    # By the whole: a provider's id may have a slash too.
    model = next((model for model in models if model.ref == chosen), None)
    if model is None:
        near = await asyncio.to_thread(_near, chosen, models)
        hint = f"; near it: {', '.join(near)}" if near else ""
        raise InvalidValue(
            f"The server offers no model {chosen!r}{hint}. `codewalk model list` shows all.",
            value=ref,
        )
    await scope.put(
        {Name.SELECTED_PROVIDER: model.provider_id, Name.SELECTED_MODEL: model.model_id}
    )
    return ModelList(server_id=scope.server_id, selected=chosen, models=models)


def _near(ref: str, models: Iterable[Model]) -> list[str]:
    # Bounded: comparing takes long for long texts, and how long they are is the server's choice.
    refs = (model.ref for model in models if len(model.ref) <= MAX_NEAR_LENGTH)
    return get_close_matches(ref[:MAX_NEAR_LENGTH], islice(refs, MAX_NEAR), n=3, cutoff=0.4)


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
    found = (model for provider in providers for model in _models(provider))
    return tuple(islice(found, MAX_MODELS))


def _models(provider: Any) -> list[Model]:
    if not isinstance(provider, dict) or not _is_id(provider.get("id")):
        return []
    models = provider.get("models")
    if not isinstance(models, dict):
        return []
    return [
        Model(provider_id=provider["id"], model_id=model_id, name=_name(model, model_id))
        for model_id, model in models.items()
        if _is_id(model_id)
    ]


def _is_id(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= MAX_ID


def _name(model: Any, model_id: str) -> str:
    name = model.get("name") if isinstance(model, dict) else None
    return name[:MAX_NAME] if isinstance(name, str) and name else model_id
