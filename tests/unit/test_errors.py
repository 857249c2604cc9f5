"""The error tree."""

import inspect
import re

import pytest

from codewalk import errors
from codewalk.errors import CodeWalkError, InvalidURL, RequestFailed, ServerUnreachable
from codewalk.reason import Reason

TREE = re.compile(r"([│ ]*)(?:├── |└── )(\w+) +(.*)")
ROOT = re.compile(r"    CodeWalkError +(.*)")
CODE = re.compile(r"[a-z]+(_[a-z]+)*")

INTERFACE = {
    "invalid_url",
    "duplicate_server",
    "invalid_credentials",
    "server_not_found",
    "ambiguous_reference",
    "server_unreachable",
    "server_unhealthy",
    "server_managed",
    "no_active_server",
    "already_running",
    "storage_error",
    "internal",
}


def classes() -> dict[str, type[CodeWalkError]]:
    members = inspect.getmembers(errors, inspect.isclass)
    return {name: cls for name, cls in members if issubclass(cls, CodeWalkError)}


def drawn() -> dict[str, tuple[str, str]]:
    """Return the parent and the description of each class in the drawing."""
    tree: dict[str, tuple[str, str]] = {}
    path = ["CodeWalkError"]
    for line in (errors.__doc__ or "").splitlines():
        if match := ROOT.fullmatch(line):
            tree["CodeWalkError"] = "Exception", match[1]
        if match := TREE.match(line.removeprefix("    ")):
            depth = len(match[1]) // 4
            del path[depth + 1 :]
            tree[match[2]] = path[-1], match[3]
            path.append(match[2])
    return tree


def test_the_drawing_shows_every_error_under_its_parent() -> None:
    parents = {name: cls.__bases__[0].__name__ for name, cls in classes().items()}
    assert {name: parent for name, (parent, _) in drawn().items()} == parents


@pytest.mark.parametrize("name", classes())
def test_the_drawing_gives_the_code_of_each_class_that_has_its_own(name: str) -> None:
    drawn_code = drawn()[name][1].partition(";")[0]
    own_code = vars(classes()[name]).get("code")
    if own_code:
        assert drawn_code == own_code
    else:
        assert " " in drawn_code, "words that describe it, no code"


def test_no_class_answers_with_the_code_of_one_that_means_something_else() -> None:
    inherited = {name: cls.code for name, cls in classes().items() if "code" not in vars(cls)}
    assert inherited == {
        "InvalidValue": "invalid_value",
        "RequestFailed": "server_unreachable",
        # Never raised themselves.
        **dict.fromkeys(("NotFound", "Refused", "Unavailable"), "internal"),
    }


def test_every_code_of_the_interface_has_an_error() -> None:
    assert {cls.code for cls in classes().values()} >= INTERFACE


@pytest.mark.parametrize("cls", classes().values(), ids=classes())
def test_code_is_snake_case(cls: type[CodeWalkError]) -> None:
    assert CODE.fullmatch(cls.code)
    assert cls.__doc__


def test_two_leaves_never_share_a_code() -> None:
    parents = {cls.__bases__[0] for cls in classes().values()}
    leaves = [cls for cls in classes().values() if cls not in parents]
    assert len({cls.code for cls in leaves}) == len(leaves)


def test_error_has_its_message_and_the_offending_value() -> None:
    error = InvalidURL("It has no host.", value="http://")
    assert (str(error), error.message, error.value) == ("It has no host.",) * 2 + ("http://",)
    assert InvalidURL("It has no host.").value is None


def test_failed_request_has_its_reason_and_status() -> None:
    error = RequestFailed(Reason.SERVER_ERROR, "It answered 502.", status=502)
    assert isinstance(error, ServerUnreachable)
    assert (error.reason, error.detail, error.status) == (
        Reason.SERVER_ERROR,
        "It answered 502.",
        502,
    )
    assert error.code == "server_unreachable"
    assert error.message == error.detail
