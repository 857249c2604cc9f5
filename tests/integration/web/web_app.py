"""A CodeWalk web app on a socket of its own, and a client for it."""

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
from fastapi import FastAPI

from codewalk.app.app import App
from codewalk.app.composition import Parts, open_parts
from codewalk.secret import Secret
from codewalk.settings import Settings
from codewalk.web.server import make_web, serve

TOKEN: Final = "t0ken-for-tests"
API: Final = "/api/v1"


@dataclass(frozen=True, kw_only=True)
class RunningApp:
    """`client` bears the token; `stop` ends the server, and `stopped` tells that it has."""

    parts: Parts
    web: FastAPI
    url: str
    client: aiohttp.ClientSession
    stop: asyncio.Event
    stopped: asyncio.Event

    @property
    def app(self) -> App:
        return self.parts.app

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    @property
    def login_address(self) -> str:
        """The one that lets a browser in."""
        return f"{self.url}/?token={TOKEN}"

    async def call(self, method: str, path: str, **options: Any) -> tuple[int, Any]:
        """The status and JSON of a call to the API."""
        async with self.client.request(method, f"{self.url}{API}{path}", **options) as answer:
            return answer.status, await answer.json(content_type=None)


def settings_in(folder: Path, *, opencode: str | None = None) -> Settings:
    return Settings(
        data_dir=folder / "data",
        secret_key=Secret("key of the test"),
        legacy_preferences=folder / "no-preferences.json",
        opencode=opencode,
    )


@asynccontextmanager
async def running(
    folder: Path,
    *,
    watch: bool = False,
    hosts: Sequence[str] = (),
    allowed_hosts: Sequence[str] = (),
    port: int = 0,
    opencode: str | None = None,
) -> AsyncIterator[RunningApp]:
    """CodeWalk on this loopback port or a free one, stopped when the block ends."""
    stop, stopped, ready = asyncio.Event(), asyncio.Event(), asyncio.Event()
    with socket.create_server(("127.0.0.1", port)) as sock:
        url = f"http://127.0.0.1:{sock.getsockname()[1]}"
        async with open_parts(settings_in(folder, opencode=opencode), watch=watch) as parts:
            web = make_web(parts.app, Secret(TOKEN), hosts=hosts, allowed_hosts=allowed_hosts)

            async def run() -> None:
                await serve(web, sock, ready=ready.set, stop=stop)
                stopped.set()

            headers = {"Authorization": f"Bearer {TOKEN}"}
            async with (
                asyncio.TaskGroup() as group,
                aiohttp.ClientSession(headers=headers) as client,
            ):
                group.create_task(run(), name="web app")
                try:
                    await ready.wait()
                    yield RunningApp(
                        parts=parts, web=web, url=url, client=client, stop=stop, stopped=stopped
                    )
                finally:
                    stop.set()
