"""Valid hooks, and the parts of them that are shown."""

import pytest

from codewalk.errors import AmbiguousReference, HookNotFound, InvalidURL, InvalidValue
from codewalk.notifications.hook import (
    ALL_EVENTS,
    MAX_ARGUMENTS,
    MAX_TARGET,
    find_hook,
    new_command,
    new_webhook,
    parse_webhook_url,
    redact_url,
)
from codewalk.notifications.notice import NoticeKind
from tests.fakes import EPOCH


def test_a_command_keeps_its_arguments_as_they_are() -> None:
    hook = new_command(["notify-send", "it's", 'a "b"', "", "ü\n$HOME"], [], EPOCH)
    assert hook.arguments == ("notify-send", "it's", 'a "b"', "", "ü\n$HOME")
    assert hook.events == ALL_EVENTS
    shown = hook.to_json()
    assert shown["command"] == list(hook.arguments)
    assert shown["url"] is None
    assert shown["events"] == ["down", "up", "version"]


@pytest.mark.parametrize(
    "arguments",
    [[], [""], ["a\0b"], ["a"] * (MAX_ARGUMENTS + 1), ["a", "b" * MAX_TARGET]],
    ids=["nothing", "no program", "NUL", "too many", "too long"],
)
def test_a_command_that_cannot_be_run_is_refused(arguments: list[str]) -> None:
    with pytest.raises(InvalidValue):
        new_command(arguments, [], EPOCH)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.com/hook",
        "ftp://example.com",
        "https://",
        "https://[::1",
        "https://example.com:99999/",
        "https://example.com/a b",
        "https://example.com/\n",
        "https://example.com/ü",
        "https://example.com/#part",
        "https://example.com/" + "a" * MAX_TARGET,
    ],
)
def test_a_url_that_cannot_be_called_is_refused(url: str) -> None:
    with pytest.raises(InvalidURL):
        new_webhook(f"{url}x" if url.endswith("\n") else url, [], EPOCH)


def test_only_the_origin_of_a_url_is_shown_and_nothing_of_it_in_an_error() -> None:
    url = "https://me:s3cret@hooks.example:8443/T0/s3cret?key=s3cret"
    hook = new_webhook(url, [NoticeKind.DOWN], EPOCH)
    assert "s3cret" not in repr(hook) + str(hook.to_json())
    assert hook.to_json()["url"] == "https://hooks.example:8443/…"
    assert redact_url("https://hooks.example") == "https://hooks.example/"
    with pytest.raises(InvalidURL) as refused:
        new_webhook("gopher://s3cret@host", [], EPOCH)
    assert "s3cret" not in refused.value.message


def test_a_url_is_taken_apart_for_the_request() -> None:
    address = parse_webhook_url("https://m%40e:p%3Aw@hooks.example:8443/a/b/?x=1&y")
    assert (address.origin, address.path) == ("https://hooks.example:8443", "/a/b/?x=1&y")
    assert address.username == "m@e"
    assert address.password
    assert address.password.reveal() == "p:w"
    bare = parse_webhook_url("http://[::1]:8080")
    assert (bare.origin, bare.path, bare.username, bare.password) == (
        "http://[::1]:8080",
        "/",
        None,
        None,
    )


def test_a_hook_is_named_by_the_beginning_of_its_id() -> None:
    hooks = [new_command([name], [], EPOCH) for name in "ab"]
    assert find_hook(hooks, hooks[1].id) is hooks[1]
    assert find_hook(hooks, f" {hooks[0].id[:13].upper()} ") is hooks[0]
    for ref in ("", "zzz"):
        with pytest.raises(HookNotFound):
            find_hook(hooks, ref)
    with pytest.raises(AmbiguousReference):
        find_hook([hooks[0], hooks[0]], hooks[0].id)
