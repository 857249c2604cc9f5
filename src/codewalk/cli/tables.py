"""Servers, sessions and models as people see them: tables and lines."""

import shlex
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from codewalk.cli.output import sanitize
from codewalk.health.status import HealthStatus
from codewalk.reason import Reason, State

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from codewalk.notifications.hook import Hook
    from codewalk.server import Server
    from codewalk.servers.health_check import HealthCheckSettings
    from codewalk.storage.state import StateSize
    from codewalk.workspace.models import ModelList
    from codewalk.workspace.sessions import SessionList

ACTIVE_MARK: Final = "●"
DEFAULT_MARK: Final = "★"
MANAGED_MARK: Final = "◆"
LEGEND: Final = (
    f"{ACTIVE_MARK} active   {DEFAULT_MARK} default   {MANAGED_MARK} managed by CodeWalk"
)

_SHAPES: Final = {State.HEALTHY: "✓", State.UNHEALTHY: "✗", State.UNKNOWN: "?"}
STATE_STYLES: Final = {State.HEALTHY: "green", State.UNHEALTHY: "red", State.UNKNOWN: "dim"}
_SHORT_ID: Final = 8
_UNITS: Final = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def role_marks(server: "Server") -> str:
    """Whether it is active, the default, managed; a column each."""
    flags = (
        (server.active, ACTIVE_MARK),
        (server.default, DEFAULT_MARK),
        (server.profile.managed, MANAGED_MARK),
    )
    return "".join(mark if flag else " " for flag, mark in flags)


def health_text(health: HealthStatus) -> str:
    """The state in shape and word, with the reason where it isn't plain: `✗ unhealthy: refused`."""
    return state_text(health.state, health.reason)


def state_text(state: State, reason: Reason) -> str:
    """As `health_text`."""
    plain = reason in (Reason.OK, Reason.UNCHECKED)
    words = "" if plain else f": {reason.value.replace('_', ' ')}"
    return f"{_SHAPES[state]} {state.value}{words}"


def format_age(moment: datetime | None, now: datetime) -> str:
    """How long ago, in the largest unit that fits: `12 s ago`."""
    if moment is None:
        return "never"
    passed = length(now - moment)
    return f"{passed} ago" if passed else "now"


def length(duration: timedelta) -> str:
    """In the largest unit that fits: `12 s`; nothing for less than a second."""
    seconds = int(duration.total_seconds())
    for size, unit in _UNITS:
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return ""


def format_latency(health: HealthStatus) -> str:
    return "" if health.latency_ms is None else f"{health.latency_ms:.1f} ms"


def server_line(server: "Server") -> str:
    """One server on one line, as the answer to what was done with it."""
    health = server.health
    parts = (
        health_text(health),
        health.version or "",
        format_latency(health),
        health.detail or "",
    )
    return f"{server.name} ({server.profile.url}): {', '.join(filter(None, parts))}"


def server_table(servers: Sequence["Server"]) -> "Table":
    """The list of servers; the health in word, shape and colour."""
    from rich.text import Text

    now = datetime.now(UTC)
    table = make_table("", "id", "name", "url", "health", "version", "latency", "checked")
    table.columns[6].justify = "right"
    for server in servers:
        health = server.health
        table.add_row(
            Text(role_marks(server), style="bold cyan"),
            Text(server.id[:_SHORT_ID], style="dim"),
            Text(sanitize(server.name), style="bold" if server.active else ""),
            Text(sanitize(server.profile.url)),
            Text(health_text(health), style=STATE_STYLES[health.state]),
            Text(sanitize(health.version or "")),
            Text(format_latency(health)),
            Text(format_age(health.checked_at, now), style="dim"),
        )
    return table


def server_details(server: "Server") -> "Table":
    """Everything about one server."""
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
        ("warning", Text(sanitize(server.warning or ""), style="yellow")),
        ("latency", Text(format_latency(health))),
        ("checked", Text(format_age(health.checked_at, now))),
        ("check", Text(_rhythm(profile.health_check))),
        ("since", Text(format_age(health.since, now) if health.since else "")),
        ("snoozed", Text(_snoozed(profile.snoozed_until, now))),
        ("notify", Text("" if profile.notify == "default" else profile.notify.value)),
        ("added", Text(format_age(profile.created_at, now))),
    )


def session_table(found: "SessionList") -> "Table":
    """Sessions, newest first; their titles are whatever the server sent."""
    from rich.text import Text

    now = datetime.now(UTC)
    table = make_table("updated", "id", "directory", "title")
    for session in found.sessions:
        table.add_row(
            Text(format_age(session.updated_at, now) if session.updated_at else "", style="dim"),
            Text(sanitize(session.id), style="dim"),
            Text(sanitize(session.directory)),
            Text(sanitize(session.title)),
        )
    return table


def model_table(found: "ModelList") -> "Table":
    """The models, the selected one marked."""
    from rich.text import Text

    table = make_table("", "model", "name")
    for model in found.models:
        selected = model.ref == found.selected
        table.add_row(
            Text(ACTIVE_MARK if selected else " ", style="bold cyan"),
            Text(sanitize(model.ref), style="bold" if selected else ""),
            Text(sanitize(model.name)),
        )
    return table


def state_table(entries: Sequence["StateSize"]) -> "Table":
    """The keys kept for servers, and their sizes."""
    from rich.text import Text

    now = datetime.now(UTC)
    table = make_table("server", "bytes", "updated", "key")
    table.columns[1].justify = "right"
    for entry in entries:
        table.add_row(
            Text(entry.server_id[:_SHORT_ID], style="dim"),
            Text(f"{entry.bytes:,}"),
            Text(format_age(entry.updated_at, now), style="dim"),
            Text(sanitize(entry.key)),
        )
    return table


def doctor_table(checks: Sequence[tuple[str, bool, str]]) -> "Table":
    """What `doctor` found: name, whether it is well, and a sentence."""
    from rich.text import Text

    table = make_table("", "check", "found")
    for name, well, detail in checks:
        style = "green" if well else "red"
        table.add_row(Text("✓" if well else "✗", style=style), Text(name), Text(sanitize(detail)))
    return table


def hook_table(hooks: Sequence["Hook"]) -> "Table":
    """Hooks; of a URL only where it leads."""
    from rich.text import Text

    table = make_table("id", "kind", "on", "what")
    for hook in hooks:
        shown = hook.to_json()
        what = shown["url"] or shlex.join(shown["command"])
        table.add_row(
            Text(hook.id[:_SHORT_ID], style="dim"),
            Text(hook.kind.value),
            Text(", ".join(shown["events"])),
            Text(sanitize(what)),
        )
    return table


def _snoozed(until: datetime | None, now: datetime) -> str:
    return f"until {until.astimezone():%Y-%m-%d %H:%M}" if until and until > now else ""


def _rhythm(settings: "HealthCheckSettings") -> str:
    """How it is checked: `every 10 s, for 3 s at most; rise 1, fall 2`."""
    times = f"every {settings.interval:g} s, for {settings.timeout:g} s at most"
    return f"{times}; rise {settings.rise}, fall {settings.fall}"


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
    """An empty table with these columns."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for header in headers:
        table.add_column(header.upper(), no_wrap=True, overflow="ellipsis")
    return table


def make_details(*rows: tuple[str, "Text"]) -> "Table":
    """Names and what they are, without those that are nothing."""
    from rich.table import Table

    card = Table.grid(padding=(0, 2, 0, 0))
    card.add_column(style="dim")
    card.add_column()
    for name, value in rows:
        if value.plain:
            card.add_row(name, value)
    return card
