"""One running app for each data folder."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from codewalk.errors import AlreadyRunning, StorageError
from codewalk.settings import FILE_MODE, Settings, write_private

_WAIT: Final = 0.3
"""Seconds for the lock: `doctor` holds it for a moment to see whether anyone does."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunningApp:
    """A running app: its process and its address, without the token."""

    pid: int
    url: str


class Instance:
    """This process's hold on the data folder."""

    def __init__(self, record: Path) -> None:
        self._record = record

    def record_url(self, url: str) -> None:
        """Leaves word where this app is, for a second one and for `doctor`."""
        text = json.dumps({"pid": os.getpid(), "url": url})
        try:
            write_private(self._record, text + "\n")
        except OSError as exc:
            raise _unusable(self._record, exc) from exc


@contextmanager
def single_instance(settings: Settings) -> Iterator[Instance]:
    """Holds the data folder for the block.

    Raises `AlreadyRunning` where another process does, and `StorageError`. The lock is the
    system's, so that it goes with its process, however that ends.
    """
    # Imported here: only `up` and `doctor` need it.
    from filelock import FileLock, Timeout

    settings.make_data_dir()
    lock = FileLock(settings.data_dir / "codewalk.lock", timeout=_WAIT, mode=FILE_MODE)
    record = _record(settings)
    try:
        lock.acquire()
    except Timeout:
        raise AlreadyRunning(_already(settings, _read(record))) from None
    except OSError as exc:
        raise _unusable(Path(lock.lock_file), exc) from exc
    try:
        record.unlink(missing_ok=True)  # left by one that was killed
        yield Instance(record)
    finally:
        record.unlink(missing_ok=True)
        lock.release()


def find_running(settings: Settings) -> RunningApp | None:
    """The app that runs on this data folder, None without one or before it has an address."""
    if not (settings.data_dir / "codewalk.lock").exists():
        return None
    try:
        with single_instance(settings):
            return None
    except AlreadyRunning:
        return _read(_record(settings))


def _record(settings: Settings) -> Path:
    return settings.data_dir / "running.json"


def _read(record: Path) -> RunningApp | None:
    try:
        found = json.loads(record.read_text(encoding="utf-8"))
        return RunningApp(pid=int(found["pid"]), url=str(found["url"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _already(settings: Settings, running: RunningApp | None) -> str:
    where = f"at {running.url} (pid {running.pid})" if running else "and is about to serve"
    return (
        f"CodeWalk already runs {where} on the data folder {settings.data_dir}. "
        "Open that one, or set CODEWALK_DATA_DIR to run another."
    )


def _unusable(path: Path, exc: OSError) -> StorageError:
    return StorageError(f"{path} can't be written: {exc.strerror}.", value=str(path))
