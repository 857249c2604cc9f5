"""Bodies and queries of API requests."""

from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from codewalk.secret import Secret
from codewalk.servers.draft import Change
from codewalk.servers.health_check import SETTING_BOUNDS
from codewalk.servers.profile import NotifySetting


def _secret(value: Any) -> Any:
    if value is not None and not isinstance(value, str):
        raise ValueError("Input should be a valid string")
    return value if value is None else Secret(value)


Password = Annotated[
    Secret | None,
    BeforeValidator(_secret),
    WithJsonSchema(
        {"anyOf": [{"type": "string", "format": "password"}, {"type": "null"}], "writeOnly": True}
    ),
]
"""A password in a request, which becomes a `Secret` at once."""


class _Body(BaseModel):
    model_config = ConfigDict(
        extra="forbid", strict=True, arbitrary_types_allowed=True, hide_input_in_errors=True
    )


def _bounded(setting: str, description: str) -> Any:
    minimum, maximum = SETTING_BOUNDS[setting]
    return Field(None, ge=minimum, le=maximum, allow_inf_nan=False, description=description)


class NewServer(_Body):
    """A server to add."""

    url: str
    label: str | None = None
    username: str | None = None
    password: Password = None
    check: bool = Field(True, description="Whether an unreachable server is refused.")

    @property
    def credentials(self) -> dict[str, Any]:
        return {"username": self.username or None, "password": password_or_none(self.password)}


class HealthCheckChange(_Body):
    """Settings of a server's health check; absent ones stay as they are, null is the default."""

    interval_s: float | None = _bounded("interval", "Seconds between two checks.")
    timeout_s: float | None = _bounded("timeout", "Seconds for a whole check.")
    rise: int | None = _bounded("rise", "Successful checks in a row that make it healthy.")
    fall: int | None = _bounded("fall", "Failed checks in a row that make it unhealthy.")

    def to_settings(self) -> dict[str, float | None]:
        """Return the settings by their names in `HealthCheckSettings`."""
        given = self.model_dump(exclude_unset=True)
        return {name.removesuffix("_s"): value for name, value in given.items()}


class ServerChange(_Body):
    """A change of a server; absent fields stay as they are."""

    url: str = ""
    label: str | None = Field(None, description="Empty or null removes the label.")
    username: str | None = Field(None, description="Null leaves it as it is.")
    password: Password = Field(
        None, description="Null removes the credentials; empty leaves them as they are."
    )
    health_check: HealthCheckChange | None = Field(None, description="Null is all defaults.")
    notify: NotifySetting | None = Field(None, strict=False, description="Null leaves it as it is.")
    check: bool = Field(True, description="Whether an unreachable server is refused.")

    def to_change(self) -> Change:
        """Return the change that the body describes."""
        given = self.model_fields_set
        return Change(
            url=self.url if "url" in given else None,
            label=(self.label or "") if "label" in given else None,
            username=self.username or None,
            password=password_or_none(self.password),
            no_auth="password" in given and self.password is None,
            health_check=self._settings if "health_check" in given else {},
            notify=self.notify,
        )

    @property
    def _settings(self) -> dict[str, float | None]:
        return (
            self.health_check.to_settings() if self.health_check else dict.fromkeys(SETTING_BOUNDS)
        )


def password_or_none(password: Secret | None) -> Secret | None:
    """Return the password; None for an empty one, which is a field that wasn't filled in."""
    return password if password and password.reveal() else None


class ActiveChoice(_Body):
    """Which server becomes active."""

    id: str
    force: bool = Field(False, description="Whether even an unhealthy one.")


class DefaultChoice(_Body):
    """Which server becomes the default."""

    id: str


class Snooze(_Body):
    """Until when notifications about a server are muted."""

    until: AwareDatetime = Field(strict=False, description="Within a year from now.")


class ServerMove(_Body):
    """The new place of a server in the list."""

    before: str | None = Field(description="The id of the server it goes before; null is the end.")


_ServerId = Annotated[
    str | None,
    Field(description="The intended server: 409 `superseded` if another one is active."),
]


class CachedQuery(BaseModel):
    """How to get a list; unknown names are refused, since a typing error would mislead."""

    model_config = ConfigDict(extra="forbid")

    cached: bool = Field(
        False, description="Whether to return the list as last fetched, without asking the server."
    )


class WorkQuery(CachedQuery):
    """Which list of the active server to return."""

    server_id: _ServerId = None


class ServerSessionQuery(CachedQuery):
    """Which sessions of a server to return."""

    directory: str | None = Field(
        None, description="The project's folder; by default the server's own."
    )
    archived: bool = Field(False, description="Whether archived sessions are listed too.")


class SessionQuery(ServerSessionQuery, WorkQuery):
    """Which sessions of the active server to return."""


class NewSession(_Body):
    """A session to create on the active server."""

    server_id: str = Field(
        description="The intended server: 409 `superseded` if another one is active."
    )
    directory: str | None = Field(
        None, description="The project's folder; by default the one that the server was started in."
    )
    title: str | None = Field(None, description="Without one the server chooses it.")


class HistoryQuery(BaseModel):
    """Which part of a history to return."""

    model_config = ConfigDict(extra="forbid")

    since: str | None = Field(
        None,
        description="The start: `24h`, `7d` or a time (RFC 3339); by default 24 hours before the "
        "end, at most 30 days ago.",
    )
    until: str | None = Field(None, description="The end, in the same form; by default now.")
