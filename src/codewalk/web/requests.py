"""The bodies and queries that the API takes, as `INTERFACE.md` has them."""

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
"""A password as it arrives: a `Secret` from the first moment on."""


class _In(BaseModel):
    model_config = ConfigDict(
        extra="forbid", strict=True, arbitrary_types_allowed=True, hide_input_in_errors=True
    )


def _bounded(setting: str, description: str) -> Any:
    least, most = SETTING_BOUNDS[setting]
    return Field(None, ge=least, le=most, allow_inf_nan=False, description=description)


class NewServer(_In):
    """A server to add."""

    url: str
    label: str | None = None
    username: str | None = None
    password: Password = None
    check: bool = Field(True, description="Whether an unreachable server is refused.")

    @property
    def credentials(self) -> dict[str, Any]:
        return {"username": self.username or None, "password": password_or_none(self.password)}


class HealthCheckChange(_In):
    """How a server is checked. What is absent stays as it is, null is the default."""

    interval_s: float | None = _bounded("interval", "Seconds between two checks.")
    timeout_s: float | None = _bounded("timeout", "Seconds for a whole check.")
    rise: int | None = _bounded("rise", "Good checks in a row that make it healthy.")
    fall: int | None = _bounded("fall", "Failed checks in a row that make it unhealthy.")

    def to_settings(self) -> dict[str, float | None]:
        given = self.model_dump(exclude_unset=True)
        return {name.removesuffix("_s"): value for name, value in given.items()}


class ServerChange(_In):
    """What to change of a server; what is absent stays as it is."""

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
    """The password, or None for an empty one: that is a field nobody filled in."""
    return password if password and password.reveal() else None


class ActiveChoice(_In):
    """Which server becomes active."""

    id: str
    force: bool = Field(False, description="Whether even an unhealthy one.")


class DefaultChoice(_In):
    """Which server becomes the default."""

    id: str


class Snooze(_In):
    """Until when nothing is told of a server."""

    until: AwareDatetime = Field(strict=False, description="Within a year from now.")


class ServerMove(_In):
    """Where in the list a server goes."""

    before: str | None = Field(description="The id of the server it goes before; null is the end.")


_Meant = Annotated[
    str | None,
    Field(description="The server that is meant: where another one is active, 409 `superseded`."),
]


class WorkQuery(BaseModel):
    """Which list; a name that isn't known is refused, for a typing error would mislead."""

    model_config = ConfigDict(extra="forbid")

    cached: bool = Field(
        False, description="Whether to give the list as last fetched and ask no server."
    )
    server_id: _Meant = None


class SessionQuery(WorkQuery):
    """Which sessions."""

    directory: str | None = Field(
        None, description="The project's folder; without it the server's own."
    )


class NewSession(_In):
    """A session to make on the active server."""

    server_id: str = Field(
        description="The server that is meant: where another one is active, nothing is sent to it."
    )
    directory: str | None = Field(
        None, description="The project's folder; without it where the server was started."
    )
    title: str | None = Field(None, description="Without one the server makes one up.")


class HistoryQuery(BaseModel):
    """Which part of a history."""

    model_config = ConfigDict(extra="forbid")

    since: str | None = Field(
        None,
        description="Where to begin: `24h`, `7d` or a time (RFC 3339); 24 hours before the end "
        "without it, 30 days ago at most.",
    )
    until: str | None = Field(
        None, description="Where to end, said in the same way; now without it."
    )
