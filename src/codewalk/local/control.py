"""Whether an OpenCode server on this machine can be started, and the order to start it."""

import asyncio
from pathlib import Path
from typing import Final

from codewalk.errors import OpenCodeMissing
from codewalk.settings import Settings

STOPPED_MESSAGE: Final = "The local OpenCode server runs while `codewalk up` does."


class LocalServerControl:
    """The switch of the managed local server, which `app.managed_server` runs and tells of.

    Only where that has opened it, as in `codewalk up`, can the server be started, and once: from
    then on it is kept running until the app ends.

    `unavailable_reason` says why it can't be started and what would help, in one or two sentences;
    it is None where it can be started or has been. `running` tells whether it answers.
    """

    def __init__(self, settings: Settings) -> None:
        self.unavailable_reason: str | None = STOPPED_MESSAGE
        self.running = False
        self._settings = settings
        self._opened = False
        self._executable: Path | None = None
        self._asked = asyncio.Event()

    @property
    def available(self) -> bool:
        """Whether `start` would start it, or has."""
        return self.unavailable_reason is None

    @property
    def starting(self) -> bool:
        """Whether it is to run and doesn't answer yet, or not at the moment."""
        return self._opened and self._asked.is_set() and not self.running

    async def start(self) -> None:
        """Has the server started, unless it is already; doesn't wait until it is ready.

        Raises `OpenCodeMissing`; one that was installed since the app began is found.
        """
        if self._opened and not self.available:
            await self.open()
        if self.unavailable_reason:
            raise OpenCodeMissing(self.unavailable_reason)
        self._asked.set()

    async def open(self) -> None:
        """Looks for the executable, and takes the order from now on."""
        # Imported here: no command needs what it brings along.
        from codewalk.local.server import find_executable, missing_message

        self._executable = await asyncio.to_thread(find_executable, self._settings)
        self._opened = True
        self.unavailable_reason = None if self._executable else missing_message(self._settings)

    async def wait_for_start(self) -> Path:
        """The executable, once it is to be started."""
        await self._asked.wait()
        if self._executable is None:
            raise RuntimeError("an executable that isn't there was to be started")
        return self._executable

    def close(self) -> None:
        """Takes no more orders."""
        self._opened, self.unavailable_reason = False, STOPPED_MESSAGE
