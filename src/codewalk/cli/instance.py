"""Allows one running app for each data folder, and finds the one that runs and its store."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from codewalk.errors import AlreadyRunning, StorageError
from codewalk.settings import FILE_MODE, Settings, write_private

_LOCK_TIMEOUT: Final = 0.3
"""Seconds to wait for the lock, which `doctor` holds for a moment to see whether it is free."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenStore:
    """The file of the store that a running app has open, by the name that it had then."""

    path: str
    device: int
    inode: int

    @property
    def is_lost(self) -> bool:
        """Whether the name leads to another file now, or to none."""
        try:
            status = Path(self.path).stat()
        except OSError:
            return True
        return (status.st_dev, status.st_ino) != (self.device, self.inode)


@dataclass(frozen=True, kw_only=True, slots=True)
class RunningApp:
    """The process id of a running app, its address without the token, and its store."""

    pid: int
    url: str
    store: OpenStore | None = None


class Instance:
    """The lock on the data folder that this process holds."""

    def __init__(self, record: Path) -> None:
        self._record = record
        self._url = ""

    def record_url(self, url: str) -> None:
        """Write this app's address to `running.json`, for a second one and for `doctor`.

        Raises:
            StorageError: The file can't be written.
        """
        self._url = url
        self._write({"pid": os.getpid(), "url": url})

    def record_store(self, store: OpenStore) -> None:
        """Write also which store this app has open, for commands and for `doctor`.

        Raises:
            StorageError: The file can't be written.
        """
        self._write({"pid": os.getpid(), "url": self._url, "store": asdict(store)})

    def _write(self, document: Mapping[str, object]) -> None:
        text = json.dumps(document)
        try:
            write_private(self._record, text + "\n")
        except OSError as exc:
            raise _not_writable(self._record, exc) from exc


@contextmanager
def single_instance(settings: Settings) -> Iterator[Instance]:
    """Hold the lock on the data folder in a `with` block.

    It is a lock of the operating system, which is released however the process ends.

    Raises:
        AlreadyRunning: Another process holds it.
        StorageError: The data folder can't be written.
    """
    settings.make_data_dir()
    record = _record_file(settings)
    with ExitStack() as stack:
        try:
            stack.enter_context(_lock(settings))
        except _Locked:
            raise AlreadyRunning(_already_running(settings, _read(record))) from None
        stack.callback(record.unlink, missing_ok=True)
        record.unlink(missing_ok=True)  # of an app that was killed
        yield Instance(record)


def find_running(settings: Settings) -> RunningApp | None:
    """Return the app that runs on this data folder; None before it has an address, too.

    Creates and changes nothing.

    Raises:
        StorageError: The lock can't be opened.
    """
    if not _lock_file(settings).exists():
        return None
    try:
        with _lock(settings):
            return None
    except _Locked:
        return _read(_record_file(settings))


def refuse_second_store(settings: Settings, path: Path) -> None:
    """Refuse to create a store in the place of one that a running app has open.

    Args:
        settings: Name the data folder.
        path: The store, which isn't there.

    Raises:
        StorageError: An app runs, and its store was there.
    """
    running = find_running(settings)
    if running and running.store and running.store.path == str(path):
        raise StorageError(
            f"The store {path} was deleted or moved away while CodeWalk runs at {running.url} "
            f"(pid {running.pid}). Move it back, or stop CodeWalk first: its pages and `codewalk "
            "doctor` say where its data was copied to.",
            value=str(path),
        )


class _Locked(Exception):
    """Another process holds the lock."""


@contextmanager
def _lock(settings: Settings) -> Iterator[None]:
    # Imported here: only `up` and `doctor` need it.
    from filelock import FileLock, Timeout

    path = _lock_file(settings)
    lock = FileLock(path, timeout=_LOCK_TIMEOUT, mode=FILE_MODE)
    try:
        lock.acquire()
    except Timeout:
        raise _Locked from None
    except OSError as exc:
        raise _not_writable(path, exc) from exc
    try:
        yield
    finally:
        lock.release()


def _lock_file(settings: Settings) -> Path:
    return settings.data_dir / "codewalk.lock"


def _record_file(settings: Settings) -> Path:
    return settings.data_dir / "running.json"


def _read(record: Path) -> RunningApp | None:
    try:
        document = json.loads(record.read_text(encoding="utf-8"))
        store = OpenStore(**document["store"]) if "store" in document else None
        return RunningApp(pid=int(document["pid"]), url=str(document["url"]), store=store)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _already_running(settings: Settings, running: RunningApp | None) -> str:
    where = f"at {running.url} (pid {running.pid})" if running else "and is about to serve"
    return (
        f"CodeWalk already runs {where} on the data folder {settings.data_dir}. "
        "Open that one, or set CODEWALK_DATA_DIR to run another."
    )


def _not_writable(path: Path, exc: OSError) -> StorageError:
    return StorageError(f"{path} can't be written: {exc.strerror}.", value=str(path))
