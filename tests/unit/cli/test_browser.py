"""The browser to open: never one that takes the terminal."""

import pytest

from codewalk.cli.browser import can_open_browser


@pytest.mark.parametrize(
    ("environment", "platform", "opens"),
    [
        ({}, "linux", False),
        ({"DISPLAY": ":0"}, "linux", True),
        ({"WAYLAND_DISPLAY": "wayland-0"}, "linux", True),
        ({"DISPLAY": ":0", "BROWSER": "w3m"}, "linux", False),
        ({"BROWSER": "/usr/bin/lynx %s:firefox"}, "linux", False),
        ({"BROWSER": "/opt/editor/open-url.sh"}, "linux", True),
        ({}, "darwin", True),
        ({"SSH_CONNECTION": "192.0.2.1 1 192.0.2.2 22"}, "darwin", False),
        ({}, "win32", True),
    ],
)
def test_browser_is_opened_only_where_there_is_a_display(
    environment: dict[str, str], platform: str, opens: bool
) -> None:
    assert can_open_browser(environment, platform) is opens
