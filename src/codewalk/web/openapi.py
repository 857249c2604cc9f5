"""The OpenAPI document of the API: what FastAPI knows of it, and what it can't know."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from codewalk.web.problems import MEDIA_TYPE
from codewalk.web.responses import ProblemBody

_MEANINGS: Final[Mapping[int, str]] = MappingProxyType(
    {
        400: "The body isn't JSON",
        401: "The token is missing or wrong",
        403: "The address isn't this app's, or the change came from another site",
        404: "No such server",
        405: "The address doesn't take that method",
        409: "A rule forbids it as things stand; `code` says which",
        413: "The body is too large",
        422: "A value was refused",
        500: "A fault of CodeWalk itself",
        502: "The server can't be reached",
        503: "The store can't be read or written",
    }
)

_OF_THE_ACTIVE: Final = ("/sessions", "/projects", "/models")
"""What is asked of the active server."""

_ALWAYS: Final = (401, 403, 413, 422, 500, 503)


def document(web: FastAPI) -> dict[str, Any]:
    """The document, with every answer declared."""
    made = get_openapi(title=web.title, version=web.version, routes=web.routes)
    parts = made["components"]
    schemas = parts["schemas"]
    for leftover in ("HTTPValidationError", "ValidationError"):
        schemas.pop(leftover, None)
    problem = ProblemBody.model_json_schema(
        mode="serialization", ref_template="#/components/schemas/{model}"
    )
    schemas |= problem.pop("$defs") | {"ProblemBody": problem}
    parts["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    for path, item in made["paths"].items():
        for operation in item.values():
            _complete(path, operation)
    return made


def _complete(path: str, operation: dict[str, Any]) -> None:
    statuses = {*_ALWAYS, *_specific(path, operation)}
    operation["security"] = [{"token": []}]
    if path.endswith("/healthz"):
        operation["security"] = []
        statuses -= {401}
    answers = operation["responses"]
    for status in sorted(statuses):
        answers[str(status)] = {
            "description": _MEANINGS[status],
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemBody"}}},
        }


def _specific(path: str, operation: dict[str, Any]) -> set[int]:
    """The further statuses that this operation can answer with."""
    found = {405}
    if "requestBody" in operation:
        found |= {400, 409, 404}
    if "{id}" in path:
        found |= {404, 409}
    if "requestBody" in operation or path.endswith(_OF_THE_ACTIVE):
        found |= {502}
    if path.endswith((*_OF_THE_ACTIVE, "/active")):
        found |= {409}
    return found
