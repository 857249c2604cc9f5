"""`codewalk up`: one for each data folder, ready when it says so, gone when it is told."""

import asyncio
import json
import os
import re
import signal
import socket
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Any

import aiohttp
import psutil
import pytest

from tests.fake_opencode import write_fake
from tests.integration.cli.command import CodeWalk, read_until
from tests.mock_opencode import MockOpenCode

ALONE = ("up", "--port", "0", "--no-browser", "--no-local")
STOPS_WITHIN = 3.0
TOKEN = "a-token-of-my-own"


@asynccontextmanager
async def running(
    codewalk: CodeWalk, *arguments: str
) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """A started app and the URL of its ready line."""
    async with codewalk.started(*arguments) as process:
        line = await read_until(process.stdout, "\n")
        match = re.fullmatch(r"CodeWalk is ready at (http://\S+/\?token=\S+)\n", line)
        assert match
        yield process, match[1]


async def stopped(process: asyncio.subprocess.Process, number: signal.Signals) -> tuple[str, float]:
    """Sends a signal; what came on stderr, and the seconds it took."""
    began = monotonic()
    process.send_signal(number)
    _, err = await process.communicate()
    return err.decode(), monotonic() - began


async def test_it_serves_when_it_says_so_and_a_second_one_says_where(codewalk: CodeWalk) -> None:
    async with running(codewalk, *ALONE) as (process, url):
        jar = aiohttp.CookieJar(unsafe=True)  # a browser keeps a cookie of an address too
        async with (
            aiohttp.ClientSession(cookie_jar=jar) as one,
            aiohttp.ClientSession() as another,
            one.get(shown) as let_in,
            another.get(shown) as left_out,
        ):
            assert (let_in.status, left_out.status) == (200, 401)
        await stopped(process, signal.SIGTERM)
    assert process.returncode == 0
