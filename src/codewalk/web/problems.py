"""Errors as HTTP problems (RFC 9457); the status of each error is decided here only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from codewalk.errors import (
    AmbiguousReference,
    CodeWalkError,
    HookFailed,
    InvalidInput,
    NoActiveServer,
    NotFound,
    Refused,
    ServerUnreachable,
    Unauthorized,
    Unavailable,
)

MEDIA_TYPE: Final = "application/problem+json"

STATUSES: Final[Mapping[type[CodeWalkError], int]] = MappingProxyType(
    {
        CodeWalkError: 500,
        InvalidInput: 422,
        NotFound: 404,
        AmbiguousReference: 409,
        NoActiveServer: 409,
        Refused: 409,
        Unauthorized: 401,
        HookFailed: 502,
        ServerUnreachable: 502,
        Unavailable: 503,
    }
)
"""The HTTP status of each error class; a class that isn't listed has that of its nearest base."""

_HTTP_PROBLEMS: Final[Mapping[int, tuple[str, str]]] = MappingProxyType(
    {
        400: ("invalid_value", "The request's body can't be read."),
        404: ("not_found", "There is nothing at this address."),
        405: ("method_not_allowed", "This method isn't allowed here."),
        413: ("invalid_value", "The request's body is too large."),
    }
)

MAX_DETAIL: Final = 1000
"""Characters of a problem's detail."""

_MAX_FIELD_ERRORS: Final = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """A failed request: `detail` is one sentence, `errors` are the refused parts of a body."""

    status: int
    code: str
    detail: str
    errors: Sequence[Mapping[str, str]] = ()

    @property
    def title(self) -> str:
        return self.code.replace("_", " ").capitalize()

    def to_json(self) -> dict[str, Any]:
        body: dict[str, Any] = {
            "type": f"urn:codewalk:problem:{self.code}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
        }
        return body | ({"errors": list(self.errors)} if self.errors else {})


UNEXPECTED: Final = Problem(
    status=500,
    code=CodeWalkError.code,
    detail="Something went wrong inside CodeWalk; its log says more.",
)


def status_of(error: type[CodeWalkError]) -> int:
    """Return the HTTP status of an error class."""
    return next(STATUSES[base] for base in error.__mro__ if base in STATUSES)


def problem_of(exc: Exception) -> Problem:
    """Return the problem of an exception, without anything of the body but names of fields."""
    match exc:
        case CodeWalkError():
            return Problem(
                status=status_of(type(exc)), code=exc.code, detail=exc.message[:MAX_DETAIL]
            )
        case RequestValidationError():
            return _invalid(exc)
        case HTTPException():
            code = InvalidInput.code if exc.status_code < 500 else CodeWalkError.code
            code, detail = _HTTP_PROBLEMS.get(exc.status_code, (code, str(exc.detail)))
            return Problem(status=exc.status_code, code=code, detail=detail)
        case _:
            return UNEXPECTED


def problem_response(problem: Problem, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """Return a problem as JSON."""
    return JSONResponse(
        problem.to_json(), status_code=problem.status, media_type=MEDIA_TYPE, headers=headers
    )


def _invalid(exc: RequestValidationError) -> Problem:
    """Return where a body is wrong and why, but no values: one may be a password."""
    validation_errors = exc.errors()
    if any(error["type"] == "json_invalid" for error in validation_errors):
        return Problem(status=400, code="invalid_value", detail="The request's body isn't JSON.")
    errors = [
        {"pointer": _pointer(error["loc"]), "detail": str(error["msg"])}
        for error in validation_errors[:_MAX_FIELD_ERRORS]
    ]
    if validation_errors and all(error["loc"][0] == "query" for error in validation_errors):
        detail = " ".join(_query_message(error) for error in validation_errors[:20])
    else:
        detail = "; ".join(f"{error['pointer'] or 'body'}: {error['detail']}" for error in errors)
    return Problem(status=422, code="invalid_value", detail=detail[:MAX_DETAIL], errors=errors)


def _query_message(error: Mapping[str, Any]) -> str:
    """Say what is wrong with a value in the address, in words for whoever typed or followed it.

    The value of a parameter that isn't known, or of a text, isn't repeated: it may be a secret.
    """
    name = f"`{str(error['loc'][-1])[:100]}` in the address"
    value, limits = str(error["input"])[:40], error.get("ctx", {})
    match error["type"]:
        case "int_parsing" | "int_parsing_size":
            return f"{name} must be a whole number, not {value!r}."
        case "greater_than_equal":
            return f"{name} must be at least {limits['ge']}, not {value!r}."
        case "less_than_equal":
            return f"{name} must be at most {limits['le']}, not {value!r}."
        case "bool_parsing":
            return f"{name} must be `true` or `false`, not {value!r}."
        case "enum":
            choices = str(limits["expected"]).replace("'", "`")
            return f"{name} must be {choices}, not {value!r}."
        case "string_too_long":
            return f"{name} must be at most {limits['max_length']:,} characters long."
        case "extra_forbidden":
            return f"{name} is no parameter of this address."
        case _:
            return f"{name} has a value that can't be used."


def _pointer(location: Sequence[object]) -> str:
    # The name of an unknown field comes from the request, so it is cut.
    return "/".join(["", *(str(part)[:100] for part in location[1:])])
