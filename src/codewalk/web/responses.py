"""The bodies that the API answers with, as `INTERFACE.md` has them."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from codewalk.reason import Reason, State
from codewalk.servers.profile import NotifySetting

Moment = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]
"""RFC 3339 in UTC with milliseconds, as the core writes it."""


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


class HealthCheck(_Out):
    interval_s: float = Field(description="Seconds between two checks.")
    timeout_s: float = Field(description="Seconds for a whole check.")
    rise: int = Field(description="Good checks in a row that make it healthy.")
    fall: int = Field(description="Failed checks in a row that make it unhealthy.")


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
    health_check: HealthCheck
    snoozed_until: Moment | None = Field(description="Until then nothing is told of it.")
    notify: NotifySetting = Field(
        description="`off`: nothing is told of it; `on`: it has a live link, however long the list."
    )


class UptimeBody(_Out):
    percent: float | None = Field(
        description="The part of the known time in which it was up; null where none is known."
    )
    known_s: int = Field(description="The time in which somebody looked.")


class UptimesBody(_Out):
    last_24h: UptimeBody
    last_7d: UptimeBody
    last_30d: UptimeBody


class TransitionBody(_Out):
    at: Moment
    from_: State = Field(alias="from")
    to: State
    reason: Reason
    detail: str | None
    version: str | None
    lasted_ms: int | None = Field(description="Null for the state that still lasts.")


class PeriodBody(_Out):
    at: Moment
    span_s: int = Field(description="60; 3600 where no minutes are known.")
    checks: int
    failures: int
    latency_min_ms: float | None
    latency_mean_ms: float | None
    latency_p95_ms: float | None = Field(description="For an hour: the mean of its minutes'.")


class CheckBody(_Out):
    at: Moment
    ok: bool
    reason: Reason
    latency_ms: float | None


class HistoryBody(_Out):
    """Transitions are newest first, all else oldest first."""

    server_id: str
    since: Moment
    until: Moment
    uptime: UptimesBody = Field(description="Up to now, whatever part is asked for.")
    transitions: list[TransitionBody]
    more_transitions: bool = Field(description="Whether there are older ones within that time.")
    periods: list[PeriodBody]
    checks: list[CheckBody] = Field(description="The last 60, whatever part is asked for.")


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


class ProjectBody(_Out):
    id: str
    directory: str
    name: str
    own: bool = Field(description="Whether the server was started in it.")
    created_at: Moment | None
    updated_at: Moment | None


class ProjectListBody(_Out):
    server_id: str
    source: Literal["live", "cache"]
    fetched_at: Moment | None
    projects: list[ProjectBody]


class ModelBody(_Out):
    provider_id: str
    model_id: str
    name: str


class ModelListBody(_Out):
    server_id: str
    selected: str | None = Field(description="The selection kept for this server.")
    models: list[ModelBody]


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
