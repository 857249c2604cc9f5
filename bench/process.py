"""Starts processes that are measured, reads what they use, and ends them."""

import asyncio
import os
import resource
import signal
import socket
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

ROOT: Final = Path(__file__).resolve().parent.parent

_TICKS_PER_SECOND: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, kw_only=True, slots=True)
class Usage:
    """Use of a process so far: CPU seconds, and peak resident memory in bytes."""

    cpu: float
    peak: int

    @classmethod
    def of(cls, pid: int) -> Self:
        # The fields after the name, which is in brackets and may contain anything.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        status = Path(f"/proc/{pid}/status").read_text()
        peak = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
        return cls(
            cpu=(int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND,
            peak=int(peak.split()[1]) * 1024,
        )


@asynccontextmanager
async def started(
    *command: str | Path,
    core: int | None = None,
    cwd: Path = ROOT,
    env: Mapping[str, str] | None = None,
    stdout: int | None = PIPE,
    stderr: int | None = None,
) -> AsyncIterator[Process]:
    """Start a process for a block, on one core if given; it is terminated, or else killed."""
    pinned: Sequence[str | Path] = ("taskset", "--cpu-list", str(core)) if core is not None else ()
    process = await asyncio.create_subprocess_exec(
        *pinned,
        *command,
        cwd=cwd,
        stdin=PIPE,
        stdout=stdout,
        stderr=stderr,
        env=env,
    )
    try:
        yield process
    finally:
        await _end(process)


async def _end(process: Process) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            process.send_signal(number)
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), 3.0)


async def read_line(process: Process, prefix: str, *, timeout: float) -> str:
    """Return the rest of the next line on the process's stdout that begins with `prefix`.

    Raises:
        RuntimeError: The process ended before.
        TimeoutError: There was no such line within `timeout` seconds.
    """
    assert process.stdout is not None
    async with asyncio.timeout(timeout):
        async for line in process.stdout:
            text = line.decode(errors="replace")
            if text.startswith(prefix):
                return text.removeprefix(prefix).strip()
    raise RuntimeError(f"process {process.pid} ended without printing {prefix!r}")


async def wait_until(condition: Callable[[], Awaitable[bool]], *, timeout: float = 10.0) -> None:
    """Poll a condition every 20 ms: the state of another program comes with no event.

    Raises:
        TimeoutError: It did not hold within `timeout` seconds.
    """
    async with asyncio.timeout(timeout):
        while not await condition():  # noqa: ASYNC110 - see above
            await asyncio.sleep(0.02)


MAX_OPEN_FILES: Final = 20_000
"""Files that a process may have open here, a usual limit."""


def raise_file_limit() -> None:
    """Raise the limit of open files for this process and its children: each server is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = hard == resource.RLIM_INFINITY
    limit = MAX_OPEN_FILES if unlimited else min(hard, MAX_OPEN_FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, limit), hard))


def cores() -> tuple[int, int]:
    """Return the core for what is measured, and the one for the other end of its load."""
    available = sorted(os.sched_getaffinity(0))
    if len(available) < 2:
        raise RuntimeError("the benchmark needs two cores: one is for the other end of the load")
    return available[0], available[1]


def free_port(address: str = "127.0.0.1") -> int:
    """Return a port on which nothing listens now."""
    with socket.socket() as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])


def load() -> float:
    """Return the load average of the last minute, other programs included."""
    return os.getloadavg()[0]
