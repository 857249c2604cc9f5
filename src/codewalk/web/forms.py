"""The form of a server as it is shown, never with a password."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final, Self

import orjson

from codewalk.errors import (
    CodeWalkError,
    DuplicateServer,
    EditConflict,
    InvalidCredentials,
    InvalidURL,
    InvalidValue,
    ServerUnreachable,
)
from codewalk.health.status import HealthStatus
from codewalk.opencode.defaults import DEFAULT_USERNAME
from codewalk.reason import Reason
from codewalk.servers.conflict import FIELD_LABELS, EditableValues, editable_values
from codewalk.servers.draft import explain_suggestion
from codewalk.servers.health_check import DEFAULT_SETTINGS
from codewalk.servers.profile import NotifySetting, ServerProfile
from codewalk.servers.url import parse_url, strip_secrets, strip_userinfo
from codewalk.web.form_data import SETTINGS, ServerFormData, display_texts, entered_credentials
from codewalk.web.requests import password_or_none

_ERROR_FIELDS: Final[Mapping[type[CodeWalkError], str]] = MappingProxyType(
    {InvalidURL: "url", InvalidCredentials: "password", InvalidValue: "label"}
)
"""The field that an error is about, where it is about one."""

_DEFAULT_SETTING_TEXTS: Final = display_texts(dict(DEFAULT_SETTINGS.items()))

_URL_HINT: Final = "A password in a URL isn't shown again: enter it here."
_ENTER_AGAIN: Final = "Enter the password again: a page never holds one."
_PASSWORD_ERRORS: Final[Mapping[Reason | None, str]] = MappingProxyType(
    {
        Reason.AUTH_REQUIRED: "This server needs a password: enter it here.",
        Reason.AUTH_REJECTED: "The server refused this password or the user name.",
    }
)
"""The message at the password where a check failed for one of these reasons."""

_CHANGED_ELSEWHERE: Final = "Changed elsewhere since this form was opened."
_CONFLICT_ADVICE: Final = "Save again to keep your values, or take the newer ones."

_VALUE_FIELDS: Final = frozenset({"url", "label", "username", "notify"})
"""Fields of a form that show one value each, besides the settings."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerForm:
    """A form to add or edit a server.

    `base` are the values that the form is compared with when it is sent; None where it adds one.
    `conflicts` are the newer values of fields that were changed both here and elsewhere.
    """

    heading: str
    address: str
    preview: str
    url: str = ""
    label: str = ""
    username: str = DEFAULT_USERNAME
    has_password: bool = False
    errors: Mapping[str, str] = field(default_factory=dict)
    hints: Mapping[str, str] = field(default_factory=dict)
    conflicts: Mapping[str, str] = field(default_factory=dict)
    test_result: HealthStatus | None = None
    offer_anyway: bool = False
    suggestion: str | None = None
    password_typed: bool = False
    settings: Mapping[str, str] | None = None
    notify: str = ""
    base: EditableValues | None = None

    @classmethod
    def empty(cls) -> Self:
        """Return the form that adds a server."""
        return cls(heading="Add server", address="/servers/new", preview="/servers/preview")

    @classmethod
    def for_profile(cls, profile: ServerProfile) -> Self:
        """Return the form that edits a profile."""
        base = editable_values(profile)
        texts = display_texts(base)
        return cls(
            heading=f"Edit {profile.name}",
            address=f"/servers/{profile.id}/edit",
            preview=f"/servers/{profile.id}/preview",
            url=profile.url,
            label=texts["label"],
            username=texts["username"],
            has_password=profile.basic_auth_password is not None,
            settings={name: texts[name] for name in SETTINGS},
            notify=texts["notify"],
            base=base,
        )

    @property
    def base_json(self) -> str:
        """`base` as the form carries it."""
        return orjson.dumps(dict(self.base or {})).decode()

    @property
    def has_settings(self) -> bool:
        """Whether a setting of checks or notifications isn't the default."""
        return self.settings != _DEFAULT_SETTING_TEXTS or self.notify != NotifySetting.DEFAULT

    @property
    def focused_field(self) -> str:
        """The field that gets the focus; empty where it stays on the button that was used."""
        if not self.errors and not self.test_result:
            return "url"
        was_checked = self.test_result or self.offer_anyway
        return "password" if was_checked and "password" in self.errors else ""

    @property
    def suggestion_reason(self) -> str:
        """The reason for offering another URL."""
        return explain_suggestion(self.url, self.suggestion) if self.suggestion else ""

    def with_data(self, data: ServerFormData, **changes: Any) -> Self:
        """Return the form with what was typed, but for a password: none is ever sent back.

        A user name in the URL goes to its own field; a password there has to be entered in its.
        Of a profile that is edited, fields that the user left alone have their newest values.
        """
        entered = _EnteredURL.parse(data.url)
        username = entered_credentials(data, self.username)["username"] or entered.username
        password_lost = entered.has_password and password_or_none(data.password) is None
        form = replace(
            self,
            url=entered.url,
            label=data.label,
            username=username or data.username or self.username,
            password_typed=data.password is not None,
            hints={"password": _URL_HINT} if password_lost else {},
        )
        if self.settings and data.has_settings:
            texts = data.texts
            settings = {name: texts[name] for name in SETTINGS}
            form = replace(form, settings=settings, notify=data.notify)
        return replace(self._merge(form, data), **changes)

    def _merge(self, typed: Self, data: ServerFormData) -> Self:
        """Return `typed` with the newest values, which are this form's, of what was left alone."""
        if self.base is None:
            return typed
        base = data.base_values(self.base)
        changed = {*data.changed_texts(base)}
        if typed.username not in (data.username, self.username):
            changed.add("username")  # it stood in the URL
        if data.action == "forget" or password_or_none(data.password):
            changed.add("password")
        unchanged = base.keys() - changed
        settings = {
            name: text if name in changed else (self.settings or {})[name]
            for name, text in (typed.settings or {}).items()
        }
        newer = [name for name in unchanged if base[name] != self.base[name]]
        hints = {name: f"{_prefix(name)}{_CHANGED_ELSEWHERE}" for name in newer}
        return replace(
            typed,
            **{name: getattr(self, name) for name in unchanged & _VALUE_FIELDS},
            settings=settings,
            hints={**hints, **typed.hints},
            base={name: (self.base if name in unchanged else base)[name] for name in base},
        )

    def with_test_result(
        self, data: ServerFormData, result: HealthStatus, suggestion: str | None
    ) -> Self:
        """Return the form with the result of a test of the connection."""
        errors = _password_errors(result.reason)
        return self.with_data(data, test_result=result, suggestion=suggestion, errors=errors)

    def with_error(self, data: ServerFormData, exc: CodeWalkError) -> Self:
        """Return the form with an error beside the field that it is about."""
        errors = {_error_field(exc, data): exc.message}
        if isinstance(exc, InvalidURL):
            return self.with_data(data, errors=errors, suggestion=exc.suggestion)
        if not isinstance(exc, ServerUnreachable):
            return self.with_data(data, errors=errors)
        # The form itself offers the suggestion, below the verdict.
        errors["form"] = exc.message.removesuffix(f" Is it {exc.suggestion}?")
        errors |= _password_errors(exc.reason)
        return self.with_data(data, errors=errors, offer_anyway=True, suggestion=exc.suggestion)

    def with_conflict(self, data: ServerFormData, exc: EditConflict) -> Self:
        """Return the form with both values of each field that `exc` is about.

        Sent once more, it replaces the newer values: its user has seen them by then.
        """
        newest = self.base or {}
        texts = display_texts(newest)
        changed = data.changed_texts(data.base_values(newest))
        errors = {name: _conflict_message(name, texts.get(name)) for name in exc.fields}
        errors["form"] = f"{exc.message} {_CONFLICT_ADVICE}"
        conflicts = {name: texts[name] for name in exc.fields if name in changed}
        return self.with_data(data, errors=errors, conflicts=conflicts, base=self.base)

    def for_new_page(self) -> Self:
        """Return the form for a page of its own, from which a typed password is gone."""
        if not self.password_typed:
            return self
        message = f"{self.errors.get('password', '')} {_ENTER_AGAIN}".strip()
        return replace(self, errors={**self.errors, "password": message})


@dataclass(frozen=True, kw_only=True, slots=True)
class _EnteredURL:
    """A URL as it may be shown again, and which credentials stood in it."""

    url: str
    username: str | None = None
    has_password: bool = False

    @classmethod
    def parse(cls, text: str) -> Self:
        try:
            parsed = parse_url(text)
        except InvalidURL:
            # Whatever stands before an at sign may be a password, and a query may be one too.
            has_password = strip_userinfo(text) != text
            return cls(url=strip_secrets(text), has_password=has_password)
        if not (parsed.username or parsed.password):
            return cls(url=text)
        has_password = parsed.password is not None
        return cls(url=parsed.url, username=parsed.username, has_password=has_password)


def _conflict_message(name: str, newest: str | None) -> str:
    if name == "password":
        return "Another password was stored, or it was removed, since this form was opened."
    if not newest:
        return "Removed elsewhere since this form was opened."
    return f"{_prefix(name)}Now “{newest}”. {_CHANGED_ELSEWHERE}"


def _prefix(name: str) -> str:
    """Name the field in messages of settings, which stand below all of them."""
    return f"{FIELD_LABELS[name].capitalize()}: " if name in SETTINGS else ""


def _password_errors(reason: Reason | None) -> dict[str, str]:
    return {"password": _PASSWORD_ERRORS[reason]} if reason in _PASSWORD_ERRORS else {}


def _error_field(exc: CodeWalkError, data: ServerFormData) -> str:
    if isinstance(exc, DuplicateServer):
        return "label" if exc.value == data.label.strip() else "url"
    return _ERROR_FIELDS.get(type(exc), "form")
