"""The log file: what happened, for whoever has to find out why."""

import logging
import os
import sys
import threading
from contextlib import suppress
from io import TextIOWrapper
from pathlib import Path
from typing import Final

from codewalk.cli.output import print_message
from codewalk.errors import StorageError
from codewalk.settings import FILE_MODE, Settings

MAX_LOG_BYTES: Final = 2**20
"""Bytes; a longer log is put aside as `codewalk.log.1`, over the one before."""

_FORMAT: Final = "%(asctime)s %(process)d %(levelname)s %(name)s: %(message)s"

_log = logging.getLogger("codewalk")


class LogFileHandler(logging.FileHandler):
    """Writes `codewalk.log` in the data folder: private, bounded, made with its first line."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings.data_dir / "codewalk.log", encoding="utf-8", delay=True)
        self._settings = settings
        self.setFormatter(logging.Formatter(_FORMAT))

    def _open(self) -> TextIOWrapper:
        self._settings.make_data_dir()
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        descriptor = os.open(self.baseFilename, flags, FILE_MODE)
        return open(descriptor, "a", encoding="utf-8", errors="backslashreplace")  # noqa: PTH123 - a descriptor

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(OSError, StorageError):  # a full disk must not stop what is being logged
            if self.stream and self.stream.tell() > MAX_LOG_BYTES:
                self.close()
                path = Path(self.baseFilename)
                path.replace(path.with_name(f"{path.name}.1"))
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the base class's name
        """Nothing: by default the standard library prints a traceback here."""


class _Warnings(logging.Handler):
    """Tells people of warnings, a line each on stderr, without tracebacks."""

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(OSError):
            print_message(f"warning: {record.getMessage()}")


def configure_logging(settings: Settings, *, to_stderr: bool) -> None:
    """Send what is logged to the file, and CodeWalk's own warnings to stderr if `to_stderr`."""
    root = logging.getLogger()
    # The root's, so that no library's trouble is printed by the standard library's last resort.
    root.handlers = [LogFileHandler(settings)]
    _log.setLevel(logging.INFO)
    _log.handlers = [_Warnings(logging.WARNING)] if to_stderr else []


def log_uncaught_errors() -> None:
    """Sends errors that nobody can catch, in threads and finalizers, to the log file.

    Their default is a traceback on stderr.
    """
    threading.excepthook = lambda lost: _write_quietly(lost.exc_value)
    sys.unraisablehook = lambda lost: _write_quietly(lost.exc_value)


def _write_quietly(error: BaseException | None) -> None:
    if error is not None and not isinstance(error, SystemExit | BrokenPipeError):
        write_traceback(error)


def write_traceback(error: BaseException, settings: Settings | None = None) -> Path | None:
    """Puts an unexpected error into the log file; its path, None where that can't be written."""
    try:
        journal = LogFileHandler(settings or Settings.from_environment())
        path = Path(journal.baseFilename)
        before = path.stat().st_size if path.exists() else 0
        journal.emit(_record(error))
        journal.close()
        return path if path.stat().st_size > before else None
    except (OSError, StorageError, RuntimeError):  # RuntimeError: no home folder can be found
        return None


def _record(error: BaseException) -> logging.LogRecord:
    # Without the arguments: a URL among them may hold a password.
    return logging.LogRecord(
        _log.name,
        logging.CRITICAL,
        __file__,
        0,
        "unexpected error",
        None,
        (type(error), error, error.__traceback__),
    )
