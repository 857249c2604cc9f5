"""The local web app as one ASGI application, and how it is served."""

import asyncio
import socket
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from typing import Final

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import HTTPConnection
from starlette.types import Scope

import codewalk
from codewalk.app.app import App
from codewalk.errors import CodeWalkError
from codewalk.secret import Secret
from codewalk.web import (
    api,
    appearance,
    assets,
    home,
    manager,
    metrics,
    openapi,
    pages,
    server_page,
)
from codewalk.web.access import Access
from codewalk.web.event_streams import Streams
from codewalk.web.files import MIN_GZIP_BYTES
from codewalk.web.page_context import Alert
from codewalk.web.page_responses import is_htmx, parts
from codewalk.web.problems import Problem, problem_of, problem_response
from codewalk.web.security import SecurityMiddleware, is_api
from codewalk.web.theme import theme_of
from codewalk.web.views import Views

SHUTDOWN_GRACE: Final = 1
"""Seconds that a request under way has left when the app stops."""

KEEP_ALIVE: Final = 30
"""Seconds that an idle connection stays open."""


def make_web(app: App, token: Secret, *, hosts: Sequence[str]) -> FastAPI:
    """The web app and the API over `app`, open to whoever has `token`.

    `hosts` are the names or addresses, with or without a port, that a browser may call it by,
    beside those of loopback.
    """
    web = FastAPI(
        title="CodeWalk",
        version=codewalk.__version__,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        exception_handlers={
            CodeWalkError: _explain,
            HTTPException: _explain,
            RequestValidationError: _explain,
        },
    )
    web.state.core = app
    web.state.streams = Streams()
    web.state.views = views = Views(recent=app.recent_states)
    web.include_router(api.router)
    for room in (pages, manager, server_page, home, appearance, assets, metrics):
        web.include_router(room.router)
    # Made when it is first asked for: most starts never need it.
    web.state.openapi = cache(lambda: openapi.document(web))
    web.state.access = access = Access(token, hosts)
    # What is added last is outermost: the guard's headers are on packed answers too. Event streams
    # stay as they are: what happens is told as it happens.
    web.add_middleware(GZipMiddleware, minimum_size=MIN_GZIP_BYTES, compresslevel=4)
    web.add_middleware(
        SecurityMiddleware,
        access=access,
        answer=lambda scope, problem: _answer(views, scope, problem),
    )
    return web


async def serve(
    web: FastAPI, sock: socket.socket, *, ready: Callable[[], None], stop: asyncio.Event
) -> None:
    """Serves `web` on a listening socket until `stop` is set, then ends within about a second.

    Event streams end at once; other requests under way have `SHUTDOWN_GRACE` seconds. The caller
    handles signals. Nothing is logged of the requests: an address may carry the token.
    """
    # asyncio sets it for a socket that says it is TCP's, which `socket.create_server`'s doesn't. A
    # body that comes after its head would wait for the head's acknowledgement: 40 ms for each page.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    config = uvicorn.Config(
        web,
        access_log=False,
        log_config=None,
        lifespan="off",
        ws="none",
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=SHUTDOWN_GRACE,
    )
    server = _Server(config, ready=ready, stop=stop, streams=web.state.streams)
    try:
        await server.serve([sock])
    except asyncio.CancelledError:
        # What the requests under way work with is about to be closed. The socket is the caller's:
        # listened on any longer, its number may soon be another's.
        for listener in server.servers if server.started else ():
            listener.close()
        for task in server.server_state.tasks:
            task.cancel()
        raise


class _Server(uvicorn.Server):
    """uvicorn, told by an event when to stop, and telling when it serves."""

    def __init__(
        self,
        config: uvicorn.Config,
        *,
        ready: Callable[[], None],
        stop: asyncio.Event,
        streams: Streams,
    ) -> None:
        super().__init__(config)
        self._ready = ready
        self._stop = stop
        self._streams = streams

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()

    async def main_loop(self) -> None:
        # uvicorn's own looks ten times a second whether it is to stop. A tick numbered 0 also
        # brings the `Date` header up to date, which tells seconds.
        while not await self.on_tick(0):
            with suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await self._stop.wait()

    async def on_tick(self, counter: int) -> bool:
        if self._stop.is_set():
            self._streams.close()
            return True
        return await super().on_tick(counter)


async def _explain(request: Request, exc: Exception) -> Response:
    headers = exc.headers if isinstance(exc, HTTPException) else None
    views: Views = request.app.state.views
    response = _answer(views, request.scope, problem_of(exc))
    response.headers.update(headers or {})
    return response


def _answer(views: Views, scope: Scope, problem: Problem) -> Response:
    """A problem as a program reads it, as a notice in the page that asks, or as a page."""
    connection = HTTPConnection(scope)
    if is_api(scope["path"]):
        return problem_response(problem)
    if is_htmx(connection):
        notice = views.alert_fragment(Alert(text=problem.detail))
        return parts(notice, status=problem.status)
    return views.themed(theme_of(connection)).error_page(problem)
