"""Processes that are measured: started here, bounded in time, ended by their own handle."""

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

_TICKS: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, kw_only=True, slots=True)
class Usage:
    """What a process, all its threads, has used so far; `peak` is resident memory in bytes."""

    cpu: float
    peak: int

    @classmethod
    def of(cls, pid: int) -> Self:
        # The fields after the name, which is in brackets and may hold anything.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        status = Path(f"/proc/{pid}/status").read_text()
        peak = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
        return cls(
            cpu=(int(fields[11]) + int(fields[12])) / _TICKS, peak=int(peak.split()[1]) * 1024
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
    """A process, on one core where that is given; ended with the block: asked to, then made to."""
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


async def line_of(process: Process, start: str, *, within: float) -> str:
    """The rest of the next line on its stdout that begins with `start`.

    Raises `RuntimeError` where it ends first, `TimeoutError` where `within` seconds pass.
    """
    assert process.stdout is not None
    async with asyncio.timeout(within):
        async for line in process.stdout:
            text = line.decode(errors="replace")
            if text.startswith(start):
                return text.removeprefix(start).strip()
    raise RuntimeError(f"process {process.pid} ended without saying {start!r}")


async def until(true: Callable[[], Awaitable[bool]], *, within: float = 10.0) -> None:
    """Asks every 20 ms; another program's state comes with no event. Raises `TimeoutError`."""
    async with asyncio.timeout(within):
        while not await true():  # noqa: ASYNC110 - see above
            await asyncio.sleep(0.02)


FILES: Final = 20_000
"""Open files that a process may have here at most, as many systems have it."""


def raise_file_limit() -> None:
    """For this process and those it starts: a thousand servers are a thousand connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = hard == resource.RLIM_INFINITY
    most = FILES if unlimited else min(hard, FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))


def cores() -> tuple[int, int]:
    """The core of what is measured, and the one of the load's other end."""
    free = sorted(os.sched_getaffinity(0))
    if len(free) < 2:
        raise RuntimeError("the benchmark needs two cores: one is for the load's other end")
    return free[0], free[1]


def free_port(address: str = "127.0.0.1") -> int:
    """A port that nobody listens at now."""
    with socket.socket() as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])


def load() -> float:
    """The processes that wanted a core, on average over the last minute, anybody's."""
    return os.getloadavg()[0]
