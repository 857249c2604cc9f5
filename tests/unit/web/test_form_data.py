"""The changes of a form to the values that it was opened with."""

from dataclasses import replace
from typing import Any

import pytest

from codewalk.servers.conflict import editable_values
from codewalk.servers.draft import Change
from codewalk.servers.health_check import HealthCheckSettings
from codewalk.servers.profile import NotifySetting, ServerProfile
from codewalk.web.form_data import (
    ServerFormData,
    change_from_form,
    entered_credentials,
    invalid_settings,
)
from codewalk.web.forms import ServerForm
from tests.unit.web.samples import PROFILE, SETTINGS

OPENED = {"url": "http://x", "label": "Box", "username": "ana", "notify": "off", **SETTINGS}
"""The form of `PROFILE` as a browser sends it back, with nothing changed."""


def sent(**fields: Any) -> ServerFormData:
    return ServerFormData.model_validate(fields)


def change(data: ServerFormData, profile: ServerProfile = PROFILE) -> Change:
    return change_from_form(data, data.base_values(editable_values(profile)))


def revealed(credentials: dict[str, Any]) -> tuple[str | None, str | None]:
    password = credentials["password"]
    return credentials["username"], password.reveal() if password else None


@pytest.mark.parametrize(
    ("username", "password", "expected"),
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
    username: str, password: str, expected: tuple[str | None, str | None]
) -> None:
    credentials = entered_credentials(sent(username=username, password=password), "opencode")
    assert revealed(credentials) == expected


def test_a_form_with_nothing_changed_changes_nothing() -> None:
    assert change(sent(**OPENED)) == Change()
    assert change(sent(**{**OPENED, "url": " http://x ", "label": "Box "})) == Change()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("url", Change(url="new")),
        ("label", Change(label="new")),
        ("username", Change(username="new")),
    ],
)
def test_only_the_field_that_was_changed_is_named(name: str, expected: Change) -> None:
    assert change(sent(**{**OPENED, name: "new"})) == expected


def test_fields_are_compared_with_what_the_form_showed_and_not_with_the_profile_of_now() -> None:
    """The profile was changed elsewhere while the form was open."""
    base = ServerForm.for_profile(PROFILE).base_json
    newer = replace(
        PROFILE, url="http://y", health_check=HealthCheckSettings(), notify=NotifySetting.ON
    )
    data = sent(**{**OPENED, "label": "New", "base": base})
    assert change(data, newer) == Change(label="New")


def test_an_emptied_user_name_leaves_the_stored_one() -> None:
    assert change(sent(**{**OPENED, "username": " "})) == Change()


def test_an_empty_password_keeps_the_stored_one_and_forgetting_drops_both() -> None:
    unchanged = change(sent(**{**OPENED, "password": ""}))
    assert (unchanged.password, unchanged.no_auth) == (None, False)
    typed = change(sent(**{**OPENED, "password": "new"}))
    assert typed.password
    assert typed.password.reveal() == "new"
    forgotten = change(sent(**{**OPENED, "username": "bo", "password": "x", "action": "forget"}))
    assert (forgotten.username, forgotten.password, forgotten.no_auth) == (None, None, True)


@pytest.mark.parametrize(
    ("entered", "changed"),
    [
        ({}, {}),
        ({"interval": " 30 ", "timeout": "2,5"}, {"timeout": 2.5}),
        ({"interval": ""}, {"interval": None}),
        ({"rise": "2", "fall": ""}, {"rise": 2, "fall": None}),
        (dict.fromkeys(SETTINGS, ""), dict.fromkeys(SETTINGS)),
    ],
)
def test_an_edit_changes_the_settings_that_were_changed(
    entered: dict[str, str], changed: dict[str, float | None]
) -> None:
    named = change(sent(**{**OPENED, "notify": "on", **entered}))
    assert named.health_check == changed
    assert named.notify is NotifySetting.ON


def test_a_form_without_settings_leaves_them() -> None:
    assert change(sent(url="http://x", label="Box", username="ana")) == Change()


@pytest.mark.parametrize(
    ("entered", "message"),
    [
        ({"interval": "often"}, "time between two checks is a number of seconds, not 'often'"),
        ({"interval": "0"}, "from 1 to 3600 seconds, not 0"),
        ({"timeout": "nan"}, "from 0.1 to 60 seconds, not nan"),
        ({"rise": "1.5"}, "is a whole number, not '1.5'"),
        ({"fall": "11"}, "from 1 to 10, not 11"),
    ],
)
def test_an_invalid_setting_is_named_and_comes_back(entered: dict[str, str], message: str) -> None:
    data = sent(**{**OPENED, **entered})
    errors = invalid_settings(data, editable_values(PROFILE), PROFILE)
    assert list(errors) == list(entered)
    assert message in errors[min(entered)]
    form = ServerForm.for_profile(PROFILE).with_data(data, errors=errors)
    assert form.settings == {**SETTINGS, **entered}
    assert form.has_settings


@pytest.mark.parametrize(
    "base", ["", "null", "[]", "{", "[" * 50_000, '{"url": {}, "label": [1], "other": 1}']
)
def test_a_base_that_is_none_counts_as_the_profile_of_now(base: str) -> None:
    assert change(sent(**{**OPENED, "label": "New", "base": base})) == Change(label="New")


def test_an_offer_that_is_clicked_fills_its_field_and_saves_nothing() -> None:
    data = sent(**OPENED, try_url="http://x:4096").with_offer()
    assert (data.url, data.action) == ("http://x:4096", "test")
    base = ServerForm.for_profile(PROFILE).base_json
    data = sent(**{**OPENED, "label": "Mine", "base": base}, use_current="label").with_offer()
    assert (data.label, data.action) == ("Box", "show")
    assert sent(**OPENED, use_current="password").with_offer().action == "save"
