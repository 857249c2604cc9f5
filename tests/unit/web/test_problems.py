"""Every error has a status, and tells no more than it should."""

from collections.abc import Iterator

import pytest
from fastapi.exceptions import RequestValidationError
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
    ours = (error for error in tree(CodeWalkError) if error.__module__ == errors.__name__)
    found = {error.__name__: status_of(error) for error in ours}
    assert found == EXPECTED
    assert set(EXPECTED) <= set(vars(errors))


def test_an_error_is_told_with_its_code_and_message() -> None:
    problem = problem_of(errors.DuplicateServer("It is there.", value="http://x"))
    assert problem.to_json() == {
        "type": "urn:codewalk:problem:duplicate_server",
        "title": "Duplicate server",
        "status": 409,
        "detail": "It is there.",
        "code": "duplicate_server",
    }
    assert problem_of(RequestFailed(Reason.REFUSED, "Nothing listens.")).status == 502


def test_an_unexpected_error_tells_nothing_of_itself() -> None:
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
    found = [
        {"type": "x", "loc": ("body", "password"), "msg": "Bad", "input": "hunter2"},
        {"type": "x", "loc": ("body", "k" * 5000), "msg": "Extra", "input": "hunter2"},
    ]
    problem = problem_of(RequestValidationError(found, body={"password": "hunter2"}))
    assert problem.errors[0] == {"pointer": "/password", "detail": "Bad"}
    assert "hunter2" not in str(problem.to_json())
    assert len(problem.detail) <= MAX_DETAIL
