"""The OpenAPI document of the API: that of FastAPI, with its errors and its security added."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from codewalk.web.problems import MEDIA_TYPE
from codewalk.web.responses import ProblemBody

_DESCRIPTIONS: Final[Mapping[int, str]] = MappingProxyType(
    {
        400: "The body isn't JSON",
        401: "The token is missing or wrong",
        403: "The host name isn't allowed, or the change came from another site",
        404: "No such server",
        405: "The method isn't allowed here",
        409: "A rule forbids it as things stand; `code` says which",
        413: "The body is too large",
        422: "A value was refused",
        500: "A fault of CodeWalk itself",
        502: "The server can't be reached",
        503: "The store can't be read or written",
    }
)

_ACTIVE_SERVER_PATHS: Final = ("/sessions", "/projects", "/models")
"""Calls that ask the active server."""

_COMMON_STATUSES: Final = (401, 403, 413, 422, 500, 503)
"""The error statuses of every call."""


def make_document(web: FastAPI) -> dict[str, Any]:
    """Return the document, with every response declared."""
    document = get_openapi(title=web.title, version=web.version, routes=web.routes)
    components = document["components"]
    schemas = components["schemas"]
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    problem = ProblemBody.model_json_schema(
        mode="serialization", ref_template="#/components/schemas/{model}"
    )
    schemas |= problem.pop("$defs") | {"ProblemBody": problem}
    components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    for path, item in document["paths"].items():
        for operation in item.values():
            _declare_errors(path, operation)
    return document


def _declare_errors(path: str, operation: dict[str, Any]) -> None:
    statuses = {*_COMMON_STATUSES, *_specific_statuses(path, operation)}
    operation["security"] = [{"token": []}]
    if path.endswith("/healthz"):
        operation["security"] = []
        statuses -= {401}
    responses = operation["responses"]
    for status in sorted(statuses):
        responses[str(status)] = {
            "description": _DESCRIPTIONS[status],
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemBody"}}},
        }


def _specific_statuses(path: str, operation: dict[str, Any]) -> set[int]:
    """Return the error statuses that only some calls have."""
    statuses = {405}
    if "requestBody" in operation:
        statuses |= {400, 409, 404}
    if "{id}" in path:
        statuses |= {404, 409}
    if "requestBody" in operation or path.endswith(_ACTIVE_SERVER_PATHS):
        statuses |= {502}
    if path.endswith((*_ACTIVE_SERVER_PATHS, "/active")):
        statuses |= {409}
    return statuses
