"""A server's history as people see it."""

from dataclasses import replace
from datetime import timedelta

import pytest
from rich.console import Console, RenderableType

from codewalk.cli.history import check_bar, history_view
from codewalk.health.status import HealthStatus
from codewalk.history.history import Check, History, StoredHistory, Transition, build_history
from codewalk.history.period import DAY, Period
from codewalk.reason import Reason, State
from codewalk.server import Server
from tests.fakes import EPOCH, profile

NOW = EPOCH + timedelta(hours=3)
WELL = HealthStatus(state=State.HEALTHY, reason=Reason.OK, checked_at=NOW, since=NOW)
HOSTILE = "\x1b[31mred\x1b[0m [bold]loud[/bold] \u202eback\nnext"


def server(label: str = "Dev box", health: HealthStatus = WELL) -> Server:
    return Server(profile=profile(label=label), health=health, active=False, default=False)


def check(latency: float | None = None, reason: Reason = Reason.OK) -> Check:
    return Check(at=EPOCH, reason=reason, latency_ms=latency)


def of(*transitions: Transition, **kept: object) -> History:
    status = replace(WELL, state=transitions[-1].after) if transitions else HealthStatus()
    found = replace(StoredHistory(transitions=transitions), **kept)  # type: ignore[arg-type]
    return build_history("a", found, status, since=NOW - DAY, now=NOW)


def drawn(what: RenderableType, *, width: int = 200, color: bool = False) -> str:
    console = Console(
        width=width,
        force_terminal=color,
        color_system="standard" if color else None,
        no_color=False,
    )
    with console.capture() as capture:
        console.print(what)
    return capture.get()


@pytest.mark.parametrize(
    ("checks", "bar"),
    [
        ([check(3), check(3)], "▁▁"),
        ([check(1), check(10), check(100), check(1000)], "▁▃▆█"),
        ([check(2), check(reason=Reason.REFUSED), check(reason=Reason.OFFLINE)], "▁✗?"),
        ([check(0), check(None)], "▁▁"),
        ([], ""),
    ],
)
def test_the_bar_reads_without_colour(checks: list[Check], bar: str) -> None:
    assert check_bar(checks).plain == bar


def test_the_bar_says_what_its_marks_mean() -> None:
    checks = [check(2.5), check(800), check(reason=Reason.TIMEOUT), check(reason=Reason.OFFLINE)]
    text = drawn(history_view(server(), of(checks=checks), NOW))
    assert "▁ 2.5 ms … █ 800.0 ms, ✗ failed, ? no network" in text
    text = drawn(history_view(server(), of(checks=[check(2.5)]), NOW))
    assert "▁ 2.5 ms" in [line.strip() for line in text.splitlines()]


def test_the_log_tells_when_and_for_how_long() -> None:
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
    lines = drawn(history_view(server(), of(up, down, back), NOW)).splitlines()[-3:]
    assert [" ".join(line.split()) for line in lines] == [
        "1 h ago ✓ healthy 1 h",
        "2 h ago ✗ unhealthy: refused under 1 s 1.18.33 Nothing listens.",
        "3 h ago ✓ healthy 1 h",
    ]


def test_the_figures_say_what_is_not_known() -> None:
    text = drawn(history_view(server(), of(), NOW))
    assert "not known in 24 h, not known in 7 d, not known in 30 d" in text
    assert "since 1 d ago" in text
    assert "no checks" in text
    assert "last checks" not in text
    assert "No changes of state." in text


def test_the_figures_are_those_of_the_time_that_was_asked_for() -> None:
    periods = [
        Period(
            begins=NOW - timedelta(hours=hours),
            checks=2000,
            failures=1,
            answers=1,
            up_ms=999,
            down_ms=1,
            latency_sum_us=1000 * hours,
            latency_p95_sum_us=3000,
        )
        for hours in (1, 3, 30)
    ]
    text = drawn(history_view(server(), of(periods=periods), NOW))
    assert "4,000 checks, 2 failed, mean 2.0 ms, p95 3.0 ms" in text
    assert "99.9 % in 24 h, 99.9 % in 7 d" in text


def test_what_a_server_sends_can_do_nothing() -> None:
    change = Transition(
        at=EPOCH,
        before=State.UNKNOWN,
        after=State.UNHEALTHY,
        reason=Reason.NOT_OPENCODE,
        detail=HOSTILE,
        version=HOSTILE,
    )
    text = drawn(history_view(server(label=HOSTILE), of(change), NOW))
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "[bold]loud[/bold]" in text


def test_on_a_narrow_terminal_the_detail_gives_way() -> None:
    change = Transition(
        at=EPOCH,
        before=State.UNKNOWN,
        after=State.UNHEALTHY,
        reason=Reason.AUTH_REQUIRED,
        detail="It wants a user name and a password, and there are none.",
        version="1.18.33",
    )
    checks = [check(n + 1.0) for n in range(60)]
    lines = drawn(history_view(server(), of(change, checks=checks), NOW), width=80).splitlines()
    assert any("3 h ago  ✗ unhealthy: auth required  3 h  1.18.33" in line for line in lines)
    assert any(check_bar(checks).plain in line for line in lines)
    assert not any("…" in line for line in lines if "▁ 1.0 ms" not in line)
