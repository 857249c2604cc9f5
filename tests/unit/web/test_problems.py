"""Every error has a status, and tells no more than it should."""

from collections.abc import Iterator
from enum import StrEnum

import pytest
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.exceptions import HTTPException

from codewalk import errors
from codewalk.errors import CodeWalkError, RequestFailed
from codewalk.reason import Reason
from codewalk.web.problems import MAX_DETAIL, UNEXPECTED, problem_of, status_of


def tree(base: type[CodeWalkError]) -> Iterator[type[CodeWalkError]]:
    yield base
    for sub in base.__subclasses__():
        yield from tree(sub)


EXPECTED = {
    "InvalidInput": 422,
    "InvalidURL": 422,
    "InvalidCredentials": 422,
    "InvalidValue": 422,
    "NotFound": 404,
    "ServerNotFound": 404,
    "AmbiguousReference": 409,
    "HookNotFound": 404,
    "NoActiveServer": 409,
    "Refused": 409,
    "DuplicateServer": 409,
    "EditConflict": 409,
    "ServerUnhealthy": 409,
    "ServerManaged": 409,
    "AlreadyRunning": 409,
    "Superseded": 409,
    "Unauthorized": 401,
    "HookFailed": 502,
    "ServerUnreachable": 502,
    "RequestFailed": 502,
    "Unavailable": 503,
    "StorageError": 503,
    "AddressUnavailable": 503,
    "OpenCodeMissing": 503,
    "CodeWalkError": 500,
}


def test_every_error_class_has_a_status() -> None:
    classes = (error for error in tree(CodeWalkError) if error.__module__ == errors.__name__)
    statuses = {error.__name__: status_of(error) for error in classes}
    assert statuses == EXPECTED
    assert set(EXPECTED) <= set(vars(errors))


def test_a_problem_has_the_code_and_message_of_its_error() -> None:
    problem = problem_of(errors.DuplicateServer("It is there.", value="http://x"))
    assert problem.to_json() == {
        "type": "urn:codewalk:problem:duplicate_server",
        "title": "Duplicate server",
        "status": 409,
        "detail": "It is there.",
        "code": "duplicate_server",
    }
    assert problem_of(RequestFailed(Reason.REFUSED, "Nothing listens.")).status == 502


def test_an_unexpected_error_reveals_nothing_of_itself() -> None:
    assert problem_of(RuntimeError("secret")) is UNEXPECTED
    assert (UNEXPECTED.status, UNEXPECTED.code) == (500, "internal")
    assert "secret" not in str(UNEXPECTED.to_json())


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "invalid_value"),
        (404, "not_found"),
        (405, "method_not_allowed"),
        (413, "invalid_value"),
        (418, "invalid_value"),
        (501, "internal"),
    ],
)
def test_http_errors_keep_their_status_and_have_a_documented_code(status: int, code: str) -> None:
    problem = problem_of(HTTPException(status))
    assert (problem.status, problem.code) == (status, code)


def test_a_validation_error_names_the_place_and_not_the_value() -> None:
    statuses = [
        {"type": "x", "loc": ("body", "password"), "msg": "Bad", "input": "hunter2"},
        {"type": "x", "loc": ("body", "k" * 5000), "msg": "Extra", "input": "hunter2"},
    ]
    problem = problem_of(RequestValidationError(statuses, body={"password": "hunter2"}))
    assert problem.errors[0] == {"pointer": "/password", "detail": "Bad"}
    assert "hunter2" not in str(problem.to_json())
    assert len(problem.detail) <= MAX_DETAIL


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class AddressQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    page: int = Field(1, ge=1, le=1000)
    colour: Colour = Colour.RED
    rows: bool = False
    words: str = Field("", max_length=1000)


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ({"page": "abc"}, "`page` in the address must be a whole number, not 'abc'."),
        ({"page": "9" * 5000}, f"`page` in the address must be a whole number, not '{'9' * 40}'."),
        ({"page": "0"}, "`page` in the address must be at least 1, not '0'."),
        ({"page": "1001"}, "`page` in the address must be at most 1000, not '1001'."),
        ({"colour": "\u202e"}, "`colour` in the address must be `red` or `blue`, not '\\u202e'."),
        ({"rows": "maybe"}, "`rows` in the address must be `true` or `false`, not 'maybe'."),
        ({"words": "w" * 1001}, "`words` in the address must be at most 1,000 characters long."),
        ({"passwort": "hunter2"}, "`passwort` in the address is no parameter of this address."),
    ],
)
def test_a_bad_value_in_an_address_is_explained_in_plain_words(
    query: dict[str, str], detail: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        AddressQuery.model_validate(query)
    errors = [{**error, "loc": ("query", *error["loc"])} for error in caught.value.errors()]
    problem = problem_of(RequestValidationError(errors))
    assert (problem.status, problem.code, problem.detail) == (422, "invalid_value", detail)


def test_all_bad_values_in_an_address_are_named() -> None:
    errors = [
        {"type": "int_parsing", "loc": ("query", name), "msg": "x", "input": name}
        for name in ("page", "limit")
    ]
    assert problem_of(RequestValidationError(errors)).detail == (
        "`page` in the address must be a whole number, not 'page'. "
        "`limit` in the address must be a whole number, not 'limit'."
    )
