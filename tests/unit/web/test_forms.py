"""From a form to what it means, and back without the password."""

from datetime import UTC, datetime
from typing import Any

import pytest

from codewalk.errors import (
    CodeWalkError,
    DuplicateServer,
    InvalidCredentials,
    InvalidURL,
    InvalidValue,
    ServerUnreachable,
    StorageError,
)
from codewalk.secret import Secret
from codewalk.servers.profile import ServerProfile
from codewalk.web.forms import ServerForm, Typed, change_of, credentials

NOW = datetime(2026, 2, 9, tzinfo=UTC)


def typed(**fields: Any) -> Typed:
    return Typed.model_validate(fields)


def revealed(given: dict[str, Any]) -> tuple[str | None, str | None]:
    password = given["password"]
    return given["username"], password.reveal() if password else None


@pytest.mark.parametrize(
    ("username", "password", "meant"),
    [
        ("opencode", "", (None, None)),
        ("", "", (None, None)),
        ("  ", "", (None, None)),
        ("ana", "", ("ana", None)),
        ("opencode", " p ", ("opencode", " p ")),
        ("", "p", (None, "p")),
    ],
)
def test_the_preset_user_name_counts_beside_a_password_only(
    username: str, password: str, meant: tuple[str | None, str | None]
) -> None:
    given = credentials(typed(username=username, password=password), "opencode")
    assert revealed(given) == meant


def test_an_edit_with_an_empty_password_keeps_it() -> None:
    profile = ServerProfile(
        id="1",
        url="http://x",
        basic_auth_enabled=True,
        basic_auth_username="ana",
        basic_auth_password=Secret("p"),
        created_at=NOW,
        updated_at=NOW,
    )
    same = typed(url="http://x", username="ana")
    change = change_of(same, profile)
    assert (change.username, change.password, change.no_auth) == (None, None, False)
    assert change_of(typed(url="http://x", username="bo"), profile).username == "bo"
    forgotten = typed(url="http://x", username="ana", password="typed", action="forget")
    change = change_of(forgotten, profile)
    assert (change.username, change.password, change.no_auth) == (None, None, True)


@pytest.mark.parametrize(
    ("error", "field", "anyway"),
    [
        (InvalidURL("no"), "url", False),
        (InvalidValue("no"), "label", False),
        (InvalidCredentials("no"), "password", False),
        (DuplicateServer("no", value="http://x"), "url", False),
        (DuplicateServer("no", value="Box"), "label", False),
        (ServerUnreachable("no"), "form", True),
        (StorageError("no"), "form", False),
    ],
)
def test_an_error_stands_beside_its_field(error: CodeWalkError, field: str, anyway: bool) -> None:
    form = ServerForm.empty().refused(typed(url="x", label=" Box "), error)
    assert form.errors == {field: "no"}
    assert form.offer_anyway is anyway
    assert (form.url, form.label) == ("x", " Box ")


def test_a_password_shows_in_no_text_of_a_form() -> None:
    entered = typed(url="http://x", password="hunter2")
    assert "hunter2" not in repr(entered)
    assert "hunter2" not in repr(ServerForm.empty().with_typed(entered))


def test_a_page_of_its_own_says_that_the_password_is_gone() -> None:
    typed = Typed.model_validate({"url": "http://box", "password": "x"})
    form = ServerForm.empty().refused(typed, ServerUnreachable("It is down."))
    assert "password" not in form.errors
    assert "again" in form.on_a_new_page().errors["password"]
    without = ServerForm.empty().refused(Typed(url="http://box"), ServerUnreachable("It is down."))
    assert without.on_a_new_page() is without
