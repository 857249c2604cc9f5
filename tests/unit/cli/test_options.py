"""Options with bounds: what is invalid by its form alone is wrong usage."""

import json
from collections.abc import Sequence

import pytest

from codewalk.cli.errors import UsageMistake
from codewalk.cli.main import run
from codewalk.cli.options import number_parser
from codewalk.cli.server_changes import RESET_WORD
from codewalk.servers.health_check import SETTING_BOUNDS
from codewalk.settings import Settings

EDIT = ("server", "edit", "devbox")
HISTORY = ("server", "history", "devbox")
SNOOZE = ("server", "snooze", "devbox")

INVALID = [
    *((EDIT, "--interval", value) for value in ("0", "0.9", "3600.1", "-1", "nan", "inf", "soon")),
    *((EDIT, "--timeout", value) for value in ("0", "0.09", "60.1", "nan", "")),
    *((EDIT, "--rise", value) for value in ("0", "11", "1.5", "nan", "many")),
    *((EDIT, "--fall", value) for value in ("0", "11", "-2", "1e0")),
    *((EDIT, "--notify", value) for value in ("maybe", "")),
    *((("server", "check"), "--timeout", value) for value in ("0", "0.09", "61", "nan", "x")),
    *((("up",), "--port", value) for value in ("-1", "65536", "4090.5", "http")),
    *((SNOOZE, "--for", value) for value in ("soon", "2", "0h", "0m", "400d", "-1h", "2h30m")),
    *((HISTORY, "--since", value) for value in ("soon", "7", "2026-02-09", "")),
    *((HISTORY, "--until", value) for value in ("later", "2026-02-09T20:51:50")),
]


@pytest.mark.parametrize(("command", "option", "value"), INVALID)
def test_invalid_value_is_wrong_usage_and_named(
    command: Sequence[str], option: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*command, f"{option}={value}", *json_option(command)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    message = err if command == ("up",) else json.loads(err)["error"]["message"]
    assert option in message
    assert repr(value) in message
    assert command == ("up",) or json.loads(err)["error"]["code"] == "usage"
    assert not Settings.from_environment().data_dir.exists()


def json_option(command: Sequence[str]) -> list[str]:
    return [] if command == ("up",) else ["--json"]


@pytest.mark.parametrize("name", SETTING_BOUNDS)
def test_settings_of_the_health_check_name_their_bounds(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*EDIT, f"--{name}", "1000000"]) == 2
    minimum, maximum = SETTING_BOUNDS[name]
    message = capsys.readouterr().err
    assert f"from {minimum:g} to {maximum:g}, or `{RESET_WORD}`, not '1000000'." in message


@pytest.mark.parametrize("text", ["0.5", "0,5", " 0.5 ", 0.5])
def test_number_may_have_a_decimal_comma(text: object) -> None:
    assert number_parser("--timeout", minimum=0.5, maximum=60)(text) == 0.5


@pytest.mark.parametrize("text", ["4090", 4090])
def test_whole_number_is_an_integer(text: object) -> None:
    port = number_parser("--port", minimum=0, maximum=65_535, whole=True)(text)
    assert isinstance(port, int)
    assert port == 4090


def test_message_says_what_would_be_right() -> None:
    parse = number_parser("--timeout", minimum=0.1, maximum=60, unit="seconds")
    with pytest.raises(UsageMistake) as caught:
        parse("0")
    assert caught.value.message == "--timeout takes a number of seconds from 0.1 to 60, not '0'."
