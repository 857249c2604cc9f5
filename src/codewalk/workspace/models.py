"""The models of one server, and the one that is selected for it."""

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
"""Characters of a model's name."""

MAX_MODELS: Final = 6_000
"""Models of a list. models.dev knows five thousand, of all providers; parsing so many holds the
event loop for 40 ms, and twenty thousand for a quarter of a second."""

MAX_TEXT: Final = 2**20
"""Characters of a list's ids and names; five thousand real models have less than half as many."""

MAX_COMPARED: Final = 2_000
"""Models that are searched for ones with a similar name."""

MAX_COMPARED_LENGTH: Final = 100
"""Characters of a name that are compared."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Model:
    """A model of a connected provider."""

    provider_id: str
    model_id: str
    name: str

    @property
    def ref(self) -> str:
        """`provider/model`; a model's id may have slashes too."""
        return f"{self.provider_id}/{self.model_id}"

    def to_json(self) -> dict[str, Any]:
        return {"provider_id": self.provider_id, "model_id": self.model_id, "name": self.name}


Models = tuple[Model, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Catalog:
    """A server's models, and its own default as `provider/model`."""

    models: Models = ()
    default: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelList:
    """The models of one server's connected providers, and the selection for that server.

    `selected` and `default`, which the server uses where none is selected, are `provider/model` or
    None. `fetched_at` is when the server was asked, None where it never was: then the list is
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
    """Fetch the list of models, and cache it.

    Raises:
        RequestFailed: The server can't be reached, or its answer isn't a list.
    """
    start = scope.begin_fetch()
    body = await connection.get_json("/config/providers")
    providers = body.get("providers") if isinstance(body, dict) else None
    if not isinstance(providers, list):
        raise RequestFailed(Reason.NOT_OPENCODE, "Its list of providers isn't a list.")
    parsed = (model for provider in providers for model in _parse_provider(provider))
    models = tuple(take_within(islice(parsed, MAX_MODELS), MAX_TEXT, _length))
    catalog = _Catalog(models=models, default=_default(models, body.get("default")))
    await scope.put_cached(_SERIALIZER, catalog, start)
    return await _model_list(scope, catalog, "live", start.at)


async def cached_models(scope: Scope) -> ModelList:
    """Return the list as last fetched, an empty one where it never was. Asks no server."""
    stored = await scope.get_cached(_SERIALIZER)
    if stored is None:
        return await _model_list(scope, _Catalog(), "cache", None)
    return await _model_list(scope, stored.value, "cache", stored.updated_at)


async def select_model(scope: Scope, available: ModelList, ref: str) -> ModelList:
    """Store which of the available models is selected for this server.

    Raises:
        InvalidValue: `ref` is no `PROVIDER/MODEL`, or of no available model.
    """
    chosen = find_model(available, ref)
    if chosen is None:
        similar = await asyncio.to_thread(_similar, ref.strip(), available.models)
        hint = f" Similar ones: {', '.join(similar)}." if similar else ""
        raise InvalidValue(
            f"The server has no model {ref.strip()!r}.{hint} `codewalk model list` shows all.",
            value=ref,
        )
    await scope.put(
        {StateName.SELECTED_PROVIDER: chosen.provider_id, StateName.SELECTED_MODEL: chosen.model_id}
    )
    return replace(available, selected=chosen.ref)


async def clear_selection(scope: Scope, available: ModelList) -> ModelList:
    """Select no model for this server: it uses its own default."""
    await scope.delete(StateName.SELECTED_PROVIDER, StateName.SELECTED_MODEL)
    return replace(available, selected=None)


def find_model(available: ModelList, ref: str) -> Model | None:
    """Return the model that a `PROVIDER/MODEL` names, None where it isn't available.

    Raises:
        InvalidValue: `ref` has another form.
    """
    wanted = ref.strip()
    provider_id, _, model_id = wanted.partition("/")
    if not (provider_id and model_id):
        raise InvalidValue(f"{ref!r} isn't a model; write PROVIDER/MODEL.", value=ref)
    # The whole is compared: a provider's id may have a slash too.
    return next((model for model in available.models if model.ref == wanted), None)


def _similar(ref: str, models: Iterable[Model]) -> list[str]:
    # Bounded: comparing takes long for long texts, and how long they are is the server's choice.
    refs = (model.ref for model in models if len(model.ref) <= MAX_COMPARED_LENGTH)
    compared = islice(refs, MAX_COMPARED)
    return get_close_matches(ref[:MAX_COMPARED_LENGTH], compared, n=3, cutoff=0.4)


async def selected_model(scope: Scope) -> str | None:
    """Return the selection for this server as `provider/model`."""
    provider = await scope.get(StateName.SELECTED_PROVIDER)
    model = await scope.get(StateName.SELECTED_MODEL)
    return f"{provider.value}/{model.value}" if provider and model else None


async def _model_list(
    scope: Scope, catalog: _Catalog, source: Literal["live", "cache"], fetched_at: datetime | None
) -> ModelList:
    return ModelList(
        server_id=scope.server_id,
        selected=await selected_model(scope),
        models=catalog.models,
        default=catalog.default,
        source=source,
        fetched_at=fetched_at,
    )


def _default(models: Models, defaults: Any) -> str | None:
    # A server names one for each provider, and uses that of its first one.
    if not (models and isinstance(defaults, dict)):
        return None
    first = models[0].provider_id
    refs = {model.ref for model in models}
    ref = f"{first}/{defaults.get(first)}"
    return ref if ref in refs else None


def _parse_provider(provider: Any) -> list[Model]:
    provider_id = parse_id(provider.get("id")) if isinstance(provider, dict) else None
    models = provider.get("models") if provider_id else None
    if provider_id is None or not isinstance(models, dict):
        return []
    return [
        Model(provider_id=provider_id, model_id=model_id, name=_parse_name(model) or model_id)
        for model_id, model in models.items()
        if parse_id(model_id)
    ]


def _length(model: Model) -> int:
    return len(model.ref) + len(model.name)


def _parse_name(model: Any) -> str:
    return parse_text(model.get("name"), MAX_NAME) if isinstance(model, dict) else ""


def _dump(catalog: _Catalog) -> dict[str, Any]:
    rows = [[model.provider_id, model.model_id, model.name] for model in catalog.models]
    return {"default": catalog.default, "models": rows}


def _load(value: Any) -> _Catalog:
    models = (
        Model(provider_id=provider_id, model_id=model_id, name=name)
        for provider_id, model_id, name in value["models"]
    )
    return _Catalog(default=value["default"], models=tuple(models))


_SERIALIZER: Final = Serializer(name=StateName.CACHED_MODELS, dump=_dump, load=_load)
