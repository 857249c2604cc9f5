"""The note that a local server leaves, so that the next start can end one that was left behind.

A server normally ends with CodeWalk. Where its guard was killed too, it goes on alone; a process
number in a file is no proof that it is ours, since numbers are used again. The proof is a random
marker in its environment, which its children inherit. Everything here blocks: call it in a thread.
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
"""The note's name in the data folder."""

KILL_DELAY: Final = 1.5
"""Seconds from the request to end until it is an order."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """One run of the local server. `created` is its process's start in epoch seconds."""

    pid: int
    created: float
    guard_pid: int
    command: str
    marker: str


def write_record(path: Path, *, pid: int, guard_pid: int, command: str, marker: str) -> None:
    """Leaves the note. Raises `OSError`; does nothing where the process is gone already."""
    try:
        created = psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        return
    record = Record(pid=pid, created=created, guard_pid=guard_pid, command=command, marker=marker)
    write_private(path, json.dumps(asdict(record)))


def end_orphans(path: Path) -> int:
    """Ends what the note names, removes the note, and returns how many processes it ended."""
    record = _read(path)
    processes = list(_left_behind(record)) if record else []
    for process in processes:
        _try_to(process.terminate)
    _, stubborn = psutil.wait_procs(processes, timeout=KILL_DELAY)
    for process in stubborn:
        _try_to(process.kill)
    psutil.wait_procs(stubborn, timeout=KILL_DELAY)
    path.unlink(missing_ok=True)
    return len(processes)


def _read(path: Path) -> Record | None:
    try:
        return Record(**json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        # No note, or none of ours: whatever it meant can't be known.
        return None


def _left_behind(record: Record) -> Iterator[psutil.Process]:
    # Not only the server's process group: what its models run may have left that.
    for process in psutil.process_iter():
        if process.pid != os.getpid() and _is_ours(process, record):
            yield process


def _is_ours(process: psutil.Process, record: Record) -> bool:
    try:
        return process.environ().get(MARKER_VARIABLE) == record.marker
    except psutil.AccessDenied:
        # Some systems hide the environment even from its owner.
        named = process.pid in (record.pid, record.guard_pid)
        near = named or _group(process.pid) == record.pid
        return near and _looks_like_ours(process, record)
    except psutil.Error:
        return False


def _looks_like_ours(process: psutil.Process, record: Record) -> bool:
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


def _try_to(end: Callable[[], None]) -> None:
    with suppress(psutil.Error):
        end()
