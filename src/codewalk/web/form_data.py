"""A server's form as a browser sent it, and what it changes of a profile."""

from collections.abc import Mapping
from typing import Any, Final, Literal

import orjson
from pydantic import BaseModel, ConfigDict

from codewalk.errors import InvalidValue
from codewalk.servers.conflict import EditableValues
from codewalk.servers.draft import Change
from codewalk.servers.health_check import SETTING_BOUNDS, parse_setting
from codewalk.servers.profile import NotifySetting, ServerProfile
from codewalk.web.requests import Password, password_or_none

SETTINGS: Final = tuple(SETTING_BOUNDS)
"""The fields of the form that are settings of the health check."""


class ServerFormData(BaseModel):
    """A form as it was sent; what it lacks is empty.

    `base` is the JSON of the values that the form was opened with. `try_url` and `use_current` are
    buttons: a URL that was offered instead, and a field whose newer value is taken.
    """

    model_config = ConfigDict(
        extra="ignore", arbitrary_types_allowed=True, hide_input_in_errors=True
    )

    url: str = ""
    label: str = ""
    username: str = ""
    password: Password = None
    interval: str = ""
    timeout: str = ""
    rise: str = ""
    fall: str = ""
    notify: Literal["", "on", "off", "default"] = ""
    base: str = ""
    action: Literal["test", "save", "anyway", "forget", "show"] = "save"
    try_url: str = ""
    use_current: str = ""

    @property
    def has_settings(self) -> bool:
        """Whether the form had the part on checks and notifications, whose fields may be empty."""
        return bool(self.notify)

    @property
    def texts(self) -> dict[str, str]:
        """The text of each field but the password."""
        names = ["url", "label", "username"]
        if self.has_settings:
            names += [*SETTINGS, "notify"]
        return {name: getattr(self, name).strip() for name in names}

    def with_offer(self) -> "ServerFormData":
        """Return the form after a click on an offer: another URL to test, or a newer value."""
        if self.try_url:
            return self.model_copy(update={"url": self.try_url, "action": "test"})
        if self.use_current in self.texts:
            newer = display_texts(_parse_values(self.base)).get(self.use_current, "")
            return self.model_copy(update={self.use_current: newer, "action": "show"})
        return self

    def base_values(self, current: EditableValues) -> EditableValues:
        """Return the values that the form was opened with; the current ones where it names none."""
        sent = _parse_values(self.base)
        return {name: sent.get(name, value) for name, value in current.items()}

    def changed_texts(self, base: EditableValues) -> dict[str, str]:
        """Return the text of each field that the user changed, but for the password."""
        base_texts = display_texts(base)
        changed = {name: text for name, text in self.texts.items() if text != base_texts[name]}
        if changed.get("username") == "":
            del changed["username"]  # emptied, it says nothing: each server has some user name
        return changed


def display_texts(values: EditableValues) -> dict[str, str]:
    """Return values as a form shows them, but for the password."""
    return {
        name: "" if value is None else value if isinstance(value, str) else f"{value:g}"
        for name, value in values.items()
        if name != "password"
    }


def entered_credentials(data: ServerFormData, preset: str) -> dict[str, Any]:
    """Return the user name and password that were really entered.

    The user name is preset: it counts only where it was changed or a password stands beside it.
    """
    username, password = data.username.strip(), password_or_none(data.password)
    is_meant = username and (password or username != preset)
    return {"username": username if is_meant else None, "password": password}


def change_from_form(data: ServerFormData, base: EditableValues) -> Change:
    """Return what a form changes of the values that it was opened with.

    An empty password field keeps the password, an empty setting of the checks is its default.

    Raises:
        InvalidValue: A setting isn't a number; `invalid_settings` tells which.
    """
    changed = data.changed_texts(base)
    forget = data.action == "forget"
    return Change(
        url=changed.get("url"),
        label=changed.get("label"),
        username=None if forget else changed.get("username"),
        password=None if forget else password_or_none(data.password),
        no_auth=forget,
        health_check={
            name: _parse_setting(name, changed[name]) for name in SETTINGS if name in changed
        },
        notify=NotifySetting(changed["notify"]) if "notify" in changed else None,
    )


def invalid_settings(
    data: ServerFormData, base: EditableValues, profile: ServerProfile
) -> dict[str, str]:
    """Return what is wrong with each setting of the checks that was changed, by its name."""
    errors = {}
    changed = data.changed_texts(base)
    for name in SETTINGS:
        try:
            if name in changed:
                profile.health_check.with_changes({name: _parse_setting(name, changed[name])})
        except InvalidValue as exc:
            errors[name] = exc.message
    return errors


def _parse_setting(name: str, text: str) -> float | None:
    return parse_setting(name, text) if text else None


def _parse_values(text: str) -> EditableValues:
    """Return the values in the JSON of a form, without those that can't be any."""
    try:
        values = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}
    if not isinstance(values, Mapping):
        return {}
    allowed = (str, int, float, type(None))
    return {name: value for name, value in values.items() if isinstance(value, allowed)}
