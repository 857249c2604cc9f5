"""From a form to what it means, and back without the password."""

from dataclasses import replace
from typing import Any

import pytest

from codewalk.errors import (
    CodeWalkError,
    DuplicateServer,
    EditConflict,
    InvalidCredentials,
    InvalidURL,
    InvalidValue,
    ServerUnreachable,
    StorageError,
)
from codewalk.health.status import HealthStatus
from codewalk.reason import Reason, State
from codewalk.secret import Secret
from codewalk.servers.conflict import editable_values
from codewalk.servers.health_check import HealthCheckSettings
from codewalk.servers.profile import NotifySetting
from codewalk.web.form_data import ServerFormData
from codewalk.web.forms import ServerForm
from tests.unit.web.samples import PROFILE, SETTINGS, VIEWS, text_of


def typed(**fields: Any) -> ServerFormData:
    return ServerFormData.model_validate(fields)


def test_the_form_of_a_profile_shows_its_values_and_no_password() -> None:
    form = ServerForm.for_profile(PROFILE)
    assert (form.url, form.label, form.username) == ("http://x", "Box", "ana")
    assert (form.settings, form.notify) == (SETTINGS, "off")
    assert form.has_password
    assert "hunter2" not in repr(form) + form.base_json


def test_the_settings_are_unfolded_where_some_were_set() -> None:
    assert ServerForm.for_profile(PROFILE).has_settings
    plain = replace(PROFILE, health_check=HealthCheckSettings(), notify=NotifySetting.DEFAULT)
    assert not ServerForm.for_profile(plain).has_settings


def test_a_form_without_settings_comes_back_with_the_stored_ones() -> None:
    form = ServerForm.for_profile(PROFILE).with_data(typed(url="http://x"))
    assert (form.settings, form.notify) == (SETTINGS, "off")


NEWER = replace(
    PROFILE,
    url="http://y",
    label="Theirs",
    basic_auth_password=Secret.sealed("sealed again", lambda: "p"),
    health_check=HealthCheckSettings(interval=60, fall=3),
)


def opened(**changes: str) -> ServerFormData:
    """The form of `PROFILE` as it is sent back after these changes."""
    form = ServerForm.for_profile(PROFILE)
    shown = {"url": form.url, "label": form.label, "username": form.username}
    return typed(**{**shown, **SETTINGS, "notify": "off", "base": form.base_json, **changes})


def test_what_was_left_alone_comes_back_with_its_newest_value() -> None:
    form = ServerForm.for_profile(NEWER).with_data(opened(label="Mine"))
    assert (form.url, form.label) == ("http://y", "Mine")
    assert (form.settings or {})["interval"] == "60"
    assert form.hints.keys() == {"url", "interval", "password"}
    assert form.base
    # Still compared with what was there when it was typed: saving must find the conflict.
    assert form.base["label"] == "Box"
    assert form.base["url"] == "http://y"


def test_a_conflict_shows_both_values_and_the_next_save_replaces_the_newer_one() -> None:
    error = EditConflict("Box was changed.", fields=("url", "label", "password"))
    data = opened(label="Mine", password="typed")
    form = ServerForm.for_profile(NEWER).with_conflict(data, error)
    assert (form.url, form.label) == ("http://y", "Mine")
    assert form.conflicts == {"label": "Theirs"}
    assert form.errors.keys() == {"url", "label", "password", "form"}
    assert "“Theirs”" in form.errors["label"]
    assert form.errors["form"].startswith("Box was changed. ")
    assert form.base == editable_values(NEWER)


def test_a_conflict_with_an_emptied_field_says_that_it_was_removed() -> None:
    form = ServerForm.for_profile(replace(PROFILE, label=None))
    form = form.with_conflict(opened(label="Mine"), EditConflict("no", fields=("label",)))
    assert form.errors["label"].startswith("Removed")
    assert form.conflicts == {"label": ""}


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
def test_an_error_is_shown_beside_its_field(error: CodeWalkError, field: str, anyway: bool) -> None:
    form = ServerForm.empty().with_error(typed(url="x", label=" Box "), error)
    assert form.errors == {field: "no"}
    assert form.offer_anyway is anyway
    assert (form.url, form.label) == ("x", " Box ")


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        (Reason.AUTH_REQUIRED, "This server needs a password: enter it here."),
        (Reason.AUTH_REJECTED, "The server refused this password or the user name."),
    ],
)
def test_a_missing_or_wrong_password_marks_its_field_which_gets_the_focus(
    reason: Reason, message: str
) -> None:
    refused = ServerUnreachable("It isn't saved.", reason=reason)
    form = ServerForm.empty().with_error(typed(url="x"), refused)
    assert form.errors == {"form": "It isn't saved.", "password": message}
    assert form.focused_field == "password"
    result = HealthStatus(state=State.UNHEALTHY, reason=reason)
    form = ServerForm.empty().with_test_result(typed(url="x"), result, None)
    assert (form.errors, form.focused_field) == ({"password": message}, "password")


def test_the_focus_is_at_the_url_of_a_new_form_and_stays_where_it_is_after_an_error() -> None:
    assert ServerForm.empty().focused_field == "url"
    down = ServerUnreachable("no", reason=Reason.REFUSED)
    for error in (down, InvalidURL("no"), InvalidCredentials("no")):
        assert ServerForm.empty().with_error(typed(url="x"), error).focused_field == ""


def test_a_suggestion_stands_in_the_form_once_and_after_the_verdict() -> None:
    message = "http://box isn't saved: Nothing listens there. Is it http://box:4096?"
    down = ServerUnreachable(message, suggestion="http://box:4096", reason=Reason.REFUSED)
    form = ServerForm.empty().with_error(typed(url="box"), down)
    assert form.errors["form"] == "http://box isn't saved: Nothing listens there."
    assert text_of(VIEWS.form_fragment(form)).count("http://box:4096") == 1
    result = HealthStatus(state=State.UNHEALTHY, reason=Reason.REFUSED)
    for shown in (form, ServerForm.empty().with_test_result(typed(url="box"), result, "http://y")):
        text = text_of(VIEWS.form_fragment(shown))
        assert text.index("Nothing listens") < text.index("Try http://")


def test_a_url_that_is_refused_offers_the_one_that_was_meant() -> None:
    line = "opencode server listening on http://127.0.0.1:4096"
    error = InvalidURL("no", suggestion="http://127.0.0.1:4096")
    form = ServerForm.empty().with_error(typed(url=line), error)
    assert (form.url, form.errors) == (line, {"url": "no"})
    assert form.suggestion == "http://127.0.0.1:4096"
    assert form.suggestion_reason == "This URL is in what was typed."
    assert ServerForm.empty().suggestion_reason == ""


def test_a_query_of_a_url_that_is_refused_is_in_no_text_of_a_form() -> None:
    secret = typed(url="http://box:4096/?auth_token=hunter2")
    form = ServerForm.empty().with_error(secret, InvalidURL("no"))
    assert form.url == "http://box:4096/"
    assert form.hints == {}
    assert "hunter2" not in repr(form)


def test_a_password_is_in_no_text_of_a_form() -> None:
    entered = typed(url="http://x", password="hunter2")
    assert "hunter2" not in repr(entered)
    assert "hunter2" not in repr(ServerForm.empty().with_data(entered))


@pytest.mark.parametrize(
    ("url", "shown", "username", "lost"),
    [
        ("http://ana:s3cr3t@box:4096/x", "http://box:4096/x", "ana", True),
        ("http://ana@box:4096", "http://box:4096", "ana", False),
        (f"http://ana:s3cr3t@box/{'p' * 300}", f"http://box/{'p' * 300}", "ana", True),
        (f"ftp://ana:s3cr3t@box/{'p' * 300}", f"ftp://box/{'p' * 300}", "opencode", True),
        ("http://ana:s3cr3t\uff20box:4096", "http://box:4096", "opencode", True),
        ("http://ana:s3cr3t\ufe6bbox:4096", "http://box:4096", "opencode", True),
        ("http://box:4096/@me", "http://box:4096/@me", "opencode", False),
        ("BOX:4096/", "BOX:4096/", "opencode", False),
    ],
)
def test_credentials_in_a_url_come_back_in_their_fields_or_are_asked_for(
    url: str, shown: str, username: str, lost: bool
) -> None:
    form = ServerForm.empty().with_data(typed(url=url, username="opencode"))
    assert (form.url, form.username) == (shown, username)
    assert ("password" in form.hints) is lost
    assert "s3cr3t" not in repr(form)


def test_credentials_in_the_fields_win_over_those_in_the_url() -> None:
    url = "http://ana:s3cr3t@box"
    form = ServerForm.empty().with_data(typed(url=url, username="bo", password="p"))
    assert (form.username, form.hints) == ("bo", {})


def test_a_page_of_its_own_says_that_the_password_is_gone() -> None:
    typed = ServerFormData.model_validate({"url": "http://box", "password": "x"})
    form = ServerForm.empty().with_error(typed, ServerUnreachable("It is down."))
    assert "password" not in form.errors
    assert "again" in form.for_new_page().errors["password"]
    refused = ServerForm.empty().with_error(typed, InvalidCredentials("It is too long."))
    message = refused.for_new_page().errors["password"]
    assert message.startswith("It is too long. Enter the password again")
    without = ServerForm.empty().with_error(
        ServerFormData(url="http://box"), ServerUnreachable("It is down.")
    )
    assert without.for_new_page() is without
