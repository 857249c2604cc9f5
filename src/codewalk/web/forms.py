"""What a user types into the form of a server, and how it is shown again."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict

from codewalk.errors import (
    CodeWalkError,
    DuplicateServer,
    InvalidCredentials,
    InvalidURL,
    InvalidValue,
    ServerUnreachable,
)
from codewalk.health.status import HealthStatus
from codewalk.opencode.defaults import DEFAULT_USERNAME
from codewalk.servers.draft import Change
from codewalk.servers.health_check import (
    DEFAULT_SETTINGS,
    SETTING_BOUNDS,
    HealthCheckSettings,
    parse_setting,
)
from codewalk.servers.profile import NotifySetting, ServerProfile
from codewalk.servers.url import parse_url, strip_userinfo
from codewalk.web.requests import Password, password_or_none

_FIELDS: Final[Mapping[type[CodeWalkError], str]] = MappingProxyType(
    {InvalidURL: "url", InvalidCredentials: "password", InvalidValue: "label"}
)
"""The field that an error is about, where it is about one."""

_IN_THE_URL: Final = "A password in a URL isn't shown again: enter it here."


class ServerFormData(BaseModel):
    """A form as it was sent. What it lacks is empty."""

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
    action: Literal["test", "save", "anyway", "forget"] = "save"
    instead: str = ""

    @property
    def has_settings(self) -> bool:
        """Whether the form had the part on checks and notifications, whose fields may all be empty:
        what is empty isn't told from what isn't there."""
        return bool(self.notify)

    @property
    def meant(self) -> "ServerFormData":
        """With the URL that was offered instead, to be tried out, where that was taken."""
        if not self.instead:
            return self
        return self.model_copy(update={"url": self.instead, "action": "test", "instead": ""})


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerForm:
    """The form as it is shown: never with a password."""

    heading: str
    address: str
    preview: str
    url: str = ""
    label: str = ""
    username: str = DEFAULT_USERNAME
    has_password: bool = False
    errors: dict[str, str] = field(default_factory=dict)
    hints: dict[str, str] = field(default_factory=dict)
    found: HealthStatus | None = None
    offer_anyway: bool = False
    suggestion: str | None = None
    password_typed: bool = False
    checks: Mapping[str, str] | None = None
    notify: str = ""

    @classmethod
    def empty(cls) -> Self:
        return cls(heading="Add server", address="/servers/new", preview="/servers/preview")

    @classmethod
    def prefilled(cls, url: str, *, username: str = "", lost: bool = False) -> Self:
        """With a URL that was typed elsewhere; `lost` is whether a password was taken out of it."""
        typed = ServerFormData(url=url, username=username or DEFAULT_USERNAME)
        form = cls.empty().with_data(typed)
        return replace(form, hints={"password": _IN_THE_URL}) if lost else form

    @property
    def prefill_query(self) -> dict[str, str]:
        """What to begin with, as an address may have it; the names are those of `begun`."""
        known = {"url": self.url, "username": self.username, "lost": "true" if self.hints else ""}
        if self.username == DEFAULT_USERNAME:
            del known["username"]
        return {name: value for name, value in known.items() if value}

    @classmethod
    def for_profile(cls, profile: ServerProfile) -> Self:
        return cls(
            heading=f"Edit {profile.name}",
            address=f"/servers/{profile.id}/edit",
            preview=f"/servers/{profile.id}/preview",
            url=profile.url,
            label=profile.label or "",
            username=profile.basic_auth_username,
            has_password=profile.basic_auth_password is not None,
            checks=_shown(profile.health_check),
            notify=profile.notify.value,
        )

    @property
    def has_settings(self) -> bool:
        """Whether it says anything of checks and notifications but the defaults."""
        return self.checks != _shown(DEFAULT_SETTINGS) or self.notify != NotifySetting.DEFAULT

    def with_data(self, typed: ServerFormData, **shown: Any) -> Self:
        """With what was typed, but for a password: none is ever sent back. A user name in the URL
        goes to its own field, and a password there has to be entered in its."""
        entered = _Entered.of(typed.url)
        username = entered_credentials(typed, self.username)["username"] or entered.username
        lost = entered.password and password_or_none(typed.password) is None
        return replace(
            self,
            url=entered.url,
            label=typed.label,
            username=username or typed.username,
            password_typed=typed.password is not None,
            hints={"password": _IN_THE_URL} if lost else {},
            checks=_texts(typed) if self.checks and typed.has_settings else self.checks,
            notify=typed.notify or self.notify,
            **shown,
        )

    def with_test_result(
        self, typed: ServerFormData, found: HealthStatus, suggestion: str | None
    ) -> Self:
        """With what the check of the connection found."""
        return self.with_data(typed, found=found, suggestion=suggestion)

    def for_new_page(self) -> Self:
        """As a page of its own: what was typed as a password isn't there any more."""
        if not self.password_typed or "password" in self.errors:
            return self
        again = "Enter the password again: a page never holds one."
        return replace(self, errors={**self.errors, "password": again})

    def with_error(self, typed: ServerFormData, exc: CodeWalkError) -> Self:
        """With what is wrong beside the field it is about."""
        errors = {_field_of(exc, typed): exc.message}
        if not isinstance(exc, ServerUnreachable):
            return self.with_data(typed, errors=errors)
        return self.with_data(typed, errors=errors, offer_anyway=True, suggestion=exc.suggestion)


def entered_credentials(typed: ServerFormData, preset: str) -> dict[str, Any]:
    """The user name and password that were really entered.

    The user name is preset, so it says something only where it was changed or a password is there.
    """
    username, password = typed.username.strip(), password_or_none(typed.password)
    meant = username and (password or username != preset)
    return {"username": username if meant else None, "password": password}


def change_from_form(typed: ServerFormData, profile: ServerProfile) -> Change:
    """What the form changes; an empty password field keeps the password, an empty setting of the
    checks is its default.

    Raises `InvalidValue` for such a setting; `invalid_settings` tells which before.
    """
    notify = NotifySetting(typed.notify) if typed.notify else None
    fixed = Change(url=typed.url, label=typed.label, notify=notify)
    if typed.action == "forget":
        return replace(fixed, no_auth=True, health_check=_settings_of(typed, profile))
    given = entered_credentials(typed, profile.basic_auth_username)
    return replace(fixed, health_check=_settings_of(typed, profile), **given)


def invalid_settings(typed: ServerFormData, profile: ServerProfile) -> dict[str, str]:
    """What is wrong with each setting of the checks, by its name."""
    wrong = {}
    for name, text in _entered_settings(typed, profile).items():
        try:
            profile.health_check.with_changes({name: _read(name, text)})
        except InvalidValue as exc:
            wrong[name] = exc.message
    return wrong


def _settings_of(typed: ServerFormData, profile: ServerProfile) -> Mapping[str, float | None]:
    entered = _entered_settings(typed, profile)
    return {name: _read(name, text) for name, text in entered.items()}


def _entered_settings(typed: ServerFormData, profile: ServerProfile) -> Mapping[str, str]:
    """Those that were really changed. A form without them, a program's say, changes none."""
    if not typed.has_settings:
        return {}
    before = _shown(profile.health_check)
    return {name: text for name, text in _texts(typed).items() if text != before[name]}


def _texts(typed: ServerFormData) -> Mapping[str, str]:
    return {name: getattr(typed, name).strip() for name in SETTING_BOUNDS}


def _read(name: str, text: str) -> float | None:
    return parse_setting(name, text) if text else None


def _shown(settings: HealthCheckSettings) -> Mapping[str, str]:
    return {name: f"{value:g}" for name, value in settings.items()}


@dataclass(frozen=True, kw_only=True, slots=True)
class _Entered:
    """A URL as it may be shown again, and what else stood in it."""

    url: str
    username: str | None = None
    password: bool = False

    @classmethod
    def of(cls, typed: str) -> Self:
        try:
            parsed = parse_url(typed)
        except InvalidURL:
            # Whatever stands before an at sign may hold a password.
            shown = strip_userinfo(typed)
            return cls(url=shown, password=shown != typed)
        if not (parsed.username or parsed.password):
            return cls(url=typed)
        return cls(url=parsed.url, username=parsed.username, password=parsed.password is not None)


def _field_of(exc: CodeWalkError, typed: ServerFormData) -> str:
    if isinstance(exc, DuplicateServer):
        return "label" if exc.value == typed.label.strip() else "url"
    return _FIELDS.get(type(exc), "form")
