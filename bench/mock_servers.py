"""Starts mock OpenCode servers with sessions in a process of their own."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bench.process import read_line, started


@asynccontextmanager
async def mock_servers(*sessions: int, core: int) -> AsyncIterator[list[str]]:
    """Start a server for each number of sessions, and return their URLs."""
    command = [sys.executable, "-m", "bench.contenders.mock_servers", *map(str, sessions)]
    async with started(*command, core=core) as process:
        yield (await read_line(process, "urls", timeout=20)).split()
