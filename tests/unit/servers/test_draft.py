"""New profiles and changes from what a user typed."""

from dataclasses import asdict, replace
from uuid import UUID

import pytest

from codewalk.errors import InvalidCredentials, InvalidInput, InvalidURL, InvalidValue
from codewalk.reason import Reason
from codewalk.secret import Secret
from codewalk.servers.draft import (
    Change,
    changed_fields,
    explain_suggestion,
    new_profile,
    suggest_url,
    with_default_port,
)
from tests.fakes import EPOCH, profile


def test_a_new_profile_is_normalised_and_has_an_id_of_its_own() -> None:
    first = new_profile(" DevBox:4096/ ", label=" Dev box ", now=EPOCH)
    second = new_profile("devbox:4096", now=EPOCH)
    assert (first.url, first.label) == ("http://devbox:4096", "Dev box")
    assert (first.created_at, first.updated_at) == (EPOCH, EPOCH)
    assert UUID(first.id) != UUID(second.id)
    assert second.label is None


def test_without_credentials_none_are_used() -> None:
    new = new_profile("devbox", now=EPOCH)
    assert not new.basic_auth_enabled
    assert new.basic_auth_password is None
    assert not new.managed


def test_a_password_alone_goes_with_opencodes_own_user_name() -> None:
    new = new_profile("devbox", password=Secret("pä:ss"), now=EPOCH)
    assert new.basic_auth_enabled
    assert new.basic_auth_username == "opencode"
    assert new.basic_auth_password
    assert new.basic_auth_password.reveal() == "pä:ss"


def test_credentials_beside_the_url_win_over_those_in_it() -> None:
    new = new_profile("http://in:url@h", username="beside", password=Secret("it"), now=EPOCH)
    assert new.basic_auth_username == "beside"
    assert new.basic_auth_password
    assert new.basic_auth_password.reveal() == "it"
    mixed = new_profile("http://in:url@h", username="beside", now=EPOCH)
    assert mixed.basic_auth_username == "beside"
    assert mixed.basic_auth_password
    assert mixed.basic_auth_password.reveal() == "url"


def test_a_profile_shows_no_password() -> None:
    new = new_profile("http://user:s3cr3t@h", now=EPOCH)
    assert "s3cr3t" not in repr(new)
    with pytest.raises(TypeError):
        asdict(new)


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"url": "ftp://h"}, InvalidURL),
        ({"url": "h", "label": "a\nb"}, InvalidValue),
        ({"url": "h", "username": "a:b"}, InvalidCredentials),
        ({"url": "http://a%3Ab:c@h"}, InvalidCredentials),
        ({"url": "h", "password": Secret("\0")}, InvalidCredentials),
        ({"url": "http://u:%00@h"}, InvalidCredentials),
    ],
)
def test_a_bad_profile_is_refused(fields: dict[str, str], error: type[Exception]) -> None:
    with pytest.raises(error):
        new_profile(**fields, now=EPOCH)  # type: ignore[arg-type] # each case names its own


@pytest.mark.parametrize(
    ("change", "fields"),
    [
        (Change(), {}),
        (Change(url="DEVBOX/"), {"url": "http://devbox"}),
        (Change(label="  New "), {"label": "New"}),
        (Change(label=""), {"label": None}),
        (Change(username="me"), {"basic_auth_enabled": True, "basic_auth_username": "me"}),
        (
            Change(no_auth=True),
            {
                "basic_auth_enabled": False,
                "basic_auth_username": "opencode",
                "basic_auth_password": None,
            },
        ),
    ],
)
def test_a_change_sets_what_it_names_and_nothing_else(
    change: Change, fields: dict[str, object]
) -> None:
    assert changed_fields(change) == fields


def test_a_new_password_turns_authentication_on_and_keeps_the_user_name() -> None:
    secret = Secret("new")
    fields = changed_fields(Change(password=secret))
    assert fields == {"basic_auth_enabled": True, "basic_auth_password": secret}
    assert replace(profile(basic_auth_username="me"), **fields).basic_auth_username == "me"


def test_credentials_in_a_changed_url_are_adopted() -> None:
    fields = changed_fields(Change(url="https://me:s3cr3t@h"))
    assert fields.pop("basic_auth_password").reveal() == "s3cr3t"
    assert fields == {
        "url": "https://h",
        "basic_auth_enabled": True,
        "basic_auth_username": "me",
    }


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (Change(url="h?x"), InvalidURL),
        (Change(label="x" * 101), InvalidValue),
        (Change(username="a:b"), InvalidCredentials),
        (Change(password=Secret("\n")), InvalidCredentials),
        (Change(no_auth=True, username="me"), InvalidInput),
        (Change(no_auth=True, password=Secret("x")), InvalidInput),
        (Change(no_auth=True, url="http://me:x@h"), InvalidInput),
    ],
)
def test_a_bad_change_is_refused(change: Change, error: type[Exception]) -> None:
    with pytest.raises(error):
        changed_fields(change)


def test_settings_of_the_health_check_are_passed_on() -> None:
    assert changed_fields(Change(health_check={"interval": 30, "rise": None})) == {
        "health_check": {"interval": 30, "rise": None}
    }
    assert changed_fields(Change(label="x")) == {"label": "x"}


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("devbox", "http://devbox:4096"),
        (" HTTP://DevBox/ ", "http://devbox:4096"),
        ("devbox:", "http://devbox:4096"),
        ("https://devbox", "https://devbox:4096"),
        ("devbox/opencode/", "http://devbox:4096/opencode"),
        ("[::1]", "http://[::1]:4096"),
        ("http://[fe80::1%eth0]/x", "http://[fe80::1%25eth0]:4096/x"),
        ("me:s3cr3t@devbox", "http://devbox:4096"),
        # A port was typed, be it the scheme's own.
        ("devbox:4097", None),
        ("http://devbox:80", None),
        ("https://devbox:443/x", None),
        # No URL.
        ("", None),
        ("ftp://devbox", None),
        ("dev box", None),
        ("x" * 300, None),
        ("h/" + "x" * 2036, None),
    ],
)
def test_the_default_port_is_suggested_where_none_was_typed(
    typed: str, offered: str | None
) -> None:
    assert with_default_port(typed) == offered


@pytest.mark.parametrize(
    ("typed", "reason", "suggestion"),
    [
        ("http://h:4096/L2hvbWU/session/ses_1", Reason.NOT_OPENCODE, "http://h:4096"),
        ("http://h:4096/api", Reason.SERVER_ERROR, "http://h:4096"),
        ("http://h:4096/global/health", Reason.AUTH_REQUIRED, "http://h:4096"),
        ("me:s3cr3t@h:4096/global/health", Reason.AUTH_REJECTED, "http://h:4096"),
        ("h/up/session", Reason.INCOMPATIBLE, "http://h/up"),
        # Nothing answers: the port may be wrong, and only that where none was typed.
        ("h/up/session", Reason.REFUSED, "http://h:4096/up"),
        ("h", Reason.TIMEOUT, "http://h:4096"),
        ("http://h:80/api", Reason.UNREACHABLE, None),
        ("http://h:4096/api", Reason.REFUSED, None),
        # A base path that isn't OpenCode's, and failures that no other URL would change.
        ("http://h:4096/opencode", Reason.NOT_OPENCODE, None),
        ("http://h:4096/api", Reason.DNS, None),
        ("http://h:4096/api", Reason.OFFLINE, None),
        ("http://h:4096/api", Reason.OK, None),
        # What is refused suggests by itself.
        ("http//h:4096", Reason.UNCHECKED, "http://h:4096"),
        ("ftp://h", Reason.UNCHECKED, None),
    ],
)
def test_another_url_is_suggested_after_a_failed_check(
    typed: str, reason: Reason, suggestion: str | None
) -> None:
    assert suggest_url(typed, reason) == suggestion


CLOSED = "h:8443 closed the connection without an answer."


@pytest.mark.parametrize(
    ("typed", "reason", "detail", "suggestion"),
    [
        ("http://h:8443", Reason.TLS, None, "https://h:8443"),
        ("h:8443/api", Reason.TLS, None, "https://h:8443"),
        ("http://h:80/up", Reason.TLS, None, "https://h:80/up"),
        ("http://[::1]:443", Reason.TLS, None, "https://[::1]"),
        ("http://h:8443", Reason.UNREACHABLE, CLOSED, "https://h:8443"),
        ("http://h:8443", Reason.UNREACHABLE, "h:8443 can't be reached.", None),
        # Without a port, OpenCode's default port is likelier than another scheme.
        ("h", Reason.UNREACHABLE, CLOSED, "http://h:4096"),
        # Whoever wants encryption isn't offered anything less.
        ("https://h:4096", Reason.TLS, None, None),
        ("https://h:4096", Reason.UNREACHABLE, CLOSED, None),
    ],
)
def test_https_is_suggested_where_the_port_uses_tls_or_may_do_so(
    typed: str, reason: Reason, detail: str | None, suggestion: str | None
) -> None:
    assert suggest_url(typed, reason, detail) == suggestion


@pytest.mark.parametrize(
    ("typed", "suggestion", "explanation"),
    [
        ("http://h:8443", "https://h:8443", "The port uses TLS, or may do so."),
        ("devbox", "http://devbox:4096", "The default port of OpenCode is 4096."),
        ("h/up/session", "http://h:4096/up", "The default port of OpenCode is 4096."),
        (
            "http://h:4096/api",
            "http://h:4096",
            "A server's URL has neither the path of a page nor a query.",
        ),
        ("http//h:4096", "http://h:4096", "This URL is in what was typed."),
    ],
)
def test_a_suggestion_is_explained(typed: str, suggestion: str, explanation: str) -> None:
    assert explain_suggestion(typed, suggestion) == explanation
