"""Helpers for tests of the managed local server."""

import asyncio
import os
import sys

import psutil

from codewalk.local.server import LocalStatus, Phase


class StatusRecorder:
    """A callback for `LocalServer` that records each status and lets a test wait for one."""

    def __init__(self) -> None:
        self.statuses: list[LocalStatus] = []
        self._changed = asyncio.Condition()

    async def __call__(self, status: LocalStatus) -> None:
        async with self._changed:
            self.statuses.append(status)
            self._changed.notify_all()

    async def until(self, phase: Phase, times: int = 1) -> LocalStatus:
        """Return the `times`-th status with `phase`. Raises `TimeoutError`."""

        def matching() -> list[LocalStatus]:
            return [status for status in self.statuses if status.phase is phase]

        async with asyncio.timeout(60), self._changed:
            await self._changed.wait_for(lambda: len(matching()) >= times)
        return matching()[times - 1]


async def wait_until_ended(pid: int) -> None:
    """Wait until a process has ended, reaped or not. Raises `TimeoutError`."""
    if sys.platform != "linux":
        await asyncio.to_thread(_wait, pid)
        return
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    ended, loop = asyncio.Event(), asyncio.get_running_loop()
    loop.add_reader(descriptor, ended.set)
    try:
        async with asyncio.timeout(10):
            await ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


def _wait(pid: int) -> None:
    try:
        psutil.Process(pid).wait(timeout=10)
    except psutil.NoSuchProcess:
        pass
    except psutil.TimeoutExpired as exc:
        raise TimeoutError(f"process {pid} is still there") from exc
