"""`codewalk up` as a user starts it, with a home folder of its own."""

import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import aiohttp

import codewalk
from bench.process import read_line, started
from codewalk.settings import Settings

COMMAND: Final = Path(sys.executable).with_name("codewalk")

_UP_ARGUMENTS: Final = ("up", "--no-browser", "--no-local", "--port", "0")


def make_environment(folder: Path) -> dict[str, str]:
    """Return the environment for a home folder of its own.

    Bytecode is written, as for every user: the first run does it.
    """
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("CODEWALK_", "XDG_"))}
    inherited.pop("PYTHONDONTWRITEBYTECODE", None)
    (folder / "home").mkdir(parents=True)
    return {
        **inherited,
        "HOME": str(folder / "home"),
        "CODEWALK_DATA_DIR": str(folder / "data"),
        "CODEWALK_SECRET_KEY": "a key for the benchmark",
    }


async def add_servers(
    env: Mapping[str, str], urls: Sequence[str], names: Sequence[str], *, cached: int = 0
) -> list[str]:
    """Add servers, cache the sessions of the first `cached` ones, and return their ids."""
    async with codewalk.open(Settings.from_environment(env)) as app:
        ids = [
            (await app.add_server(url, label=name, check=False)).id
            for url, name in zip(urls, names, strict=True)
        ]
        for server_id in ids[:cached]:
            await app.switch_to(server_id)
            await app.work.sessions()
    return ids


@asynccontextmanager
async def run_app(env: Mapping[str, str]) -> AsyncIterator[str]:
    """Run the app for a block, and return the URL with its token, once it serves."""
    async with started(COMMAND, *_UP_ARGUMENTS, env=env) as process:
        yield await read_line(process, "CodeWalk is ready at", timeout=30)


def base_url(address: str) -> str:
    """Return the app's URL without the token."""
    return address.partition("/?")[0]


async def activate(address: str, server_id: str) -> None:
    """Switch to a server through the HTTP API."""
    url, _, token = address.partition("/?token=")
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        aiohttp.ClientSession(headers=headers, raise_for_status=True) as session,
        session.put(f"{url}/api/v1/active", json={"id": server_id, "force": True}),
    ):
        pass
