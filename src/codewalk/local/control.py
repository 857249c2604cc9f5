"""The switch of the managed local server: whether it can be started, and the start request."""

import asyncio
from pathlib import Path
from typing import Final

from codewalk.errors import OpenCodeMissing
from codewalk.settings import Settings

STOPPED_MESSAGE: Final = "The local OpenCode server runs while `codewalk up` does."


class LocalServerControl:
    """The switch of the managed local server, which `app.managed_server` runs.

    The server can be started only while `app.managed_server` has opened the switch, as
    `codewalk up` does. Once started, it is kept running until the app ends.

    Attributes:
        unavailable_reason: Why the server can't be started and what would help, in one or two
            sentences; None where it can be started or has been.
        running: Whether the server answers.
    """

    def __init__(self, settings: Settings) -> None:
        self.unavailable_reason: str | None = STOPPED_MESSAGE
        self.running = False
        self._settings = settings
        self._is_open = False
        self._executable: Path | None = None
        self._start_requested = asyncio.Event()

    @property
    def available(self) -> bool:
        """Whether `start` can start the server, or has started it."""
        return self.unavailable_reason is None

    @property
    def starting(self) -> bool:
        """Whether the server was started and doesn't answer, not yet or not at the moment."""
        return self._is_open and self._start_requested.is_set() and not self.running

    async def start(self) -> None:
        """Start the server unless it is started already; don't wait until it is ready.

        Raises:
            OpenCodeMissing: There is no executable. One that was installed since the app started
                is found.
        """
        if self._is_open and not self.available:
            await self.open()
        if self.unavailable_reason:
            raise OpenCodeMissing(self.unavailable_reason)
        self._start_requested.set()

    async def open(self) -> None:
        """Find the executable, and accept requests to start the server from now on."""
        # Imported here: no command needs what it brings along.
        from codewalk.local.server import find_executable, missing_message

        self._executable = await asyncio.to_thread(find_executable, self._settings)
        self._is_open = True
        self.unavailable_reason = None if self._executable else missing_message(self._settings)

    async def wait_for_start(self) -> Path:
        """Wait until the server is to be started, and return the executable."""
        await self._start_requested.wait()
        if self._executable is None:
            raise RuntimeError("The local server is to be started without an executable")
        return self._executable

    def close(self) -> None:
        """Accept no more requests to start the server."""
        self._is_open, self.unavailable_reason = False, STOPPED_MESSAGE
