"""Real OpenCode servers from npm, each with a home of its own, for tests.

They run under CodeWalk's guard, so that they end with the test process however that ends.
"""

import json
import os
import platform
import socket
import subprocess
import sys
import threading
from base64 import b64encode
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Final

from codewalk.local import guard
from codewalk.secret import Secret

ROOT: Final = Path(__file__).parents[2]
CURRENT: Final = "1.18.33"
FORMER: Final = "1.18.23"
OLD: Final = "1.0.0"

READY_WITHIN: Final = 90.0
"""Seconds. Alone it takes 1 to 8; here several start at once on two cores."""


@dataclass(frozen=True, kw_only=True)
class RealServer:
    """A running server.

    Attributes:
        guard_pid: The process to terminate, which ends the server in an orderly way.
        pid: The process to kill, which makes the server die.
    """

    release: str
    url: str
    username: str | None
    password: Secret | None
    home: Path
    project: Path
    guard_pid: int
    pid: int


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A server to start: a release, a password where that release knows one, a port or any."""

    release: str
    folder: Path
    password: str | None = None
    port: int = 0


def executable(release: str) -> Path | None:
    """The program of this release for this machine, if npm has put it somewhere here."""
    for modules in (ROOT / "node_modules", ROOT / "tests" / "real" / "node_modules"):
        for program in _candidates(modules, release):
            if program.is_file() and os.access(program, os.X_OK):
                return program.resolve()
    return None


def _candidates(modules: Path, release: str) -> Iterator[Path]:
    # The links that the project makes after `npm ci`, which were tried on this machine …
    if modules.parent == ROOT and release == CURRENT:
        yield modules / ".bin" / "opencode"
    yield modules / ".bin" / f"opencode-{release}"
    # … else the packages for this platform, where no install script has put one in place.
    system, machine = platform.system().lower(), platform.machine().lower()
    processor = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64"}.get(machine, machine)
    for manifest in sorted(modules.rglob(f"opencode-{system}-{processor}*/package.json")):
        if json.loads(manifest.read_text("utf-8")).get("version") == release:
            yield manifest.with_name("bin") / "opencode"


@contextmanager
def running(*wanted: Wanted) -> Iterator[list[RealServer]]:
    """These servers, started side by side, until the end of the block.

    Raises `FileNotFoundError` for a release that isn't installed, `RuntimeError` for a server
    that doesn't get ready.
    """
    with ExitStack() as stack:
        started = [stack.enter_context(_started(one)) for one in wanted]
        yield [_ready(*pair) for pair in zip(wanted, started, strict=True)]


@contextmanager
def _started(wanted: Wanted) -> Iterator["subprocess.Popen[str]"]:
    program = executable(wanted.release)
    if program is None:
        raise FileNotFoundError(f"OpenCode {wanted.release} isn't installed; `make setup` does it")
    log = wanted.folder / "server.log"
    command = [sys.executable, "-I", "-S", guard.__file__, str(os.getpid()), str(log), str(program)]
    address = ["--hostname", "127.0.0.1", "--port", str(wanted.port or free_port())]
    process = subprocess.Popen(
        [*command, "serve", *address],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=_environment(wanted),
        cwd=_project(wanted),
        start_new_session=True,
        text=True,
    )
    try:
        yield process
    finally:
        process.communicate(timeout=10)


def _environment(wanted: Wanted) -> dict[str, str]:
    home = wanted.folder / "home"
    config = home / ".config" / "opencode"
    config.mkdir(parents=True)
    settings = {"autoupdate": False, "share": "disabled"}
    (config / "opencode.json").write_text(json.dumps(settings), "utf-8")
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home / ".config"),
        "XDG_DATA_HOME": str(home / ".local" / "share"),
        "XDG_STATE_HOME": str(home / ".local" / "state"),
        "XDG_CACHE_HOME": str(home / ".cache"),
        # Without a network 1.0.0 answers 500 to everything if it can't fetch its plugins.
        "OPENCODE_DISABLE_DEFAULT_PLUGINS": "1",
        "OPENCODE_DISABLE_AUTOUPDATE": "1",
    }
    if wanted.password is not None:
        environment["OPENCODE_SERVER_PASSWORD"] = wanted.password
    return environment


def _project(wanted: Wanted) -> Path:
    project = wanted.folder / "project"
    project.mkdir()
    return project


def _ready(wanted: Wanted, process: "subprocess.Popen[str]") -> RealServer:
    lines: dict[str, str] = {}

    def listen() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            what, _, value = line.rstrip().partition(" ")
            lines[what] = value
            if what != "pid":
                return

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    listener.join(READY_WITHIN)
    if "url" not in lines:
        log = (wanted.folder / "server.log").read_text("utf-8")
        raise RuntimeError(f"OpenCode {wanted.release} doesn't get ready: {lines} {log}")
    _wait_for_first_response(lines["url"], wanted.password)
    return RealServer(
        release=wanted.release,
        url=lines["url"],
        username="opencode" if wanted.password else None,
        password=Secret(wanted.password) if wanted.password else None,
        home=wanted.folder / "home",
        project=wanted.folder / "project",
        guard_pid=process.pid,
        pid=int(lines["pid"]),
    )


def _wait_for_first_response(url: str, password: str | None) -> None:
    """Wait until a server that says it listens responds: its first responses take seconds.

    Current releases leave a request of their first moments unanswered for ever, hence several.
    """
    pair = f"opencode:{password or ''}".encode()
    headers = {"Authorization": f"Basic {b64encode(pair).decode()}"} if password else {}
    for timeout in (5, 10, READY_WITHIN):
        connection = HTTPConnection(url.partition("://")[2], timeout=timeout)
        try:
            connection.request("GET", "/path", headers=headers)
            connection.getresponse()
            return
        except OSError:
            continue
        finally:
            connection.close()
    raise RuntimeError(f"{url} listens and doesn't respond")


def free_port() -> int:
    """A port that nobody listens at now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
