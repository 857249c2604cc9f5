"""`codewalk server history`: how a server has been."""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import reduce
from math import log
from typing import TYPE_CHECKING, Annotated, Final

import typer

from codewalk.cli.options import Group, Json, Ref
from codewalk.cli.output import print_message, print_result, sanitize
from codewalk.cli.runner import run_with_app
from codewalk.cli.tables import (
    STATE_STYLES,
    format_age,
    health_text,
    length,
    make_details,
    make_table,
    state_text,
)
from codewalk.history.period import RETENTION, Period
from codewalk.history.window import parse_moment, parse_since
from codewalk.reason import State

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

    from codewalk.app.app import App
    from codewalk.history.history import Check, History
    from codewalk.history.period import Uptime
    from codewalk.server import Server

_LEVELS: Final = "▁▂▃▄▅▆▇█"
_FAILED: Final = "✗"
_NOT_KNOWN: Final = "?"
_LEAST: Final = 0.1
"""Milliseconds; less isn't told apart."""


def add_command(group: Group) -> None:
    """Adds it to `codewalk server`."""
    group.add("history", _history, example="codewalk server history devbox --since 7d")


def _history(
    ref: Ref,
    since: Annotated[
        str | None,
        typer.Option(
            "--since", metavar="WHEN", help="Where to begin: 24h, 7d or a time (RFC 3339)."
        ),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option("--until", metavar="WHEN", help="Where to end, said in the same way."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show a server's uptime, last checks and changes of state."""
    now = datetime.now(UTC)
    first = None if since is None else parse_since(since, now)
    last = None if until is None else parse_moment(until, now)

    async def work(app: "App") -> "tuple[Server, History]":
        history = await app.history(ref, since=first, until=last, by_minute=as_json)
        return app.server(ref), history

    server, history = run_with_app(work, as_json=as_json)
    if since is not None and parse_moment(since, now) < now - RETENTION and not as_json:
        print_message(f"History is kept for {RETENTION.days} days.")
    print_result(
        history.to_json(), as_json=as_json, text=lambda: history_view(server, history, now)
    )


def history_view(server: "Server", history: "History", now: datetime) -> "RenderableType":
    """The figures, the bar of the last checks, and below them the transitions."""
    from rich.console import Group as Stack
    from rich.text import Text

    health = server.health
    figures = make_details(
        ("name", Text(sanitize(server.name), style="bold")),
        ("health", Text(health_text(health), style=STATE_STYLES[health.state])),
        ("uptime", Text(", ".join(map(_uptime, history.uptimes)))),
        (_when(history, now), Text(_total(history.periods))),
        ("last checks", check_bar(history.checks)),
        ("", Text(_legend(history.checks), style="dim")),
    )
    return Stack(figures, Text(), _log(history, now))


def _when(history: "History", now: datetime) -> str:
    if history.until < now:
        return f"{format_age(history.since, now)} to {format_age(history.until, now)}"
    # By its own end, which came a moment later: a day is a day, and not 23 hours.
    return f"since {format_age(history.since, history.until)}"


def check_bar(checks: "Sequence[Check]") -> "Text":
    """The last checks, newest last, a character each: how long an answer took, or that none came.

    It reads without colour: `▁▁▂▁✗✗▁`.
    """
    from rich.text import Text

    fastest, slowest = _range(checks)
    line = Text()
    for check in checks:
        line.append(_mark(check, fastest, slowest), style=STATE_STYLES[check.state])
    return line


def _mark(check: "Check", fastest: float, slowest: float) -> str:
    if check.state is not State.HEALTHY:
        return _FAILED if check.state is State.UNHEALTHY else _NOT_KNOWN
    latency = max(check.latency_ms or 0.0, _LEAST)
    # By magnitude: one answer that took seconds would make all others look the same.
    part = log(latency / fastest) / log(slowest / fastest) if slowest > fastest else 0.0
    return _LEVELS[round(part * (len(_LEVELS) - 1))]


def _legend(checks: "Sequence[Check]") -> str:
    """What the bar's marks mean, as far as they differ."""
    fastest, slowest = _range(checks)
    told = f"{_LEVELS[0]} {fastest:.1f} ms" if slowest else ""
    if slowest > fastest:
        told += f" … {_LEVELS[-1]} {slowest:.1f} ms"
    failed = f"{_FAILED} failed" if any(c.state is State.UNHEALTHY for c in checks) else ""
    offline = f"{_NOT_KNOWN} no network" if any(c.state is State.UNKNOWN for c in checks) else ""
    return ", ".join(filter(None, (told, failed, offline)))


def _range(checks: "Sequence[Check]") -> tuple[float, float]:
    """The fastest and the slowest answer, in milliseconds; noughts without any."""
    known = [max(check.latency_ms or 0.0, _LEAST) for check in checks if check.ok]
    return min(known, default=0.0), max(known, default=0.0)


def _uptime(uptime: "Uptime") -> str:
    percent = "not known" if uptime.percent is None else f"{uptime.percent:g} %"
    hours = uptime.window.total_seconds() / 3600
    return f"{percent} in {hours:.0f} h" if hours <= 24 else f"{percent} in {hours / 24:.0f} d"


def _total(periods: "Sequence[Period]") -> str:
    if not periods:
        return "no checks"
    total = reduce(Period.plus, periods)
    told = [f"{total.checks:,} checks, {total.failures:,} failed"]
    if total.latency_mean_ms is not None and total.latency_p95_ms is not None:
        told.append(f"mean {total.latency_mean_ms:.1f} ms, p95 {total.latency_p95_ms:.1f} ms")
    return ", ".join(told)


def _log(history: "History", now: datetime) -> "Table | Text":
    from rich.text import Text

    if not history.transitions:
        return Text("No changes of state.")
    table = make_table("when", "state", "for", "version", "detail")
    # The one to wrap where the terminal is narrow.
    table.columns[-1].no_wrap = False
    for change, lasted in zip(history.transitions, history.durations(), strict=True):
        duration = now - change.at if lasted is None else lasted
        table.add_row(
            Text(format_age(change.at, now), style="dim"),
            Text(state_text(change.after, change.reason), style=STATE_STYLES[change.after]),
            Text(length(duration) or "under 1 s"),
            Text(sanitize(change.version or "")),
            Text(sanitize(change.detail or "")),
        )
    return table
