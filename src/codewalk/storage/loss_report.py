"""The report of a store that was lost while CodeWalk uses it, and of its rescued copy."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from codewalk.errors import StorageError
from codewalk.storage.backups import restore_steps
from codewalk.storage.location import SqliteFile
from codewalk.storage.store_file import Loss

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class StoreProblem:
    """Why nothing can be saved, in a sentence, and what helps, in a few."""

    cause: str
    remedy: str

    @property
    def message(self) -> str:
        return f"{self.cause} {self.remedy}"


class LossReport:
    """The loss of a store, if there is one. Used by several threads.

    Args:
        location: The store.
        start_rescue: Starts to copy everything from the open file, in another thread, which calls
            `set_rescued`.
    """

    def __init__(self, location: SqliteFile, *, start_rescue: Callable[[], None]) -> None:
        self._location = location
        self._start_rescue = start_rescue
        self._lock = threading.Lock()
        self._loss: Loss | None = None
        self._rescued: Path | None = None
        self._is_rescuing = False

    @property
    def problem(self) -> StoreProblem | None:
        """The problem with the store and its remedy; None if all is well."""
        loss = self._loss
        if loss is None:
            return None
        return StoreProblem(
            cause=f"Nothing can be saved: the store {self._location.path} {loss.value}.",
            remedy=f"{loss.remedy} {self._describe_copy(loss)}",
        )

    @property
    def is_rescued(self) -> bool:
        """Whether everything was copied."""
        return self._rescued is not None

    @property
    def error(self) -> StorageError:
        """The error for a write, or for a read that isn't possible any more."""
        problem, path = self.problem, str(self._location.path)
        return StorageError(problem.message if problem else f"{path} can't be written.", value=path)

    def update(self, loss: Loss | None) -> None:
        """Note what was found; the first time, log it and start the rescue."""
        if loss is self._loss:
            return
        with self._lock:
            before, self._loss = self._loss, loss
            starts = loss is not None and loss.is_readable and before is None
            if starts:
                self._is_rescuing, self._rescued = True, None
        if loss is before:
            return
        if loss is None:
            log.warning("The store %s is back; changes are saved again.", self._location.path)
        else:
            log.warning("%s", self.error.message)
        if starts:
            self._start_rescue()

    def set_rescued(self, path: Path | None) -> None:
        """Note the rescued copy, None if there can't be one."""
        self._rescued, self._is_rescuing = path, False
        if path:
            log.warning("All data of the lost store was copied to %s.", path)

    def _describe_copy(self, loss: Loss) -> str:
        if not loss.is_readable:
            return "What changed since CodeWalk started is in memory only."
        if self._rescued is None:
            return "All data is being copied." if self._is_rescuing else "All data is in memory."
        if loss is Loss.SIDE_FILE:
            return f"All data was copied to {self._rescued}."
        steps = restore_steps(self._rescued, self._location.path)
        return f"All data was copied; to go on with the copy, {steps}."
