"""Tables and lines for people."""

from datetime import UTC, datetime

import pytest
from rich.console import Console, RenderableType

from codewalk.cli.output import fit_to_width
from codewalk.cli.tables import (
    health_text,
    model_table,
    role_marks,
    server_details,
    server_line,
    server_table,
    session_table,
)
from codewalk.health.status import HealthStatus
from codewalk.opencode.session import Session
from codewalk.reason import Reason, State
from codewalk.secret import Secret
from codewalk.server import Server
from codewalk.servers.profile import ServerProfile
from codewalk.workspace.models import Model, ModelList
from codewalk.workspace.session_list import SessionList

NOW = datetime(2026, 2, 9, 20, 51, 50, tzinfo=UTC)
HOSTILE = "\x1b[31mred\x1b[0m [bold]loud[/bold] \u202eback\nnext"


def make_server(
    *, label: str | None = "Dev box", health: HealthStatus | None = None, **roles: bool
) -> Server:
    return Server(
        profile=ServerProfile(
            id="018f6f0e-0000-4000-8000-000000000001",
            url="http://devbox:4096",
            label=label,
            basic_auth_enabled=True,
            basic_auth_password=Secret("hunter2"),
            managed=roles.get("managed", False),
            created_at=NOW,
            updated_at=NOW,
        ),
        health=health or HealthStatus(),
        active=roles.get("active", False),
        default=roles.get("default", False),
    )


def render(renderable: RenderableType, *, color: bool = False) -> str:
    console = Console(
        width=200, force_terminal=color, color_system="standard" if color else None, no_color=False
    )
    with console.capture() as capture:
        console.print(renderable)
    return capture.get()


@pytest.mark.parametrize(
    ("state", "reason", "word"),
    [
        (State.HEALTHY, Reason.OK, "✓ healthy"),
        (State.UNKNOWN, Reason.UNCHECKED, "? unknown"),
        (State.UNKNOWN, Reason.OFFLINE, "? unknown: no network"),
        (State.UNHEALTHY, Reason.REFUSED, "✗ unhealthy: refused"),
        (State.UNHEALTHY, Reason.AUTH_REQUIRED, "✗ unhealthy: password required"),
        (State.UNHEALTHY, Reason.NOT_OPENCODE, "✗ unhealthy: not an OpenCode server"),
    ],
)
def test_health_is_a_mark_a_word_and_the_reason(state: State, reason: Reason, word: str) -> None:
    assert health_text(HealthStatus(state=state, reason=reason)) == word


def test_role_marks_have_columns_of_their_own() -> None:
    assert role_marks(make_server(active=True, managed=True)) == "● ◆"
    assert role_marks(make_server(default=True)) == " ★ "
    assert role_marks(make_server(active=True, default=True, managed=True)) == "●★◆"


def test_line_about_a_server_has_its_health_version_and_latency() -> None:
    health = HealthStatus(
        state=State.HEALTHY, reason=Reason.OK, version="1.18.33", latency_ms=3.14159
    )
    line = server_line(make_server(health=health))
    assert line == "Dev box (http://devbox:4096): ✓ healthy, 1.18.33, 3.1 ms"


def test_each_state_has_its_own_colour() -> None:
    lines = [
        render(server_table([make_server(health=HealthStatus(state=state))]), color=True)
        for state in State
    ]
    styles = {line.partition("m" + shape)[0][-6:] for line, shape in zip(lines, "✓?✗", strict=True)}
    assert len(styles) == 3


def test_no_table_contains_a_password() -> None:
    server = make_server()
    assert "hunter2" not in render(server_table([server])) + render(server_details(server))


def test_hostile_titles_labels_and_details_are_plain_text() -> None:
    health = HealthStatus(state=State.UNHEALTHY, reason=Reason.NOT_OPENCODE, detail=HOSTILE)
    server = make_server(label=HOSTILE, health=health)
    session = Session(
        id=HOSTILE, title=HOSTILE, directory=HOSTILE, created_ms=None, updated_ms=None
    )
    sessions = SessionList(
        server_id="a", directory=None, source="live", fetched_at=None, sessions=(session,)
    )
    model = Model(provider_id=HOSTILE, model_id=HOSTILE, name=HOSTILE)
    models = ModelList(server_id="a", selected=None, models=(model,))
    for table in (
        server_table([server]),
        server_details(server),
        session_table(sessions),
        model_table(models),
    ):
        text = render(table)
        assert "\x1b" not in text
        assert "\u202e" not in text
        assert "[bold]loud[/bold]" in text


@pytest.mark.parametrize(
    ("width", "dropped"),
    [(200, []), (75, ["CHECKED"]), (60, ["CHECKED", "LATENCY", "VERSION"])],
)
def test_narrow_terminal_keeps_ids_and_addresses_whole(width: int, dropped: list[str]) -> None:
    server = make_server()
    console = Console(width=width)
    with console.capture() as capture:
        console.print(fit_to_width(server_table([server]), console))
    text = capture.get()
    columns = ("CHECKED", "LATENCY", "VERSION")
    assert [header for header in columns if header not in text] == dropped
    assert server.id[:8] in text
    assert server.profile.url in text
