"""Schemas of the API's responses, for its OpenAPI document alone.

The bodies themselves are made by the `to_json` methods of the core, and aren't validated again for
each response; tests/unit/web/test_responses.py and the fuzz test hold both together.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from codewalk.reason import Reason, State
from codewalk.servers.profile import NotifySetting

Timestamp = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]
"""RFC 3339 in UTC with milliseconds."""


class _Schema(BaseModel):
    # All keys are always there, and no others.
    model_config = ConfigDict(extra="forbid", json_schema_serialization_defaults_required=True)


class BasicAuth(_Schema):
    enabled: bool
    username: str
    has_password: bool


class Health(_Schema):
    state: State
    reason: Reason
    detail: str | None = Field(description="One sentence for a person.")
    version: str | None
    latency_ms: float | None
    checked_at: Timestamp | None
    since: Timestamp | None
    warning: str | None = Field(
        description="One sentence about a server that answers its checks and fails otherwise."
    )


class HealthCheck(_Schema):
    interval_s: float = Field(description="Seconds between two checks.")
    timeout_s: float = Field(description="Seconds for a whole check.")
    rise: int = Field(description="Successful checks in a row that make it healthy.")
    fall: int = Field(description="Failed checks in a row that make it unhealthy.")


class ServerBody(_Schema):
    id: str
    url: str
    label: str | None
    name: str = Field(description="The label, else the URL without its scheme.")
    basic_auth: BasicAuth
    managed: bool = Field(description="Whether CodeWalk itself runs it.")
    active: bool
    default: bool
    created_at: Timestamp
    updated_at: Timestamp
    health: Health
    health_check: HealthCheck
    snoozed_until: Timestamp | None = Field(description="Until then its notifications are muted.")
    notify: NotifySetting = Field(
        description="`off`: no notifications; `on`: it has a live link, however long the list is."
    )


class UptimeBody(_Schema):
    percent: float | None = Field(
        description="The share of the monitored time in which it was up; null if there is none."
    )
    monitored_s: int = Field(description="Seconds in which it was monitored.")


class UptimesBody(_Schema):
    last_24h: UptimeBody
    last_7d: UptimeBody
    last_30d: UptimeBody


class TransitionBody(_Schema):
    at: Timestamp
    from_: State = Field(alias="from")
    to: State
    reason: Reason
    detail: str | None
    version: str | None
    lasted_ms: int | None = Field(description="Null for the state that still lasts.")


class PeriodBody(_Schema):
    at: Timestamp
    span_s: int = Field(description="60; 3600 if no minutes are known.")
    checks: int
    failures: int
    latency_min_ms: float | None
    latency_mean_ms: float | None
    latency_p95_ms: float | None = Field(description="For an hour: the mean of its minutes'.")


class CheckBody(_Schema):
    at: Timestamp
    ok: bool
    reason: Reason
    latency_ms: float | None


class HistoryBody(_Schema):
    """Transitions are newest first, all else oldest first."""

    server_id: str
    since: Timestamp
    until: Timestamp
    uptime: UptimesBody = Field(description="Up to now, whatever part is requested.")
    transitions: list[TransitionBody]
    more_transitions: bool = Field(description="Whether there are older ones in that time.")
    periods: list[PeriodBody]
    checks: list[CheckBody] = Field(description="The last 60, whatever part is requested.")


class RemovedBody(_Schema):
    removed: str
    active: str | None = Field(description="The id of the server that is active now.")


class NoDefaultBody(_Schema):
    default: None


class SessionBody(_Schema):
    id: str
    title: str
    directory: str
    parent_id: str | None = Field(description="The session that started it; null without one.")
    archived: bool
    created_at: Timestamp | None
    updated_at: Timestamp | None


class SessionListBody(_Schema):
    server_id: str
    directory: str | None
    source: Literal["live", "cache"]
    fetched_at: Timestamp | None
    sessions: list[SessionBody]


class ProjectBody(_Schema):
    id: str
    directory: str
    name: str
    own: bool = Field(description="Whether the server was started in it.")
    created_at: Timestamp | None
    updated_at: Timestamp | None


class ProjectListBody(_Schema):
    server_id: str
    source: Literal["live", "cache"]
    fetched_at: Timestamp | None
    projects: list[ProjectBody]


class ModelBody(_Schema):
    provider_id: str
    model_id: str
    name: str


class ModelListBody(_Schema):
    server_id: str
    selected: str | None = Field(description="The model selected for this server.")
    models: list[ModelBody]


class HealthzBody(_Schema):
    ok: Literal[True]
    version: str


class FieldProblem(BaseModel):
    pointer: str = Field(description="The part of the body, as a JSON pointer.")
    detail: str


class ProblemBody(BaseModel):
    """RFC 9457; `errors` is there only if parts of a body were refused."""

    model_config = ConfigDict(extra="forbid")

    type: str
    title: str
    status: int
    detail: str
    code: str
    errors: list[FieldProblem] = []
