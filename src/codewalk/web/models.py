"""The bodies of the API, as `INTERFACE.md` has them and as the OpenAPI document tells them."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from codewalk.health.status import Reason, State
from codewalk.secret import Secret
from codewalk.servers.draft import Change


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

Moment = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]
"""RFC 3339 in UTC with milliseconds, as the core writes it."""


class _In(BaseModel):
    model_config = ConfigDict(
        extra="forbid", strict=True, arbitrary_types_allowed=True, hide_input_in_errors=True
    )


class NewServer(_In):
    """A server to add."""

    url: str
    label: str | None = None
    username: str | None = None
    password: Password = None
    check: bool = Field(True, description="Whether an unreachable server is refused.")

    @property
    def credentials(self) -> dict[str, Any]:
        return {"username": self.username or None, "password": filled(self.password)}


class ServerChange(_In):
    """What to change of a server; what is absent stays as it is."""

    url: str = ""
    label: str | None = Field(None, description="Empty or null removes the label.")
    username: str | None = Field(None, description="Null leaves it as it is.")
    password: Password = Field(
        None, description="Null removes the credentials; empty leaves them as they are."
    )
    check: bool = Field(True, description="Whether an unreachable server is refused.")

    def to_change(self) -> Change:
        given = self.model_fields_set
        return Change(
            url=self.url if "url" in given else None,
            label=(self.label or "") if "label" in given else None,
            username=self.username or None,
            password=filled(self.password),
            no_auth="password" in given and self.password is None,
        )


def filled(password: Secret | None) -> Secret | None:
    """The password, or None for an empty one: that is a field nobody filled in."""
    return password if password and password.reveal() else None


class ActiveChoice(_In):
    """Which server becomes active."""

    id: str
    force: bool = Field(False, description="Whether even an unhealthy one.")


class DefaultChoice(_In):
    """Which server becomes the default."""

    id: str


class SessionQuery(BaseModel):
    """Which sessions; a name that isn't known is refused, for a typing error would mislead."""

    model_config = ConfigDict(extra="forbid")

    directory: str | None = Field(
        None, description="The project's folder; without it the server's own."
    )
    cached: bool = Field(
        False, description="Whether to give the list as last fetched and ask no server."
    )


class _Out(BaseModel):
    # The document tells what comes, and a client may count on it.
    model_config = ConfigDict(extra="forbid", json_schema_serialization_defaults_required=True)


class BasicAuth(_Out):
    enabled: bool
    username: str
    has_password: bool


class Health(_Out):
    state: State
    reason: Reason
    detail: str | None = Field(description="One sentence for a person.")
    version: str | None
    latency_ms: float | None
    checked_at: Moment | None
    since: Moment | None


class ServerBody(_Out):
    id: str
    url: str
    label: str | None
    name: str = Field(description="The label, else the URL without its scheme.")
    basic_auth: BasicAuth
    managed: bool = Field(description="Whether CodeWalk itself runs it.")
    active: bool
    default: bool
    created_at: Moment
    updated_at: Moment
    health: Health


class RemovedBody(_Out):
    removed: str
    active: str | None = Field(description="The id of the server that is active now.")


class NoDefault(_Out):
    default: None


class SessionBody(_Out):
    id: str
    title: str
    directory: str
    created_at: Moment | None
    updated_at: Moment | None


class SessionListBody(_Out):
    server_id: str
    directory: str | None
    source: Literal["live", "cache"]
    fetched_at: Moment | None
    sessions: list[SessionBody]


class Alive(_Out):
    ok: Literal[True]
    version: str


class FieldProblem(BaseModel):
    pointer: str = Field(description="The part of the body, as a JSON pointer.")
    detail: str


class ProblemBody(BaseModel):
    """RFC 9457. `errors` is there only where parts of a body were refused."""

    model_config = ConfigDict(extra="forbid")

    type: str
    title: str
    status: int
    detail: str
    code: str
    errors: list[FieldProblem] = []
