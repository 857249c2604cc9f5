"""A CodeWalk on one host, and servers on another, joined by a wire."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

from tests.namespaces import ROOT, Host, Hosts

PORT: Final = 4096
TIMEOUT: Final = 30.0
"""Seconds for each step, on a machine that others use too."""


class HealthReports:
    """The changes of health that the CodeWalk on the near host reports."""

    def __init__(self, stream: asyncio.StreamReader) -> None:
        self._stream = stream
        self.lines: list[dict[str, Any]] = []
        self.checks = 0

    def of(self, name: str) -> list[tuple[str, str]]:
        """Return the states and reasons of this server in order."""
        return [(line["state"], line["reason"]) for line in self.lines if line["name"] == name]

    async def until(self, name: str, state: str, reason: str) -> float:
        """Return when this server next has this health, on the monotonic clock."""
        async with asyncio.timeout(TIMEOUT):
            while line := await self._next():
                if (line["name"], line["state"], line["reason"]) == (name, state, reason):
                    return float(line["at"])
        raise AssertionError("the CodeWalk on the near host ended")

    async def read_rest(self) -> None:
        """Read all reports up to the end."""
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
async def run_on_two_hosts(
    hosts: Hosts, data: Path, *, servers: int = 1, interval: float = 2.0
) -> AsyncIterator[HealthReports]:
    """Run a CodeWalk on the near host while the block runs; the servers on the far one are healthy.

    They are called `far 0` and so on, the one on the loopback of the near host is called `own`.
    """
    ports = [str(PORT + number) for number in range(servers)]
    urls = [f"http://{hosts.far.address}:{port}" for port in ports]
    async with _running(hosts.far, "far_host", hosts.far.address, *ports) as far:
        assert await far.readline() == b"ready\n"
        async with _running(hosts.near, "near_host", str(data), str(interval), *urls) as near:
            reports = HealthReports(near)
            pending = {f"far {number}" for number in range(servers)}
            while pending:
                name = min(pending)
                if ("healthy", "ok") not in reports.of(name):
                    await reports.until(name, "healthy", "ok")
                pending.discard(name)
            yield reports
        await reports.read_rest()


@asynccontextmanager
async def _running(host: Host, module: str, *arguments: str) -> AsyncIterator[asyncio.StreamReader]:
    """Run a module of the tests on `host` while the block runs, and return its output."""
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
            await asyncio.wait_for(process.wait(), TIMEOUT)
        finally:
            with suppress(ProcessLookupError):
                process.kill()
