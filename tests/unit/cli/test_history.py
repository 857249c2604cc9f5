"""A server's history as text for people."""

import re
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from rich.console import Console, RenderableType

from codewalk.cli.history import bar_text, history_view
from codewalk.health.status import HealthStatus
from codewalk.history.check_bar import Slot
from codewalk.history.history import Check, History, StoredHistory, Transition, build_history
from codewalk.history.period import DAY, Period
from codewalk.reason import Reason, State
from codewalk.server import Server
from tests.fakes import EPOCH, profile

NOW = EPOCH + timedelta(hours=3)
HEALTHY_STATUS = HealthStatus(state=State.HEALTHY, reason=Reason.OK, checked_at=NOW, since=NOW)
HOSTILE = "\x1b[31mred\x1b[0m [bold]loud[/bold] \u202eback\nnext"


def make_server(label: str = "Dev box", health: HealthStatus = HEALTHY_STATUS) -> Server:
    return Server(profile=profile(label=label), health=health, active=False, default=False)


def make_check(
    latency: float | None = None, reason: Reason = Reason.OK, at: datetime = EPOCH
) -> Check:
    return Check(at=at, reason=reason, latency_ms=latency)


def make_history(*transitions: Transition, **fields: Any) -> History:
    status = replace(HEALTHY_STATUS, state=transitions[-1].after) if transitions else HealthStatus()
    stored = replace(StoredHistory(transitions=transitions), **fields)
    return build_history("a", stored, status, since=NOW - DAY, now=NOW)


def render(renderable: RenderableType, *, width: int = 200, color: bool = False) -> str:
    console = Console(
        width=width,
        force_terminal=color,
        color_system="standard" if color else None,
        no_color=False,
    )
    with console.capture() as capture:
        console.print(renderable)
    return capture.get()


def make_slots(*checks: Check | None) -> list[Slot]:
    return [Slot(begins=EPOCH, check=check) for check in checks]


@pytest.mark.parametrize(
    ("slots", "bar"),
    [
        (make_slots(make_check(3), make_check(3)), "▁▁"),
        (make_slots(*map(make_check, (1, 10, 100, 1000))), "▁▃▆█"),
        (
            make_slots(
                None,
                make_check(2),
                make_check(reason=Reason.REFUSED),
                make_check(reason=Reason.OFFLINE),
            ),
            "·▁✗?",
        ),
        (make_slots(make_check(0), make_check(None)), "▁▁"),
        (make_slots(None, None), ""),
    ],
)
def test_bar_can_be_read_without_colour(slots: list[Slot], bar: str) -> None:
    assert bar_text(slots).plain == bar


def test_bar_shows_time_and_the_legend_explains_its_marks() -> None:
    checks = [
        make_check(2.5, at=NOW - timedelta(seconds=300)),
        make_check(reason=Reason.TIMEOUT, at=NOW - timedelta(seconds=53)),
        make_check(800, at=NOW),
    ]
    text = render(history_view(make_server(), make_history(checks=checks), NOW))
    assert "last 10 min" in text
    assert "down for 53 s" in text
    bar = next(line.strip() for line in text.splitlines() if "✗" in line)
    assert bar == "·" * 29 + "▁" * 19 + "·" * 5 + "✗" * 6 + "█"
    assert "▁ 2.5 ms … █ 800.0 ms, ✗ failed, · not checked" in text
    offline = make_history(checks=[make_check(reason=Reason.OFFLINE, at=NOW)])
    assert "? unknown, · not checked" in render(history_view(make_server(), offline, NOW))
    text = render(history_view(make_server(), make_history(checks=[make_check(2.5)]), NOW))
    assert "not checked" in text  # three hours ago
    assert "▁" not in text


def test_transitions_have_their_age_and_duration() -> None:
    up = Transition(at=EPOCH, before=State.UNKNOWN, after=State.HEALTHY, reason=Reason.OK)
    down = Transition(
        at=EPOCH + timedelta(hours=1),
        before=State.HEALTHY,
        after=State.UNHEALTHY,
        reason=Reason.REFUSED,
        detail="Nothing listens.",
        version="1.18.33",
    )
    back = replace(up, at=down.at + timedelta(milliseconds=400), before=State.UNHEALTHY)
    lines = render(history_view(make_server(), make_history(up, down, back), NOW)).splitlines()[-3:]
    assert [" ".join(line.split()) for line in lines] == [
        "1 h ago ✓ healthy 1 h",
        "2 h ago ✗ unhealthy: refused under 1 s 1.18.33 Nothing listens.",
        "3 h ago ✓ healthy 1 h",
    ]


def test_figures_without_checks_have_no_data() -> None:
    text = render(history_view(make_server(), make_history(), NOW))
    assert "not enough data yet for 24 h, 7 d, 30 d\n" in re.sub(" +\n", "\n", text)
    assert "since 1 day ago" in text
    assert "no checks" in text
    assert "not checked" in text
    assert "No changes of state." in text


def test_figures_are_those_of_the_requested_window() -> None:
    periods = [
        Period(
            begins=NOW - timedelta(hours=hours),
            checks=2000,
            failures=1,
            answers=1,
            up_ms=999 * 3600 * 4,
            down_ms=3600 * 4,
            latency_sum_us=1000 * hours,
            latency_p95_sum_us=3000,
        )
        for hours in (1, 3, 30)
    ]
    text = render(history_view(make_server(), make_history(periods=periods), NOW))
    assert "4,000 checks, 2 failed, mean 2.0 ms, p95 3.0 ms" in text
    assert "99.9 % in 24 h, 99.9 % in 7 d, not enough data yet for 30 d" in text
    assert "(monitored for 12 h)" in text


def test_one_check_is_counted_in_the_singular() -> None:
    periods = [Period(begins=NOW - timedelta(hours=1), checks=1)]
    text = render(history_view(make_server(), make_history(periods=periods), NOW))
    assert "1 check, 0 failed" in text


def test_hostile_text_from_a_server_is_plain_text() -> None:
    change = Transition(
        at=EPOCH,
        before=State.UNKNOWN,
        after=State.UNHEALTHY,
        reason=Reason.NOT_OPENCODE,
        detail=HOSTILE,
        version=HOSTILE,
    )
    text = render(history_view(make_server(label=HOSTILE), make_history(change), NOW))
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "[bold]loud[/bold]" in text


def test_narrow_terminal_wraps_the_detail() -> None:
    change = Transition(
        at=EPOCH,
        before=State.UNKNOWN,
        after=State.UNHEALTHY,
        reason=Reason.AUTH_REQUIRED,
        detail="It wants a user name and a password, and there are none.",
        version="1.18.33",
    )
    checks = [make_check(n + 1.0, at=NOW - timedelta(seconds=10 * (60 - n))) for n in range(60)]
    lines = render(
        history_view(make_server(), make_history(change, checks=checks), NOW), width=80
    ).splitlines()
    assert any("3 h ago  ✗ unhealthy: password required  3 h  1.18.33" in line for line in lines)
    assert any(re.search("[▁-█]{60}", line) for line in lines)
    assert not any("…" in line for line in lines if " ms … █" not in line)
