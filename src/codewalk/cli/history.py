"""`codewalk server history`: uptime, recent checks and changes of state."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import reduce
from math import log
from typing import TYPE_CHECKING, Annotated, Final

import typer

from codewalk.cli.errors import UsageMistake
from codewalk.cli.options import Group, Json, Ref
from codewalk.cli.output import print_message, print_result, sanitize
from codewalk.cli.runner import run_with_app
from codewalk.cli.tables import (
    STATE_STYLES,
    health_text,
    make_details,
    make_table,
    state_text,
)
from codewalk.errors import InvalidValue
from codewalk.history.check_bar import build_check_bar, mark_check
from codewalk.history.period import MINUTE, RETENTION, Period
from codewalk.history.window import parse_moment
from codewalk.reason import State
from codewalk.times import format_age, format_duration

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

    from codewalk.app.app import App
    from codewalk.history.check_bar import Slot
    from codewalk.history.history import Check, History
    from codewalk.history.period import Uptime
    from codewalk.server import Server

_LEVELS: Final = "▁▂▃▄▅▆▇█"
"""Marks of successful checks, the fastest first."""

_FAILED: Final = "✗"
_UNKNOWN: Final = "?"
_NOT_CHECKED: Final = "·"

_MIN_LATENCY_MS: Final = 0.1
"""Milliseconds below which latencies look equal."""


def _moment_parser(option: str) -> Callable[[str], datetime]:
    def parse(text: str) -> datetime:
        try:
            return parse_moment(text, datetime.now(UTC))
        except InvalidValue as exc:
            raise UsageMistake(f"{option}: {exc.message}", value=exc.value) from exc

    return parse


def add_command(group: Group) -> None:
    """Add the command to `codewalk server`."""
    group.add("history", _history, example="codewalk server history devbox --since 7d")


def _history(
    ref: Ref,
    since: Annotated[
        datetime | None,
        typer.Option(
            "--since",
            metavar="WHEN",
            parser=_moment_parser("--since"),
            help="Where to begin: 24h or 7d ago, or a time (RFC 3339).",
        ),
    ] = None,
    until: Annotated[
        datetime | None,
        typer.Option(
            "--until",
            metavar="WHEN",
            parser=_moment_parser("--until"),
            help="Where to end, in the same format.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show a server's uptime, recent checks and changes of state."""
    now = datetime.now(UTC)

    async def work(app: "App") -> "tuple[Server, History]":
        history = await app.history(ref, since=since, until=until, by_minute=as_json)
        return app.server(ref), history

    server, history = run_with_app(work, as_json=as_json)
    # `--since 30d` was given a moment before `now`.
    if since is not None and now - since > RETENTION + MINUTE and not as_json:
        print_message(f"History is stored for {RETENTION.days} days.")
    print_result(
        history.to_json(), as_json=as_json, text=lambda: history_view(server, history, now)
    )


def history_view(server: "Server", history: "History", now: datetime) -> "RenderableType":
    """Return a server's figures, the bar of its recent checks, and a table of its transitions."""
    from rich.console import Group as Stack
    from rich.text import Text

    health = server.health
    marks = [mark_check(check) for check in history.checks]
    bar = build_check_bar(marks, server.profile.health_check, now)
    slots = bar.slots(history.checks)
    figures = make_details(
        ("name", Text(sanitize(server.name), style="bold")),
        ("health", Text(health_text(health), style=STATE_STYLES[health.state])),
        ("uptime", Text(_uptime_text(history.uptimes))),
        (_window_text(history, now), Text(_totals_text(history.periods))),
        (f"last {bar.span}", Text(bar.summary)),
        ("", bar_text(slots)),
        ("", Text(_legend(slots), style="dim")),
    )
    return Stack(figures, Text(), _transition_table(history, now))


def _window_text(history: "History", now: datetime) -> str:
    if history.until < now:
        return f"{format_age(history.since, now)} to {format_age(history.until, now)}"
    # Not by `now`, which is a moment earlier than the end: a day would become 23 hours.
    return f"since {format_age(history.since, history.until)}"


def bar_text(slots: "Sequence[Slot]") -> "Text":
    """Return a bar with a mark for each slot, the newest last: `··▁▁▂▁✗✗▁`; empty without checks.

    A mark shows how long the answer took, or that none came; it can be read without colour.
    """
    from rich.text import Text

    bar = Text()
    if not any(slot.check for slot in slots):
        return bar
    fastest, slowest = _latency_range(slots)
    for slot in slots:
        state = slot.check.state if slot.check else State.UNKNOWN
        bar.append(_mark(slot.check, fastest, slowest), style=STATE_STYLES[state])
    return bar


def _mark(check: "Check | None", fastest: float, slowest: float) -> str:
    if check is None:
        return _NOT_CHECKED
    if check.state is not State.HEALTHY:
        return _FAILED if check.state is State.UNHEALTHY else _UNKNOWN
    latency = max(check.latency_ms or 0.0, _MIN_LATENCY_MS)
    # On a logarithmic scale: one answer that took seconds would make all others look the same.
    part = log(latency / fastest) / log(slowest / fastest) if slowest > fastest else 0.0
    return _LEVELS[round(part * (len(_LEVELS) - 1))]


def _legend(slots: "Sequence[Slot]") -> str:
    """Explain the marks that are in the bar."""
    states = {slot.check.state for slot in slots if slot.check}
    if not states:
        return ""
    fastest, slowest = _latency_range(slots)
    latencies = f"{_LEVELS[0]} {fastest:.1f} ms" if slowest else ""
    if slowest > fastest:
        latencies += f" … {_LEVELS[-1]} {slowest:.1f} ms"
    failed = f"{_FAILED} failed" if State.UNHEALTHY in states else ""
    undecided = f"{_UNKNOWN} unknown" if State.UNKNOWN in states else ""
    gap = f"{_NOT_CHECKED} not checked" if not all(slot.check for slot in slots) else ""
    return ", ".join(filter(None, (latencies, failed, undecided, gap)))


def _latency_range(slots: "Sequence[Slot]") -> tuple[float, float]:
    """Return the shortest and the longest latency in milliseconds; zeros without any."""
    good = [slot.check for slot in slots if slot.check and slot.check.ok]
    latencies = [max(check.latency_ms or 0.0, _MIN_LATENCY_MS) for check in good]
    return min(latencies, default=0.0), max(latencies, default=0.0)


def _uptime_text(uptimes: "Sequence[Uptime]") -> str:
    """Return the percentages, and for which times there is too little data for one."""
    parts = [
        f"{uptime.percent:g} % in {_window_name(uptime)}"
        for uptime in uptimes
        if uptime.has_enough_data
    ]
    lacking = [uptime for uptime in uptimes if not uptime.has_enough_data]
    if lacking:
        windows = ", ".join(map(_window_name, lacking))
        monitored = max(uptime.monitored_time for uptime in lacking)
        so_far = f" (monitored for {format_duration(monitored)})" if monitored else ""
        parts.append(f"not enough data yet for {windows}{so_far}")
    return ", ".join(parts)


def _window_name(uptime: "Uptime") -> str:
    hours = uptime.window.total_seconds() / 3600
    return f"{hours:.0f} h" if hours <= 24 else f"{hours / 24:.0f} d"


def _totals_text(periods: "Sequence[Period]") -> str:
    if not periods:
        return "no checks"
    total = reduce(Period.plus, periods)
    checks = "1 check" if total.checks == 1 else f"{total.checks:,} checks"
    parts = [f"{checks}, {total.failures:,} failed"]
    if total.latency_mean_ms is not None and total.latency_p95_ms is not None:
        parts.append(f"mean {total.latency_mean_ms:.1f} ms, p95 {total.latency_p95_ms:.1f} ms")
    return ", ".join(parts)


def _transition_table(history: "History", now: datetime) -> "Table | Text":
    from rich.text import Text

    if not history.transitions:
        return Text("No changes of state.")
    table = make_table("when", "state", "for", "version", "detail")
    # The column to wrap where the terminal is narrow.
    table.columns[-1].no_wrap = False
    for change, lasted in zip(history.transitions, history.durations(), strict=True):
        duration = now - change.at if lasted is None else lasted
        table.add_row(
            Text(format_age(change.at, now), style="dim"),
            Text(state_text(change.after, change.reason), style=STATE_STYLES[change.after]),
            Text(format_duration(duration, max_units=1)),
            Text(sanitize(change.version or "")),
            Text(sanitize(change.detail or "")),
        )
    return table
