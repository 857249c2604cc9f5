"""`codewalk up` as a user starts it, on a home of its own."""

import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import aiohttp

import codewalk
from bench.process import line_of, started
from codewalk.settings import Settings

COMMAND: Final = Path(sys.executable).with_name("codewalk")

_UP: Final = ("up", "--no-browser", "--no-local", "--port", "0")


def environment(folder: Path) -> dict[str, str]:
    """A home of its own. Bytecode is kept, as for every user: the first run writes it."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("CODEWALK_", "XDG_"))}
    kept.pop("PYTHONDONTWRITEBYTECODE", None)
    (folder / "home").mkdir(parents=True)
    return {
        **kept,
        "HOME": str(folder / "home"),
        "CODEWALK_DATA_DIR": str(folder / "data"),
        "CODEWALK_SECRET_KEY": "a key for the benchmark",
    }


async def keep(
    env: Mapping[str, str], urls: Sequence[str], names: Sequence[str], *, cached: int = 0
) -> list[str]:
    """Keeps servers of these names, and the sessions of the first `cached` of them; their ids."""
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
async def up(env: Mapping[str, str]) -> AsyncIterator[str]:
    """The app while the block runs; gives the address that lets a browser in, once it serves."""
    async with started(COMMAND, *_UP, env=env) as process:
        yield await line_of(process, "CodeWalk is ready at", within=30)


def url_of(address: str) -> str:
    """The app's URL, without the token that the address has."""
    return address.partition("/?")[0]


async def activate(address: str, server_id: str) -> None:
    """Switches to a server, as a program does."""
    url, _, token = address.partition("/?token=")
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        aiohttp.ClientSession(headers=headers, raise_for_status=True) as session,
        session.put(f"{url}/api/v1/active", json={"id": server_id, "force": True}),
    ):
        pass
