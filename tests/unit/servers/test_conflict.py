"""Edits that overlap with what was changed elsewhere since the form was opened."""

from dataclasses import replace
from typing import Any

import pytest

from codewalk.errors import EditConflict
from codewalk.secret import Secret
from codewalk.servers.conflict import conflicting_fields, connection_values, editable_values
from codewalk.servers.health_check import HealthCheckSettings
from codewalk.servers.profile import NotifySetting, ServerProfile
from codewalk.servers.roster import Roster
from codewalk.servers.rules import edit
from tests.fakes import EPOCH, profile


def stored(text: str) -> Secret:
    return Secret.sealed(text, lambda: text)


OPENED = replace(
    profile(1, label="Box"), basic_auth_enabled=True, basic_auth_password=stored("first")
)
"""The profile as a form showed it."""

Changes = dict[str, Any]
URL: Changes = {"url": "http://elsewhere:4096"}
USER: Changes = {"basic_auth_username": "ana"}
PASSWORD: Changes = {"basic_auth_password": stored("second")}
TYPED: Changes = {"basic_auth_password": Secret("typed")}
FORGOTTEN: Changes = {"basic_auth_enabled": False, "basic_auth_password": None}
MUTED: Changes = {"notify": NotifySetting.OFF}


def checks(**settings: float) -> Changes:
    return {"health_check": HealthCheckSettings().with_changes(settings)}


def test_a_password_is_a_fingerprint_that_says_nothing_of_it() -> None:
    values = editable_values(OPENED)
    assert values["password"] not in (None, "", "first")
    assert editable_values(replace(OPENED, basic_auth_password=stored("first"))) == values
    assert editable_values(replace(OPENED, **PASSWORD))["password"] != values["password"]
    assert editable_values(replace(OPENED, **FORGOTTEN))["password"] is None


def test_a_connection_is_the_url_with_its_credentials() -> None:
    assert connection_values(OPENED).keys() == {"url", "username", "password"}


@pytest.mark.parametrize(
    ("elsewhere", "here", "fields"),
    [
        ({}, {"label": "Mine"}, []),
        ({"label": "Theirs"}, {"label": "Mine"}, ["label"]),
        ({"label": "Same"}, {"label": "Same"}, []),
        ({"label": "Theirs"}, MUTED, []),
        (URL, {"label": "Mine"}, []),
        (MUTED, {"notify": NotifySetting.ON}, ["notify"]),
        (checks(interval=30), checks(interval=60), ["interval"]),
        ({"label": None, **checks(rise=2)}, {"label": "Mine", **checks(rise=3)}, ["label", "rise"]),
        # A password that was typed for one URL isn't sent to another.
        (URL, TYPED, ["url"]),
        (USER, TYPED, ["username"]),
        (URL, FORGOTTEN, ["url"]),
        (PASSWORD, TYPED, ["password"]),
        (FORGOTTEN, TYPED, ["password"]),
        (PASSWORD, URL, ["password"]),
        (PASSWORD, {"label": "Mine"}, []),
    ],
)
def test_both_sides_changed_the_same(elsewhere: Changes, here: Changes, fields: list[str]) -> None:
    current = replace(OPENED, **elsewhere)
    edited = replace(current, **here)
    assert conflicting_fields(editable_values(OPENED), current, edited) == fields


def test_fields_that_the_base_lacks_are_not_compared() -> None:
    current = replace(OPENED, label="Theirs", **URL)
    edited = replace(current, label="Mine", **TYPED)
    assert conflicting_fields({}, current, edited) == []
    assert conflicting_fields({"label": "Box"}, current, edited) == ["label"]
    assert conflicting_fields(connection_values(OPENED), current, edited) == ["url"]


def roster(current: ServerProfile) -> Roster:
    return Roster(profiles=(current,), active_id=current.id)


def test_an_edit_merges_what_only_one_side_changed() -> None:
    current = replace(OPENED, **URL, **checks(interval=30))
    base = editable_values(OPENED)
    after = edit(
        roster(current), OPENED.id, EPOCH, base=base, label="Mine", health_check={"fall": 4}
    ).profiles[0]
    assert (after.url, after.label) == (URL["url"], "Mine")
    assert (after.health_check.interval, after.health_check.fall) == (30, 4)


def test_an_edit_that_would_undo_a_newer_one_is_refused() -> None:
    current = replace(OPENED, label="Theirs", **checks(interval=30))
    with pytest.raises(
        EditConflict, match=r"'Theirs' was changed .* \(label, seconds between checks\)"
    ) as error:
        edit(
            roster(current),
            OPENED.id,
            EPOCH,
            base=editable_values(OPENED),
            label="Mine",
            health_check={"interval": 60},
        )
    assert error.value.fields == ["label", "interval"]
