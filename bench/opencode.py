"""Runs a real OpenCode server, which serves its own web app at `/`."""

import json
import os
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from bench.process import ROOT, free_port, read_line, started


@asynccontextmanager
async def run_opencode(folder: Path) -> AsyncIterator[str]:
    """Run a server with a new home folder for a block, and return the URL of its page."""
    async with run_server(folder, port=free_port()) as process:
        yield await read_line(process, "opencode server listening on", timeout=60) + "/"


@asynccontextmanager
async def run_server(folder: Path, *, port: int) -> AsyncIterator[Process]:
    """Run a server for a block, with a home below `folder` that may have been used before.

    Port 0 isn't possible: it gives 4096 if that is free, the port of users' own servers.
    """
    home = folder / "opencode"
    config = home / ".config" / "opencode"
    config.mkdir(parents=True, exist_ok=True)
    settings = {"autoupdate": False, "share": "disabled"}
    (config / "opencode.json").write_text(json.dumps(settings))
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "OPENCODE_DISABLE_DEFAULT_PLUGINS": "1",
        "OPENCODE_DISABLE_AUTOUPDATE": "1",
    }
    address = ["--hostname", "127.0.0.1", "--port", str(port)]
    program = ROOT / "node_modules/.bin/opencode"
    async with started(program, "serve", *address, cwd=home, env=env, stderr=DEVNULL) as process:
        yield process
