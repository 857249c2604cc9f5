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
from codewalk.servers.draft import Change
from codewalk.servers.profile import DEFAULT_USERNAME, ServerProfile, without_userinfo
from codewalk.web.models import Password, filled

_FIELDS: Final[Mapping[type[CodeWalkError], str]] = MappingProxyType(
    {InvalidURL: "url", InvalidCredentials: "password", InvalidValue: "label"}
)
"""The field that an error is about, where it is about one."""


class Typed(BaseModel):
    """A form as it was sent. What it lacks is empty."""

    model_config = ConfigDict(
        extra="ignore", arbitrary_types_allowed=True, hide_input_in_errors=True
    )

    url: str = ""
    label: str = ""
    username: str = ""
    password: Password = None
    action: Literal["test", "save", "anyway", "forget"] = "save"


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerForm:
    """The form as it is shown: never with a password."""

    heading: str
    address: str
    url: str = ""
    label: str = ""
    username: str = DEFAULT_USERNAME
    has_password: bool = False
    errors: dict[str, str] = field(default_factory=dict)
    found: HealthStatus | None = None
    offer_anyway: bool = False
    password_typed: bool = False

    @classmethod
    def empty(cls) -> Self:
        return cls(heading="Add server", address="/servers/new")

    @classmethod
    def of(cls, profile: ServerProfile) -> Self:
        return cls(
            heading=f"Edit {profile.name}",
            address=f"/servers/{profile.id}/edit",
            url=profile.url,
            label=profile.label or "",
            username=profile.basic_auth_username,
            has_password=profile.basic_auth_password is not None,
        )

    def with_typed(self, typed: Typed, **shown: Any) -> Self:
        """With what was typed, but for a password, in the URL too: none is ever sent back."""
        url = without_userinfo(typed.url).replace("***@", "") if "@" in typed.url else typed.url
        return replace(
            self,
            url=url,
            label=typed.label,
            username=typed.username,
            password_typed=typed.password is not None,
            **shown,
        )

    def on_a_new_page(self) -> Self:
        """As a page of its own: what was typed as a password isn't there any more."""
        if not self.password_typed or "password" in self.errors:
            return self
        again = "Enter the password again: a page never holds one."
        return replace(self, errors={**self.errors, "password": again})

    def refused(self, typed: Typed, exc: CodeWalkError) -> Self:
        """With what is wrong beside the field it is about."""
        errors = {_field_of(exc, typed): exc.message}
        offer_anyway = isinstance(exc, ServerUnreachable)
        return self.with_typed(typed, errors=errors, offer_anyway=offer_anyway)


def credentials(typed: Typed, preset: str) -> dict[str, Any]:
    """The user name and password that were really entered.

    The user name is preset, so it says something only where it was changed or a password is there.
    """
    username, password = typed.username.strip(), filled(typed.password)
    meant = username and (password or username != preset)
    return {"username": username if meant else None, "password": password}


def change_of(typed: Typed, profile: ServerProfile) -> Change:
    """What the form changes; an empty password field keeps the password."""
    if typed.action == "forget":
        return Change(url=typed.url, label=typed.label, no_auth=True)
    given = credentials(typed, profile.basic_auth_username)
    return Change(url=typed.url, label=typed.label, **given)


def _field_of(exc: CodeWalkError, typed: Typed) -> str:
    if isinstance(exc, DuplicateServer):
        return "label" if exc.value == typed.label.strip() else "url"
    return _FIELDS.get(type(exc), "form")
