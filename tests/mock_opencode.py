"""A mock OpenCode server in the test's process, on loopback, scripted path by path.

    async with MockOpenCode(password="secret") as server:
        server.script("/path", reset(), json_reply({"directory": "/p"}))
        gate = server.hold("/session")
        …
        await gate.arrived.wait()
        gate.release()
        assert server.count("/session") == 1

Unscripted paths answer as the chosen release does (measured on real servers). Every request is
recorded in `requests`, refused ones too, so that a test can tell where a credential went.
"""

import asyncio
import base64
import socket
import ssl
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import Self

from aiohttp import web

from tests.mock_behaviours import Behaviour, json_reply, page, reply
from tests.mock_world import World


class Release(StrEnum):
    """OpenCode releases that answer health checks differently."""

    CURRENT = "1.18.33"
    OLD = "1.0.0"
    """Health is 404, only `/path` is there; events are at `/event`."""
    NEXT = "2.0.0"
    """The web app for any path, health at `/api/health`."""
    LATER = "2.3.0"
    """The same with `/api/info` in place of `/api/health`."""


@dataclass(frozen=True, kw_only=True)
class ReceivedRequest:
    """A request as it arrived; `path` is below the server's prefix, or whole if outside it."""

    method: str
    path: str
    raw_path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes


class Gate:
    """Holds the requests to one path: the first sets `arrived`, `release` lets all continue."""

    def __init__(self) -> None:
        self.arrived = asyncio.Event()
        self.abandoned = asyncio.Event()
        self._open = asyncio.Event()

    def release(self) -> None:
        self._open.set()

    async def pass_through(self) -> None:
        self.arrived.set()
        try:
            await self._open.wait()
        except asyncio.CancelledError:
            # The client went away.
            self.abandoned.set()
            raise


class MockOpenCode:
    """One server at `url`; `stop` and `start` take it down and up on the same port."""

    def __init__(
        self,
        *,
        release: Release = Release.CURRENT,
        username: str = "opencode",
        password: str | None = None,
        prefix: str = "",
        host: str = "127.0.0.1",
        port: int = 0,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self.release = release
        self.username = username
        self.password = password
        self.prefix = prefix
        self.host = host
        self.port = port
        self.world = World(version=release.value)
        self.requests: list[ReceivedRequest] = []
        self._ssl_context = ssl_context
        self._scripts: dict[str, list[Behaviour]] = {}
        self._gates: dict[str, Gate] = {}
        self._changed = asyncio.Condition()
        self._runner: web.AppRunner | None = None
        self._sock: socket.socket | None = None

    @property
    def url(self) -> str:
        scheme = "https" if self._ssl_context else "http"
        return f"{scheme}://{self.host}:{self.port}{self.prefix}"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen; after a `stop` on the same port."""
        app = web.Application(client_max_size=64 * 2**20)
        app.router.add_route("*", "/{path:.*}", self._handle)
        # A handler is cancelled when its client leaves, and none outlives `stop`.
        runner = web.AppRunner(
            app, handler_cancellation=True, shutdown_timeout=0.01, access_log=None
        )
        await runner.setup()
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        sock = socket.create_server((self.host, self.port), family=family, backlog=128)
        await web.SockSite(runner, sock, ssl_context=self._ssl_context).start()
        self._runner, self._sock = runner, sock
        self.port = sock.getsockname()[1]

    async def stop(self) -> None:
        """End all connections, and refuse new ones."""
        runner, sock, self._runner, self._sock = self._runner, self._sock, None, None
        if runner and sock:
            self.world.end_streams()
            # A connection accepted at the last moment is made some turns of the loop later. asyncio
            # leaves one open whose server was closed meanwhile.
            asyncio.get_running_loop().remove_reader(sock)
            for _ in range(10):
                await asyncio.sleep(0)
            await runner.cleanup()

    def script(self, path: str, *behaviours: Behaviour) -> None:
        """Set what requests to `path` (below the prefix) get, in turn; the last one stays.

        `"*"` is for every path without a script of its own. Without behaviours the script goes.
        """
        if behaviours:
            self._scripts[path] = list(behaviours)
        else:
            self._scripts.pop(path, None)

    def hold(self, path: str) -> Gate:
        """Close a gate before `path`; requests are recorded and checked before they wait."""
        gate = self._gates[path] = Gate()
        return gate

    def count(self, path: str) -> int:
        """Return how many requests to `path` came so far."""
        return Counter(request.path for request in self.requests)[path]

    async def wait_for_requests(self, path: str, times: int = 1) -> None:
        """Wait until so many requests to `path` came."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.count(path) >= times)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        path = await self._record(request)
        if not self._authorized(request):
            challenge = {"WWW-Authenticate": 'Basic realm="Secure Area"'}
            return web.Response(status=401, headers=challenge)
        # A delayed response is decided when the request comes in, as a slow server's is.
        behaviour = self._behaviour(request, path)
        gate = self._gates.get(path)
        if gate:
            await gate.pass_through()
        return await behaviour(request)

    async def _record(self, request: web.Request) -> str:
        outside = self.prefix and not request.path.startswith(self.prefix + "/")
        path = request.path if outside else request.path.removeprefix(self.prefix)
        received = ReceivedRequest(
            method=request.method,
            path=path,
            raw_path=request.raw_path,
            query=request.query,
            headers=request.headers,
            body=await request.read(),
        )
        async with self._changed:
            self.requests.append(received)
            self._changed.notify_all()
        return path

    def _authorized(self, request: web.Request) -> bool:
        if self.password is None:
            return True
        pair = base64.b64encode(f"{self.username}:{self.password}".encode()).decode("ascii")
        return request.headers.get("Authorization") == f"Basic {pair}"

    def _behaviour(self, request: web.Request, path: str) -> Behaviour:
        script = self._scripts.get(path) or self._scripts.get("*")
        if script:
            return script.pop(0) if len(script) > 1 else script[0]
        if self.prefix and not request.path.startswith(self.prefix + "/"):
            return reply(b"404 page not found\n", status=404, content_type="text/plain")
        return self._unscripted(request.method, path)

    def _unscripted(self, method: str, path: str) -> Behaviour:
        if self.release is Release.NEXT:
            healthy = {"healthy": True, "version": self.world.version, "pid": 7}
            return json_reply(healthy) if path == "/api/health" else page()
        if self.release is Release.LATER:
            info = {"version": self.world.version, "pid": 7, "urls": [self.url], "paths": {}}
            return json_reply(info) if path == "/api/info" else page()
        newer = ("/global/health", "/global/event", "/experimental/session")
        if path in newer and self.release is Release.OLD:
            return reply(b"404 Not Found", status=404, content_type="text/plain")
        handler = self.world.handler(method, path)
        if handler:
            return handler
        if self.release is Release.OLD:
            return reply(b"404 Not Found", status=404, content_type="text/plain")
        return page()
