"""Whether an OpenCode server on this machine can be started, and the order to start it."""

import asyncio
from pathlib import Path
from typing import Final

from codewalk.errors import OpenCodeMissing
from codewalk.settings import Settings

STOPPED: Final = "The local OpenCode server runs while `codewalk up` does."


class LocalControl:
    """The switch of the managed local server, which `app.managed_server` runs and tells of.

    Only where that has opened it, as in `codewalk up`, can the server be started, and once: from
    then on it is kept running until the app ends.

    `why_not` says why it can't be started and what would help, in one or two sentences; it is None
    where it can be or has been. `running` tells whether it answers.
    """

    def __init__(self, settings: Settings) -> None:
        self.why_not: str | None = STOPPED
        self.running = False
        self._settings = settings
        self._opened = False
        self._executable: Path | None = None
        self._asked = asyncio.Event()

    @property
    def available(self) -> bool:
        """Whether `start` would start it, or has."""
        return self.why_not is None

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
        if self.why_not:
            raise OpenCodeMissing(self.why_not)
        self._asked.set()

    async def open(self) -> None:
        """Looks for the executable, and takes the order from now on."""
        # Imported here: no command needs what it brings along.
        from codewalk.local.server import find_executable, why_missing

        self._executable = await asyncio.to_thread(find_executable, self._settings)
        self._opened = True
        self.why_not = None if self._executable else why_missing(self._settings)

    async def asked(self) -> Path:
        """The executable, once it is to be started."""
        await self._asked.wait()
        if self._executable is None:
            raise RuntimeError("an executable that isn't there was to be started")
        return self._executable

    def close(self) -> None:
        """Takes no more orders."""
        self._opened, self.why_not = False, STOPPED
