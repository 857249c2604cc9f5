"""A CodeWalk on one host, and servers on another, joined by a wire."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

from tests.namespaces import ROOT, Host, Hosts

PORT: Final = 4096
WITHIN: Final = 30.0
"""Seconds for anything here, on a machine that others use too."""


class Told:
    """What the CodeWalk on the near host tells of the servers it watches."""

    def __init__(self, stream: asyncio.StreamReader) -> None:
        self._stream = stream
        self.lines: list[dict[str, Any]] = []
        self.checks = 0

    def of(self, name: str) -> list[tuple[str, str]]:
        """The states and reasons of this server, one after the other."""
        return [(line["state"], line["reason"]) for line in self.lines if line["name"] == name]

    async def until(self, name: str, state: str, reason: str) -> float:
        """When this server had this health, on the monotonic clock; the first time from now on."""
        async with asyncio.timeout(WITHIN):
            while line := await self._next():
                if (line["name"], line["state"], line["reason"]) == (name, state, reason):
                    return float(line["at"])
        raise AssertionError("the CodeWalk on the near host ended")

    async def rest(self) -> None:
        """Takes in all that is told up to the end."""
        while await self._next():
            pass

    async def _next(self) -> dict[str, Any] | None:
        line: dict[str, Any] = json.loads(await self._stream.readline() or "{}")
        if "checks" in line:
            self.checks = line["checks"]
            return None
        if line:
            self.lines.append(line)
        return line or None


@asynccontextmanager
async def watching(
    hosts: Hosts, data: Path, *, servers: int = 1, interval: float = 2.0
) -> AsyncIterator[Told]:
    """A CodeWalk on the near host, to which the servers on the far one are healthy.

    They are called `far 0` and so on, the one on its own loopback `own`. With the block it ends.
    """
    ports = [str(PORT + number) for number in range(servers)]
    urls = [f"http://{hosts.far.address}:{port}" for port in ports]
    async with _running(hosts.far, "far", hosts.far.address, *ports) as far:
        assert await far.readline() == b"ready\n"
        async with _running(hosts.near, "near", str(data), str(interval), *urls) as near:
            told = Told(near)
            waiting = {f"far {number}" for number in range(servers)}
            while waiting:
                name = min(waiting)
                if ("healthy", "ok") not in told.of(name):
                    await told.until(name, "healthy", "ok")
                waiting.discard(name)
            yield told
        await told.rest()


@asynccontextmanager
async def _running(host: Host, module: str, *arguments: str) -> AsyncIterator[asyncio.StreamReader]:
    """The output of a module of the tests that runs on `host`, and is ended with the block."""
    pipe = asyncio.subprocess.PIPE
    command = host.command("-m", f"tests.integration.health.{module}", *arguments)
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, cwd=ROOT)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield process.stdout
    finally:
        process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), WITHIN)
        finally:
            with suppress(ProcessLookupError):
                process.kill()
