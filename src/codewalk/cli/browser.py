"""Opens the app in the person's browser, never in a terminal one."""

import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from codewalk.settings import environment_without_secrets

_TEXT_BROWSERS: Final = frozenset(
    {"browsh", "elinks", "links", "links2", "lynx", "retawq", "w3m", "www-browser"}
)
_SCRIPT: Final = "import sys, webbrowser; webbrowser.open(sys.stdin.read())"


def can_open_browser(environment: Mapping[str, str], platform: str) -> bool:
    """Whether there is somewhere to show a page: a display, or a `BROWSER` of the user's choice."""
    chosen = environment.get("BROWSER", "").split(os.pathsep)[0].split()
    if chosen:
        return Path(chosen[0]).name not in _TEXT_BROWSERS
    if platform in ("win32", "darwin", "cygwin"):
        return not environment.get("SSH_CONNECTION")
    return bool(environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY"))


def open_browser(url: str) -> None:
    """Opens `url` beside the program, which goes on at once and doesn't care how that ends.

    Another process does it, without a terminal: browsers chatter, and on a desktop without a
    graphical one the system's helper would take a text browser.
    """
    threading.Thread(target=_open, args=(url,), name="browser", daemon=True).start()


def _open(url: str) -> None:
    subprocess.run(
        [sys.executable, "-c", _SCRIPT],
        input=url,
        text=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment_without_secrets(os.environ),
        start_new_session=True,
        check=False,
    )
