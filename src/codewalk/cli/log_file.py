"""The log file, `codewalk.log` in the data folder, and warnings on stderr."""

import logging
import os
import sys
import threading
from contextlib import suppress
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Final

from codewalk.cli.output import print_message
from codewalk.errors import StorageError
from codewalk.settings import FILE_MODE, Settings

MAX_LOG_BYTES: Final = 2**20
"""Size in bytes at which the log is renamed to `codewalk.log.1`, in place of an older one."""

_FORMAT: Final = "%(asctime)s %(process)d %(levelname)s %(name)s: %(message)s"

_log = logging.getLogger("codewalk")


class LogFileHandler(RotatingFileHandler):
    """Writes the log file: readable by its owner alone, bounded, created with its first line.

    A line that can't be written is lost without an error, on a full disk say: logging must not stop
    what is being logged.

    Attributes:
        failed: Whether a line was lost.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__(
            settings.data_dir / "codewalk.log",
            maxBytes=MAX_LOG_BYTES,
            backupCount=1,
            encoding="utf-8",
            errors="backslashreplace",
            delay=True,
        )
        self._settings = settings
        self.failed = False
        self.setFormatter(logging.Formatter(_FORMAT))

    @property
    def path(self) -> Path:
        return Path(self.baseFilename)

    def _open(self) -> TextIOWrapper:
        self._settings.make_data_dir()
        return open(
            self.baseFilename, "a", encoding="utf-8", errors=self.errors, opener=_open_private
        )

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802 - the base class's
        """Note that a line was lost; the base class would print a traceback on stderr."""
        self.failed = True
        # The next line opens the file again: a rollover may have closed it and failed.
        stream, self.stream = self.stream, None
        if stream:
            with suppress(OSError):
                stream.close()

    def close(self) -> None:
        with suppress(OSError):
            super().close()


class _WarningHandler(logging.Handler):
    """Prints warnings for people: a line each on stderr, without tracebacks."""

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(OSError):
            print_message(f"warning: {record.getMessage()}")


def configure_logging(settings: Settings, *, to_stderr: bool) -> None:
    """Write what is logged to the log file.

    Args:
        settings: Names the data folder.
        to_stderr: Whether to print CodeWalk's own warnings on stderr too.
    """
    root = logging.getLogger()
    # The root's, so that the standard library's last resort prints no message of any library.
    root.handlers = [LogFileHandler(settings)]
    _log.setLevel(logging.INFO)
    _log.handlers = [_WarningHandler(logging.WARNING)] if to_stderr else []


def log_uncaught_errors() -> None:
    """Write errors that nobody can catch, in threads and finalizers, to the log file.

    By default Python prints their tracebacks on stderr.
    """
    threading.excepthook = lambda hook_args: _write_uncaught(hook_args.exc_value)
    sys.unraisablehook = lambda hook_args: _write_uncaught(hook_args.exc_value)


def _write_uncaught(error: BaseException | None) -> None:
    if error is not None and not isinstance(error, SystemExit | BrokenPipeError):
        write_traceback(error)


def write_traceback(error: BaseException, settings: Settings | None = None) -> Path | None:
    """Write an unexpected error with its traceback to the log file.

    Args:
        error: What was raised.
        settings: Names the data folder; by default the environment does.

    Returns:
        The log file, or None where it can't be written.
    """
    try:
        handler = LogFileHandler(settings or Settings.from_environment())
        handler.handle(_make_record(error))
        handler.close()
    except (OSError, StorageError, RuntimeError):  # RuntimeError: no home folder can be determined
        return None
    return None if handler.failed else handler.path


def _make_record(error: BaseException) -> logging.LogRecord:
    # Without the command line's arguments: a URL among them may contain a password.
    return logging.LogRecord(
        _log.name,
        logging.CRITICAL,
        __file__,
        0,
        "unexpected error",
        None,
        (type(error), error, error.__traceback__),
    )


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags, FILE_MODE)
