"""From a form to what it means, and back without the password."""

from dataclasses import replace
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
from codewalk.servers.health_check import HealthCheckSettings
from codewalk.servers.profile import NotifySetting, ServerProfile
from codewalk.web.forms import (
    ServerForm,
    ServerFormData,
    change_from_form,
    entered_credentials,
    invalid_settings,
)

NOW = datetime(2026, 2, 9, tzinfo=UTC)


def typed(**fields: Any) -> ServerFormData:
    return ServerFormData.model_validate(fields)


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
    given = entered_credentials(typed(username=username, password=password), "opencode")
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
    change = change_from_form(same, profile)
    assert (change.username, change.password, change.no_auth) == (None, None, False)
    assert change_from_form(typed(url="http://x", username="bo"), profile).username == "bo"
    forgotten = typed(url="http://x", username="ana", password="typed", action="forget")
    change = change_from_form(forgotten, profile)
    assert (change.username, change.password, change.no_auth) == (None, None, True)


PROFILE = ServerProfile(
    id="1",
    url="http://x",
    health_check=HealthCheckSettings(interval=30, fall=3),
    notify=NotifySetting.OFF,
    created_at=NOW,
    updated_at=NOW,
)
SHOWN = {"interval": "30", "timeout": "3", "rise": "1", "fall": "3"}


@pytest.mark.parametrize(
    ("entered", "changed"),
    [
        ({}, {}),
        ({"interval": " 30 ", "timeout": "2,5"}, {"timeout": 2.5}),
        ({"interval": ""}, {"interval": None}),
        ({"rise": "2", "fall": ""}, {"rise": 2, "fall": None}),
        (dict.fromkeys(SHOWN, ""), dict.fromkeys(SHOWN)),
    ],
)
def test_an_edit_changes_the_settings_that_were_changed(
    entered: dict[str, str], changed: dict[str, float | None]
) -> None:
    assert ServerForm.for_profile(PROFILE).checks == SHOWN
    sent = typed(url="http://x", notify="on", **{**SHOWN, **entered})
    change = change_from_form(sent, PROFILE)
    assert change.health_check == changed
    assert change.notify is NotifySetting.ON


def test_a_form_without_settings_leaves_them() -> None:
    sent = typed(url="http://x")
    change = change_from_form(sent, PROFILE)
    assert (change.health_check, change.notify) == ({}, None)
    assert ServerForm.for_profile(PROFILE).with_data(sent).checks == SHOWN


@pytest.mark.parametrize(
    ("entered", "told"),
    [
        ({"interval": "often"}, "time between two checks is a number of seconds, not 'often'"),
        ({"interval": "0"}, "from 1 to 3600 seconds, not 0"),
        ({"timeout": "nan"}, "from 0.1 to 60 seconds, not nan"),
        ({"rise": "1.5"}, "is a whole number, not '1.5'"),
        ({"fall": "11"}, "from 1 to 10, not 11"),
    ],
)
def test_a_setting_that_is_none_is_told_and_comes_back(entered: dict[str, str], told: str) -> None:
    sent = typed(url="http://x", notify="off", **{**SHOWN, **entered})
    wrong = invalid_settings(sent, PROFILE)
    assert list(wrong) == list(entered)
    assert told in wrong[min(entered)]
    form = ServerForm.for_profile(PROFILE).with_data(sent, errors=wrong)
    assert form.checks == {**SHOWN, **entered}
    assert form.has_settings


def test_the_settings_are_unfolded_where_some_were_set() -> None:
    assert ServerForm.for_profile(PROFILE).has_settings
    plain = replace(PROFILE, health_check=HealthCheckSettings(), notify=NotifySetting.DEFAULT)
    assert not ServerForm.for_profile(plain).has_settings


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
    form = ServerForm.empty().with_error(typed(url="x", label=" Box "), error)
    assert form.errors == {field: "no"}
    assert form.offer_anyway is anyway
    assert (form.url, form.label) == ("x", " Box ")


def test_a_password_shows_in_no_text_of_a_form() -> None:
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


def test_what_was_entered_in_the_fields_goes_before_what_the_url_has() -> None:
    url = "http://ana:s3cr3t@box"
    form = ServerForm.empty().with_data(typed(url=url, username="bo", password="p"))
    assert (form.username, form.hints) == ("bo", {})


def test_a_page_of_its_own_says_that_the_password_is_gone() -> None:
    typed = ServerFormData.model_validate({"url": "http://box", "password": "x"})
    form = ServerForm.empty().with_error(typed, ServerUnreachable("It is down."))
    assert "password" not in form.errors
    assert "again" in form.for_new_page().errors["password"]
    without = ServerForm.empty().with_error(
        ServerFormData(url="http://box"), ServerUnreachable("It is down.")
    )
    assert without.for_new_page() is without
