"""Servers, sessions, models and other values as tables and lines for people."""

import shlex
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from codewalk.cli.output import sanitize
from codewalk.health.status import HealthStatus
from codewalk.reason import Reason, State
from codewalk.times import format_age

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from codewalk.notifications.hook import Hook
    from codewalk.opencode.session import Session
    from codewalk.server import Server
    from codewalk.servers.health_check import HealthCheckSettings
    from codewalk.storage.state import StateSize
    from codewalk.workspace.models import ModelList
    from codewalk.workspace.session_list import SessionList

ACTIVE_MARK: Final = "●"
DEFAULT_MARK: Final = "★"
MANAGED_MARK: Final = "◆"
WARNING_MARK: Final = "⚠"
LEGEND: Final = (
    f"{ACTIVE_MARK} active   {DEFAULT_MARK} default   {MANAGED_MARK} managed by CodeWalk"
)

_STATE_MARKS: Final = {State.HEALTHY: "✓", State.UNHEALTHY: "✗", State.UNKNOWN: "?"}
STATE_STYLES: Final = {State.HEALTHY: "green", State.UNHEALTHY: "red", State.UNKNOWN: "dim"}
_REASON_LABELS: Final = {
    Reason.DNS: "host name not resolved",
    Reason.TLS: "no secure connection",
    Reason.AUTH_REQUIRED: "password required",
    Reason.AUTH_REJECTED: "credentials refused",
    Reason.NOT_OPENCODE: "not an OpenCode server",
    Reason.INCOMPATIBLE: "incompatible release",
    Reason.OFFLINE: "no network",
    Reason.REPORTS_UNHEALTHY: "by its own report",
}
"""The reasons that need other words than their names."""

_SHORT_ID_LENGTH: Final = 8


def role_marks(server: "Server") -> str:
    """Return the marks for active, default and managed, each in a column of its own."""
    flags = (
        (server.active, ACTIVE_MARK),
        (server.default, DEFAULT_MARK),
        (server.profile.managed, MANAGED_MARK),
    )
    return "".join(mark if flag else " " for flag, mark in flags)


def health_text(health: HealthStatus) -> str:
    """Return the state with its reason, unless that adds nothing: `✗ unhealthy: refused`."""
    return state_text(health.state, health.reason)


def state_text(state: State, reason: Reason) -> str:
    """Return a state with its reason, as `health_text` does."""
    adds_nothing = reason in (Reason.OK, Reason.UNCHECKED)
    label = _REASON_LABELS.get(reason, reason.value.replace("_", " "))
    return f"{_STATE_MARKS[state]} {state.value}{'' if adds_nothing else f': {label}'}"


def latency_text(health: HealthStatus) -> str:
    return "" if health.latency_ms is None else f"{health.latency_ms:.1f} ms"


def server_line(server: "Server") -> str:
    """Return one line about a server, as the result of a command that changed it."""
    health = server.health
    parts = (
        health_text(health),
        health.version or "",
        latency_text(health),
        health.detail or "",
    )
    return f"{server.name} ({server.profile.url}): {', '.join(filter(None, parts))}"


def server_table(servers: Sequence["Server"]) -> "Table":
    """Return a table of servers, with their health as a mark, a word and a colour."""
    from rich.text import Text

    now = datetime.now(UTC)
    table = make_table("", "id", "name", "url", "health", "version", "latency", "checked")
    table.columns[6].justify = "right"
    for server in servers:
        health = server.health
        table.add_row(
            Text(role_marks(server), style="bold cyan"),
            Text(server.id[:_SHORT_ID_LENGTH], style="dim"),
            Text(sanitize(server.name), style="bold" if server.active else ""),
            Text(sanitize(server.profile.url)),
            _server_health(server),
            Text(sanitize(health.version or "")),
            Text(latency_text(health)),
            Text(format_age(health.checked_at, now), style="dim"),
        )
    return table


def _server_health(server: "Server") -> "Text":
    from rich.text import Text

    health = server.health
    text = Text(health_text(health), style=STATE_STYLES[health.state])
    if server.warnings:
        text.append(f" {WARNING_MARK}", style="yellow")
    return text


def server_details(server: "Server") -> "Table":
    """Return everything about one server."""
    from rich.text import Text

    now = datetime.now(UTC)
    profile, health = server.profile, server.health
    style = STATE_STYLES[health.state]
    return make_details(
        ("name", Text(sanitize(server.name), style="bold")),
        ("url", Text(sanitize(profile.url))),
        ("id", Text(server.id)),
        ("is", Text(_roles(server))),
        ("credentials", Text(sanitize(_credentials(server)))),
        ("health", Text(health_text(health), style=style)),
        ("detail", Text(sanitize(health.detail or ""), style=style)),
        ("version", Text(sanitize(health.version or ""))),
        *(("warning", Text(sanitize(text), style="yellow")) for text in server.warnings),
        ("latency", Text(latency_text(health))),
        ("checked", Text(format_age(health.checked_at, now))),
        ("check", Text(_check_settings(profile.health_check))),
        ("since", Text(format_age(health.since, now) if health.since else "")),
        ("snoozed", Text(_snoozed(profile.snoozed_until, now))),
        ("notify", Text("" if profile.notify == "default" else profile.notify.value)),
        ("added", Text(format_age(profile.created_at, now))),
    )


def session_table(session_list: "SessionList") -> "Table":
    """Return a table of sessions, newest first."""
    from rich.text import Text

    now = datetime.now(UTC)
    table = make_table("updated", "id", "directory", "title")
    for session in session_list.sessions:
        table.add_row(
            Text(format_age(session.updated_at, now) if session.updated_at else "", style="dim"),
            Text(sanitize(session.id), style="dim"),
            Text(sanitize(session.directory)),
            Text(_session_title(session)),
        )
    return table


def _session_title(session: "Session") -> str:
    title = sanitize(session.title).strip() or "Untitled"
    return f"{title} (archived)" if session.archived else title


def model_table(model_list: "ModelList") -> "Table":
    """Return a table of models, the selected one marked."""
    from rich.text import Text

    table = make_table("", "model", "name")
    for model in model_list.models:
        selected = model.ref == model_list.selected
        table.add_row(
            Text(ACTIVE_MARK if selected else " ", style="bold cyan"),
            Text(sanitize(model.ref), style="bold" if selected else ""),
            Text(sanitize(model.name)),
        )
    return table


def state_table(entries: Sequence["StateSize"]) -> "Table":
    """Return a table of the keys stored for servers, and their sizes."""
    from rich.text import Text

    now = datetime.now(UTC)
    table = make_table("server", "bytes", "updated", "key")
    table.columns[1].justify = "right"
    for entry in entries:
        table.add_row(
            Text(entry.server_id[:_SHORT_ID_LENGTH], style="dim"),
            Text(f"{entry.bytes:,}"),
            Text(format_age(entry.updated_at, now), style="dim"),
            Text(sanitize(entry.key)),
        )
    return table


def doctor_table(checks: Sequence[tuple[str, bool, str]]) -> "Table":
    """Return a table of the doctor's checks: name, whether it passed, and a sentence."""
    from rich.text import Text

    table = make_table("", "check", "result")
    for name, ok, detail in checks:
        style = "green" if ok else "red"
        table.add_row(Text("✓" if ok else "✗", style=style), Text(name), Text(sanitize(detail)))
    return table


def hook_table(hooks: Sequence["Hook"]) -> "Table":
    """Return a table of hooks; of a URL it shows the host alone."""
    from rich.text import Text

    table = make_table("id", "kind", "on", "target")
    for hook in hooks:
        document = hook.to_json()
        target = document["url"] or shlex.join(document["command"])
        table.add_row(
            Text(hook.id[:_SHORT_ID_LENGTH], style="dim"),
            Text(hook.kind.value),
            Text(", ".join(document["events"])),
            Text(sanitize(target)),
        )
    return table


def _snoozed(until: datetime | None, now: datetime) -> str:
    return f"until {until.astimezone():%Y-%m-%d %H:%M}" if until and until > now else ""


def _check_settings(settings: "HealthCheckSettings") -> str:
    """Return how a server is checked: how often, for how long, and how its checks decide."""
    times = f"every {settings.interval:g} s, for {settings.timeout:g} s at most"
    good, failed = _count(settings.rise, "good check"), _count(settings.fall, "failed check")
    return f"{times}; healthy after {good}, unhealthy after {failed}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _roles(server: "Server") -> str:
    roles = (
        (server.active, "active"),
        (server.default, "the default"),
        (server.profile.managed, "managed by CodeWalk"),
    )
    return ", ".join(role for flag, role in roles if flag)


def _credentials(server: "Server") -> str:
    profile = server.profile
    if not profile.basic_auth_enabled:
        return "none"
    stored = "with" if profile.basic_auth_password is not None else "without"
    return f"{profile.basic_auth_username}, {stored} a password"


def make_table(*headers: str) -> "Table":
    """Return an empty table with these columns."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for header in headers:
        table.add_column(header.upper(), no_wrap=True, overflow="ellipsis")
    return table


def make_details(*rows: tuple[str, "Text"]) -> "Table":
    """Return a table of names and values, without the rows whose value is empty."""
    from rich.table import Table

    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="dim")
    table.add_column()
    for name, value in rows:
        if value.plain:
            table.add_row(name, value)
    return table
