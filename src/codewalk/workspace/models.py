"""The models that one server offers, and the one selected there."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from difflib import get_close_matches
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, Literal

from codewalk.errors import InvalidValue, RequestFailed
from codewalk.opencode.fields import parse_id, parse_text, take_within
from codewalk.reason import Reason
from codewalk.workspace.scope import Scope, Serializer, StateName

if TYPE_CHECKING:
    from codewalk.opencode.connection import Connection


MAX_NAME: Final = 500
MAX_MODELS: Final = 6_000
"""All that models.dev knows, of all providers, are five thousand. So many hold the event loop for
40 ms when they are fetched, twenty thousand for a quarter of a second."""

MAX_TEXT: Final = 2**20
"""Characters of a list's ids and names; those of five thousand real models are less than half."""

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


Models = tuple[Model, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Offer:
    """What a server offers: its models, and which one it takes by itself, as `provider/model`."""

    models: Models = ()
    default: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelList:
    """The models of one server's connected providers; `selected` is a `provider/model` or None.

    `default` is the one that the server would take for a session without a choice, as far as it
    tells. `fetched_at` is when the server was asked, None where it never was: then the list is
    empty.
    """

    server_id: str
    selected: str | None
    models: Models
    default: str | None = None
    source: Literal["live", "cache"] = "live"
    fetched_at: datetime | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "server_id": self.server_id,
            "selected": self.selected,
            "models": [model.to_json() for model in self.models],
        }


async def fetch_models(scope: Scope, connection: "Connection") -> ModelList:
    """Asks the server, and keeps the answer in its scope. Raises `RequestFailed`."""
    asked = scope.begin_fetch()
    body = await connection.get_json("/config/providers")
    providers = body.get("providers") if isinstance(body, dict) else None
    if not isinstance(providers, list):
        raise RequestFailed(Reason.NOT_OPENCODE, "Its list of providers isn't a list.")
    found = (model for provider in providers for model in _models(provider))
    models = tuple(take_within(islice(found, MAX_MODELS), MAX_TEXT, _length))
    offer = Offer(models=models, default=_default(models, body.get("default")))
    await scope.put_cached(_SERIALIZER, offer, asked)
    return await _listed(scope, offer, "live", asked.at)


async def cached_models(scope: Scope) -> ModelList:
    """The list as last fetched; empty where it never was. Asks no server."""
    kept = await scope.get_cached(_SERIALIZER)
    if kept is None:
        return await _listed(scope, Offer(), "cache", None)
    return await _listed(scope, kept.value, "cache", kept.updated_at)


async def select_model(scope: Scope, offered: ModelList, ref: str) -> ModelList:
    """Keeps the selection for this server. Raises `InvalidValue` for a model not offered there."""
    chosen = find_model(offered, ref)
    if chosen is None:
        near = await asyncio.to_thread(_near, ref.strip(), offered.models)
        hint = f"; near it: {', '.join(near)}" if near else ""
        raise InvalidValue(
            f"The server offers no model {ref.strip()!r}{hint}. `codewalk model list` shows all.",
            value=ref,
        )
    await scope.put(
        {StateName.SELECTED_PROVIDER: chosen.provider_id, StateName.SELECTED_MODEL: chosen.model_id}
    )
    return replace(offered, selected=chosen.ref)


def find_model(offered: ModelList, ref: str) -> Model | None:
    """The model that `PROVIDER/MODEL` names, None where it isn't offered.

    Raises `InvalidValue` for what names none.
    """
    chosen = ref.strip()
    provider_id, _, model_id = chosen.partition("/")
    if not (provider_id and model_id):
        raise InvalidValue(f"{ref!r} isn't a model; write PROVIDER/MODEL.", value=ref)
    # By the whole: a provider's id may have a slash too.
    return next((model for model in offered.models if model.ref == chosen), None)


def _near(ref: str, models: Iterable[Model]) -> list[str]:
    # Bounded: comparing takes long for long texts, and how long they are is the server's choice.
    refs = (model.ref for model in models if len(model.ref) <= MAX_NEAR_LENGTH)
    return get_close_matches(ref[:MAX_NEAR_LENGTH], islice(refs, MAX_NEAR), n=3, cutoff=0.4)


async def selected_model(scope: Scope) -> str | None:
    """The selection kept for this server, as `provider/model`."""
    provider = await scope.get(StateName.SELECTED_PROVIDER)
    model = await scope.get(StateName.SELECTED_MODEL)
    return f"{provider.value}/{model.value}" if provider and model else None


async def _listed(
    scope: Scope, offer: Offer, source: Literal["live", "cache"], fetched_at: datetime | None
) -> ModelList:
    return ModelList(
        server_id=scope.server_id,
        selected=await selected_model(scope),
        models=offer.models,
        default=offer.default,
        source=source,
        fetched_at=fetched_at,
    )


def _default(models: Models, defaults: Any) -> str | None:
    """A server names one for each provider, and takes that of its first one."""
    if not (models and isinstance(defaults, dict)):
        return None
    first = models[0].provider_id
    refs = {model.ref for model in models}
    ref = f"{first}/{defaults.get(first)}"
    return ref if ref in refs else None


def _models(provider: Any) -> list[Model]:
    provider_id = parse_id(provider.get("id")) if isinstance(provider, dict) else None
    models = provider.get("models") if provider_id else None
    if provider_id is None or not isinstance(models, dict):
        return []
    return [
        Model(provider_id=provider_id, model_id=model_id, name=_name(model) or model_id)
        for model_id, model in models.items()
        if parse_id(model_id)
    ]


def _length(model: Model) -> int:
    return len(model.ref) + len(model.name)


def _name(model: Any) -> str:
    return parse_text(model.get("name"), MAX_NAME) if isinstance(model, dict) else ""


def _dump(offer: Offer) -> dict[str, Any]:
    rows = [[model.provider_id, model.model_id, model.name] for model in offer.models]
    return {"default": offer.default, "models": rows}


def _load(value: Any) -> Offer:
    models = (
        Model(provider_id=provider_id, model_id=model_id, name=name)
        for provider_id, model_id, name in value["models"]
    )
    return Offer(default=value["default"], models=tuple(models))


_SERIALIZER: Final = Serializer(name=StateName.CACHED_MODELS, dump=_dump, load=_load)
