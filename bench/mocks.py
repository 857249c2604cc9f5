"""Mock OpenCode servers with sessions, in a process of their own."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bench.process import line_of, started


@asynccontextmanager
async def mock_servers(*sessions: int, core: int) -> AsyncIterator[list[str]]:
    """The URL of one server for each number, which is how many sessions it has."""
    command = [sys.executable, "-m", "bench.contenders.mock_servers", *map(str, sessions)]
    async with started(*command, core=core) as process:
        yield (await line_of(process, "urls", within=20)).split()
