"""The OpenCode server on this machine that CodeWalk starts, watches and stops.

It listens on loopback, on a port and with a password that are new at each start. The password goes
to it through its environment, is held as a `Secret`, and is written nowhere. `guard` stops the
server whatever ends CodeWalk; `orphans` stops one that is running all the same.
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

_NOT_INSTALLED: Final = (
    "OpenCode isn't installed. `npm install -g opencode-ai` installs it; "
    "CODEWALK_OPENCODE names an executable elsewhere."
)

_GUARD: Final = Path(__file__).with_name("guard.py")
_URL: Final = re.compile(r"http://127\.0\.0\.1:\d{1,5}")
_log = logging.getLogger(__name__)


class Phase(Enum):
    """A phase in the life of the local server."""

    STARTING = "started, not ready yet"
    RUNNING = "answers"
    FAILED = "ended or didn't start; it is started again"
    STOPPED = "ended with CodeWalk, or never started"


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalStatus:
    """The status of the local server.

    Attributes:
        url: Set while the server runs, as are `username` and `password`.
        detail: Why it failed, in one sentence.
        retry_in: Seconds until it is started again after a failure.
    """

    phase: Phase
    url: str | None = None
    username: str | None = None
    password: Secret | None = None
    detail: str | None = None
    retry_in: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Timing:
    """The times of a local server, in seconds.

    Attributes:
        ready_timeout: How long a start may take.
        min_backoff: The wait before the first restart; it doubles with each failure.
        max_backoff: The longest wait before a restart.
        stable_after: A server that ran for this long has the first wait again when it ends.
        stop_timeout: How long the guard may take to stop the server.
    """

    ready_timeout: float = 60.0
    min_backoff: float = 0.5
    max_backoff: float = 30.0
    stable_after: float = 60.0
    stop_timeout: float = 2.5


OnChange = Callable[[LocalStatus], Awaitable[None]]


def find_executable(settings: Settings) -> Path | None:
    """Return the `opencode` to run: the one of `CODEWALK_OPENCODE`, else the one on `PATH`."""
    name = settings.opencode or "opencode"
    path = shutil.which(str(Path(name).expanduser()) if os.sep in name else name)
    return Path(path).absolute() if path else None


def missing_message(settings: Settings) -> str:
    """Return why there is no `opencode` to run, and what helps."""
    if settings.opencode:
        return f"CODEWALK_OPENCODE names {settings.opencode!r}, which can't be run."
    return _NOT_INSTALLED


class LocalServer:
    """Keeps one OpenCode server running from `__aenter__` to `__aexit__`.

    The caller holds the lock of the data folder: two of these on one folder would take each other
    for orphans.

    Args:
        executable: The `opencode` to run.
        data_dir: The folder for the server's log and for the record of its process.
        on_change: Awaited with each new status, `STOPPED` last.
        environment: The environment of the server, from which CodeWalk's own variables are
            removed; that of this process if None.
        timing: Times, for tests.
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
        self._record_file = data_dir / RECORD_FILE
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
        """Start the server; don't wait until it is ready."""
        await self._tasks.__aenter__()
        self._tasks.start_job(self._supervise, name="local server")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._tasks.__aexit__(*_)
        await self._announce(LocalStatus(phase=Phase.STOPPED))

    async def _announce(self, status: LocalStatus) -> None:
        self._status = status
        await self._on_change(status)

    async def _supervise(self) -> None:
        orphans = await asyncio.to_thread(end_orphans, self._record_file)
        if orphans:
            _log.warning("ended a local OpenCode server left behind by an earlier run")
        delay, logged = self._timing.min_backoff, ""
        while True:
            started = monotonic()
            detail = await self._run()
            if monotonic() - started >= self._timing.stable_after:
                delay, logged = self._timing.min_backoff, ""
            if detail != logged:
                # Once for a failure that stays, not every half minute.
                _log.warning("%s It is started again.", detail)
                logged = detail
            await self._announce(LocalStatus(phase=Phase.FAILED, detail=detail, retry_in=delay))
            await asyncio.sleep(delay)
            delay = min(2 * delay, self._timing.max_backoff)

    async def _run(self) -> str:
        """Run the server until it ends, and return why it did."""
        await self._announce(LocalStatus(phase=Phase.STARTING))
        password, marker = secrets.token_urlsafe(32), secrets.token_hex(16)
        try:
            guard = await self._start_guard(password, marker)
        except OSError as exc:
            return f"The local OpenCode server can't be started: {exc.strerror}."
        try:
            detail = await self._wait_for_end(guard, Secret(password), marker)
        finally:
            await self._stop_guard(guard)
        return detail or (
            f"The local OpenCode server ended with status {guard.process.returncode}; "
            f"see {self._log_file}."
        )

    async def _start_guard(self, password: str, marker: str) -> "_Guard":
        environment = {
            **environment_without_secrets(self._environment),
            "OPENCODE_SERVER_USERNAME": DEFAULT_USERNAME,
            "OPENCODE_SERVER_PASSWORD": password,
            MARKER_VARIABLE: marker,
        }
        guard_command = [
            sys.executable,
            "-I",
            "-S",
            str(_GUARD),
            str(os.getpid()),
            str(self._log_file),
        ]
        address = ["--hostname", "127.0.0.1", "--port", str(_free_port())]
        process = await asyncio.create_subprocess_exec(
            *guard_command,
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
        return _Guard.from_process(process)

    async def _wait_for_end(self, guard: "_Guard", password: Secret, marker: str) -> str | None:
        """Wait until the server ends; return what went wrong before it was ready, if anything."""
        try:
            async with asyncio.timeout(self._timing.ready_timeout):
                url = await self._wait_until_ready(guard, marker)
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

    async def _wait_until_ready(self, guard: "_Guard", marker: str) -> str | None:
        """Return the server's URL, None where it ended before. Raises `_NotStarted`."""
        while line := (await guard.output.readline()).decode().rstrip():
            what, _, value = line.partition(" ")
            match what:
                case "pid":
                    await self._write_record(int(value), guard.process.pid, marker)
                case "url" if _URL.fullmatch(value):
                    return value
                case "url":
                    raise _NotStarted("The local OpenCode server doesn't listen on loopback.")
                case _:
                    raise _NotStarted(f"The local OpenCode server can't be started: {value}.")
        return None

    async def _write_record(self, pid: int, guard_pid: int, marker: str) -> None:
        command = str(self._executable)
        try:
            await asyncio.to_thread(
                write_record,
                self._record_file,
                pid=pid,
                guard_pid=guard_pid,
                command=command,
                marker=marker,
            )
        except OSError as exc:
            # The server works as well without its record.
            _log.warning("%s can't be written: %s", self._record_file, exc.strerror)

    async def _stop_guard(self, guard: "_Guard") -> None:
        # The end of the pipe tells the guard to stop, even if this task is cancelled after it.
        guard.pipe.close()
        try:
            async with asyncio.timeout(self._timing.stop_timeout):
                await guard.process.wait()
        except TimeoutError:
            with suppress(ProcessLookupError):
                guard.process.kill()
            await guard.process.wait()
        # Nothing runs any more, unless the guard itself was killed before the server's children.
        await asyncio.to_thread(end_orphans, self._record_file)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Guard:
    """The guard's process, its output, and the pipe whose end stops it."""

    process: asyncio.subprocess.Process
    output: asyncio.StreamReader
    pipe: asyncio.StreamWriter

    @classmethod
    def from_process(cls, process: asyncio.subprocess.Process) -> "_Guard":
        if process.stdout is None or process.stdin is None:
            raise ValueError("the guard's standard input and output must be pipes")
        return cls(process=process, output=process.stdout, pipe=process.stdin)


class _NotStarted(Exception):
    """The server didn't start; the text is a sentence for a person."""


def _free_port() -> int:
    # OpenCode takes 4096 for `--port 0`. Between here and its start another program may take this
    # port: then the server fails at once and is started again on another.
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _home() -> str | None:
    home = Path("~").expanduser()
    return str(home) if home.is_dir() else None
