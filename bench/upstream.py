"""A real OpenCode server and the web app that it serves at `/`."""

import json
import os
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from bench.process import ROOT, free_port, line_of, started


@asynccontextmanager
async def opencode(folder: Path) -> AsyncIterator[str]:
    """The URL of its page. Its home below `folder` is new, and it fetches nothing."""
    async with serving(folder, port=free_port()) as process:
        yield await line_of(process, "opencode server listening on", within=60) + "/"


@asynccontextmanager
async def serving(folder: Path, *, port: int) -> AsyncIterator[Process]:
    """Its process, with a home below `folder` that it may have used before.

    Port 0 would be 4096, were that free: the port that users' servers have.
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
