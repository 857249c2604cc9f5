"""The record of a local server's process, by which the next start ends an orphaned server.

A server normally ends with CodeWalk. Where its guard was killed too, it runs on alone. A process
number in a file doesn't prove that the process is that server, since numbers are used again; a
random marker in its environment, which its children inherit, does. All functions block: call them
in a thread.
"""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import psutil

from codewalk.settings import write_private

MARKER_VARIABLE: Final = "CODEWALK_LOCAL_SERVER"
"""The environment variable that holds a local server's marker."""

RECORD_FILE: Final = "local-server.json"
"""The record's file name in the data folder."""

KILL_DELAY: Final = 1.5
"""Seconds from SIGTERM to SIGKILL."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """One run of the local server; `created` is its process's start in epoch seconds."""

    pid: int
    created: float
    guard_pid: int
    command: str
    marker: str


def write_record(path: Path, *, pid: int, guard_pid: int, command: str, marker: str) -> None:
    """Write the record of a running server; do nothing where its process has ended.

    Args:
        path: The file.
        pid: The server's process.
        guard_pid: Its guard's process.
        command: The server's executable.
        marker: What its environment holds in `MARKER_VARIABLE`.

    Raises:
        OSError: The file can't be written.
    """
    try:
        created = psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        return
    record = Record(pid=pid, created=created, guard_pid=guard_pid, command=command, marker=marker)
    write_private(path, json.dumps(asdict(record)))


def end_orphans(path: Path) -> int:
    """End the processes of the recorded run, remove the record, and return how many ended."""
    record = _read(path)
    processes = list(_find_processes(record)) if record else []
    for process in processes:
        _ignore_errors(process.terminate)
    _, alive = psutil.wait_procs(processes, timeout=KILL_DELAY)
    for process in alive:
        _ignore_errors(process.kill)
    psutil.wait_procs(alive, timeout=KILL_DELAY)
    path.unlink(missing_ok=True)
    return len(processes)


def _read(path: Path) -> Record | None:
    try:
        return Record(**json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        # There is no record, or it is damaged: it identifies no process.
        return None


def _find_processes(record: Record) -> Iterator[psutil.Process]:
    # Not only the server's process group: what its models run may have left that.
    for process in psutil.process_iter():
        if process.pid != os.getpid() and _is_of_run(process, record):
            yield process


def _is_of_run(process: psutil.Process, record: Record) -> bool:
    try:
        return process.environ().get(MARKER_VARIABLE) == record.marker
    except psutil.AccessDenied:
        # Some systems hide the environment even from its owner.
        is_recorded = process.pid in (record.pid, record.guard_pid)
        is_related = is_recorded or _group(process.pid) == record.pid
        return is_related and _has_same_start_and_command(process, record)
    except psutil.Error:
        return False


def _has_same_start_and_command(process: psutil.Process, record: Record) -> bool:
    try:
        same_start = abs(process.create_time() - record.created) < 2
        return same_start and record.command in process.cmdline()
    except psutil.Error:
        return False


def _group(pid: int) -> int | None:
    try:
        return os.getpgid(pid) if hasattr(os, "getpgid") else None
    except OSError:
        return None


def _ignore_errors(end: Callable[[], None]) -> None:
    with suppress(psutil.Error):
        end()
