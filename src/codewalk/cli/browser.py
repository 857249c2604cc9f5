"""Opens the app in the user's graphical browser."""

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
    """Return whether a page can be shown: there is a display, or a graphical `BROWSER` is set."""
    preferred = environment.get("BROWSER", "").split(os.pathsep)[0].split()
    if preferred:
        return Path(preferred[0]).name not in _TEXT_BROWSERS
    if platform in ("win32", "darwin", "cygwin"):
        return not environment.get("SSH_CONNECTION")
    return bool(environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY"))


def open_browser(url: str) -> None:
    """Open `url` in the background, and ignore whether that succeeds.

    Another process does it, without a terminal: browsers print messages, and where there is no
    graphical browser, the desktop's helper program would start a text browser.
    """
    threading.Thread(target=_open, args=(url,), name="browser", daemon=True).start()


def _open(url: str) -> None:
    subprocess.run(
        [sys.executable, "-c", _SCRIPT],
        # Through standard input: other users can read a process's arguments.
        input=url,
        text=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment_without_secrets(os.environ),
        start_new_session=True,
        check=False,
    )
