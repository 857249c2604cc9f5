"""The words that an error response's body has for people."""

import orjson
import pytest

from codewalk.opencode.error_body import MAX_BODY, MAX_WORDS, parse_error_words

CONFIG = "/home/dev/.config/opencode/opencode.jsonc"
NO_JSON = """
--- JSONC Input ---
{"apiKey": "sk-secret" nope
--- Errors ---
InvalidSymbol at line 1, column 24
   Line 1: {"apiKey": "sk-secret" nope
           ^
CloseBraceExpected at line 2, column 1
   Line 2:
           ^
--- End ---"""
PLACES = "InvalidSymbol at line 1, column 24; CloseBraceExpected at line 2, column 1"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (
            {
                "name": "ConfigInvalidError",
                "data": {
                    "path": CONFIG,
                    "issues": [{"message": "Unrecognized key: providers", "path": []}],
                },
            },
            f"Unrecognized key: providers (in {CONFIG})",
        ),
        (
            {
                "name": "ConfigInvalidError",
                "data": {
                    "issues": [
                        {"message": "Expected a string", "path": ["provider", "x", 0]},
                        {"message": "Required", "path": ["model"]},
                    ]
                },
            },
            "Expected a string at provider.x.0; Required at model",
        ),
        (
            {
                "name": "UnknownError",
                "data": {
                    "message": "Unexpected server error. Check server logs for details.",
                    "ref": "err_d86e8ee5",
                },
            },
            "Unexpected server error. Check server logs for details (err_d86e8ee5)",
        ),
        ({"name": "UnknownError", "data": {}}, "UnknownError"),
        ({"name": "UnknownError", "data": None}, "UnknownError"),
        ({"message": "no such thing."}, "no such thing"),
        ({"error": "locked"}, "locked"),
        (
            {"name": "ConfigJsonError", "data": {"path": CONFIG, "message": NO_JSON}},
            f"{PLACES} (in {CONFIG})",
        ),
        (
            {"name": "ConfigJsonError", "data": {"message": "--- JSONC Input ---\n{"}},
            "ConfigJsonError",
        ),
        ({"success": False, "errors": [{"message": "Too big"}]}, "Too big"),
        ({"message": "two\nlines\x1b[31m and a bell\x07"}, "two lines [31m and a bell"),
        ({"message": 5, "name": ["x"]}, ""),
        ({"data": {"issues": ["?", {"message": 1}]}}, ""),
        ({}, ""),
        ([], ""),
        (None, ""),
    ],
)
def test_the_words_of_a_body(body: object, words: str) -> None:
    assert parse_error_words(orjson.dumps(body)) == words


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"{", b"\xff", b'{"message": "x"}' + b" " * MAX_BODY]
)
def test_a_body_that_is_no_json_or_too_long_has_none(body: bytes) -> None:
    assert parse_error_words(body) == ""


def test_the_errors_of_a_configuration_are_bounded() -> None:
    message = "--- JSONC Input ---\n" + "A" * 60_000 + " at line 1, column 2"
    assert len(parse_error_words(orjson.dumps({"message": message}))) <= MAX_WORDS


def test_words_are_bounded() -> None:
    body = orjson.dumps({"message": "x" * 10_000, "data": {"path": "y" * 10_000}})
    assert len(parse_error_words(body)) <= 2 * MAX_WORDS + 20
