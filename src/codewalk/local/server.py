"""The OpenCode server on this machine that CodeWalk starts, watches and ends.

It listens on loopback, on a port and with a password that are new at each start. The password goes
to it through its environment, is held as a `Secret`, and is written nowhere. `guard` sees to it
that the server ends with CodeWalk, whatever CodeWalk dies of; `stale` to one left all the same.
"""

import asyncio
import logging
import os
import re
import secrets
import shutil
import socket
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from time import monotonic
from typing import Final, Self

from codewalk.local.orphans import MARKER_VARIABLE, RECORD_FILE, end_orphans, write_record
from codewalk.opencode.defaults import DEFAULT_USERNAME
from codewalk.secret import Secret
from codewalk.settings import Settings, environment_without_secrets
from codewalk.tasks import BackgroundTasks

_HOW_TO_GET: Final = (
    "OpenCode isn't installed. `npm install -g opencode-ai` installs it; "
    "CODEWALK_OPENCODE names an executable elsewhere."
)

_GUARD: Final = Path(__file__).with_name("guard.py")
_URL: Final = re.compile(r"http://127\.0\.0\.1:\d{1,5}")
_log = logging.getLogger(__name__)


class Phase(Enum):
    """Where the local server is in its life."""

    STARTING = "started, not ready yet"
    RUNNING = "answers"
    FAILED = "ended or didn't start; it is tried again"
    STOPPED = "ended with CodeWalk, or never begun"


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalStatus:
    """What is known of the local server.

    `url`, `username` and `password` are set while it runs; `detail` (one sentence) and `retry_in`
    (seconds) when it failed.
    """

    phase: Phase
    url: str | None = None
    username: str | None = None
    password: Secret | None = None
    detail: str | None = None
    retry_in: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Timing:
    """Seconds. A server that ran for `steady_after` has the first delay again when it ends."""

    ready_timeout: float = 60.0
    min_backoff: float = 0.5
    max_backoff: float = 30.0
    steady_after: float = 60.0
    stop_timeout: float = 2.5


OnChange = Callable[[LocalStatus], Awaitable[None]]


def find_executable(settings: Settings) -> Path | None:
    """The `opencode` to run: what `CODEWALK_OPENCODE` names, else the one on `PATH`."""
    name = settings.opencode or "opencode"
    found = shutil.which(str(Path(name).expanduser()) if os.sep in name else name)
    return Path(found).absolute() if found else None


def missing_message(settings: Settings) -> str:
    """Why there is no `opencode` to run, and what helps."""
    if settings.opencode:
        return f"CODEWALK_OPENCODE names {settings.opencode!r}, which can't be run."
    return _HOW_TO_GET


class LocalServer:
    """Keeps one OpenCode server running from `__aenter__` to `__aexit__`.

    `on_change` is awaited with each new status, `STOPPED` last. The caller holds the data folder's
    lock: two of these on one folder would take each other for left behind.
    """

    def __init__(
        self,
        executable: Path,
        data_dir: Path,
        *,
        on_change: OnChange,
        environment: Mapping[str, str] | None = None,
        timing: Timing | None = None,
    ) -> None:
        self._executable = executable
        self._record = data_dir / RECORD_FILE
        self._log_file = data_dir / "opencode-server.log"
        self._on_change = on_change
        self._environment = os.environ if environment is None else environment
        self._timing = timing or Timing()
        self._status = LocalStatus(phase=Phase.STOPPED)
        self._tasks = BackgroundTasks()

    @property
    def status(self) -> LocalStatus:
        return self._status

    async def __aenter__(self) -> Self:
        """Begins; doesn't wait until the server is ready."""
        await self._tasks.__aenter__()
        self._tasks.start(self._supervise(), name="local server")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._tasks.__aexit__(*_)
        await self._announce(LocalStatus(phase=Phase.STOPPED))

    async def _announce(self, status: LocalStatus) -> None:
        self._status = status
        await self._on_change(status)

    async def _supervise(self) -> None:
        left = await asyncio.to_thread(end_orphans, self._record)
        if left:
            _log.warning("ended a local OpenCode server left behind by an earlier run")
        delay, told = self._timing.min_backoff, ""
        while True:
            began = monotonic()
            detail = await self._run()
            if monotonic() - began >= self._timing.steady_after:
                delay, told = self._timing.min_backoff, ""
            if detail != told:
                # Once for a trouble that stays, not every half minute.
                _log.warning("%s It is tried again.", detail)
                told = detail
            await self._announce(LocalStatus(phase=Phase.FAILED, detail=detail, retry_in=delay))
            await asyncio.sleep(delay)
            delay = min(2 * delay, self._timing.max_backoff)

    async def _run(self) -> str:
        """One life of the server; returns why it ended."""
        await self._announce(LocalStatus(phase=Phase.STARTING))
        password, marker = secrets.token_urlsafe(32), secrets.token_hex(16)
        try:
            guard = await self._start_guard(password, marker)
        except OSError as exc:
            return f"The local OpenCode server can't be started: {exc.strerror}."
        try:
            detail = await self._follow(guard, Secret(password), marker)
        finally:
            await self._stop_guard(guard)
        return detail or (
            f"The local OpenCode server ended with status {guard.process.returncode}; "
            f"{self._log_file} tells why."
        )

    async def _start_guard(self, password: str, marker: str) -> "_Guard":
        environment = {
            **environment_without_secrets(self._environment),
            "OPENCODE_SERVER_USERNAME": DEFAULT_USERNAME,
            "OPENCODE_SERVER_PASSWORD": password,
            MARKER_VARIABLE: marker,
        }
        guard = [sys.executable, "-I", "-S", str(_GUARD), str(os.getpid()), str(self._log_file)]
        address = ["--hostname", "127.0.0.1", "--port", str(_free_port())]
        process = await asyncio.create_subprocess_exec(
            *guard,
            str(self._executable),
            "serve",
            *address,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=environment,
            cwd=await asyncio.to_thread(_home),
            start_new_session=True,
        )
        return _Guard.of(process)

    async def _follow(self, guard: "_Guard", password: Secret, marker: str) -> str | None:
        """Until the server ends; returns what went wrong, where more than that."""
        try:
            async with asyncio.timeout(self._timing.ready_timeout):
                url = await self._ready(guard, marker)
        except TimeoutError:
            return (
                f"The local OpenCode server wasn't ready within {self._timing.ready_timeout:g} s."
            )
        except _NotStarted as exc:
            return str(exc)
        if url is not None:
            status = LocalStatus(
                phase=Phase.RUNNING, url=url, username=DEFAULT_USERNAME, password=password
            )
            await self._announce(status)
        await guard.process.wait()
        return None

    async def _ready(self, guard: "_Guard", marker: str) -> str | None:
        """The server's URL, None where it ended before. Raises `_NotStarted`."""
        while line := (await guard.said.readline()).decode().rstrip():
            what, _, value = line.partition(" ")
            match what:
                case "pid":
                    await self._note(int(value), guard.process.pid, marker)
                case "url" if _URL.fullmatch(value):
                    return value
                case "url":
                    raise _NotStarted("The local OpenCode server doesn't listen on loopback.")
                case _:
                    raise _NotStarted(f"The local OpenCode server can't be started: {value}.")
        return None

    async def _note(self, pid: int, guard_pid: int, marker: str) -> None:
        command = str(self._executable)
        try:
            await asyncio.to_thread(
                write_record,
                self._record,
                pid=pid,
                guard_pid=guard_pid,
                command=command,
                marker=marker,
            )
        except OSError as exc:
            # The server is as good without the note.
            _log.warning("%s can't be written: %s", self._record, exc.strerror)

    async def _stop_guard(self, guard: "_Guard") -> None:
        # The pipe's end is the order to stop, and is given even if nobody waits for what follows.
        guard.pipe.close()
        try:
            async with asyncio.timeout(self._timing.stop_timeout):
                await guard.process.wait()
        except TimeoutError:
            with suppress(ProcessLookupError):
                guard.process.kill()
            await guard.process.wait()
        # Nothing is left now, unless the guard itself was killed before the server's children.
        await asyncio.to_thread(end_orphans, self._record)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Guard:
    """The guard's process, what it says, and the pipe whose end stops it."""

    process: asyncio.subprocess.Process
    said: asyncio.StreamReader
    pipe: asyncio.StreamWriter

    @classmethod
    def of(cls, process: asyncio.subprocess.Process) -> "_Guard":
        if process.stdout is None or process.stdin is None:
            raise ValueError("the guard's standard input and output must be pipes")
        return cls(process=process, said=process.stdout, pipe=process.stdin)


class _NotStarted(Exception):
    """The server never came up; the text is the sentence for a person."""


def _free_port() -> int:
    # OpenCode takes 4096 for `--port 0`. Between here and its start another program may take this
    # one: then it fails at once and is tried again on another.
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _home() -> str | None:
    home = Path("~").expanduser()
    return str(home) if home.is_dir() else None
