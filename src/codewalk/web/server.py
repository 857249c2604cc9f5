"""The local web app as one ASGI application, and its server."""

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
    assets,
    home,
    manager,
    metrics,
    openapi,
    pages,
    server_page,
)
from codewalk.web.access import Access
from codewalk.web.assets import MIN_GZIP_BYTES
from codewalk.web.event_streams import EventStreams
from codewalk.web.page_context import Alert
from codewalk.web.page_responses import fragments_response, is_htmx
from codewalk.web.page_subscriptions import PageSubscriptions
from codewalk.web.problems import Problem, problem_of, problem_response
from codewalk.web.security import SecurityMiddleware, is_api
from codewalk.web.theme import theme_of
from codewalk.web.views import Views

SHUTDOWN_GRACE: Final = 1
"""Seconds that pending requests have to finish when the app stops."""

KEEP_ALIVE_TIMEOUT: Final = 30
"""Seconds that an idle connection stays open."""


def make_web(
    app: App, token: Secret, *, hosts: Sequence[str], allowed_hosts: Sequence[str] = ()
) -> FastAPI:
    """Make the web app with its API.

    Args:
        app: The core.
        token: Lets its bearer in.
        hosts: Names and addresses that it listens on, with or without a port.
        allowed_hosts: Further names, with or without a port, under which browsers may reach the
            app, besides those of loopback.
    """
    web = FastAPI(
        title="CodeWalk",
        version=codewalk.__version__,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        exception_handlers={
            CodeWalkError: _handle_error,
            HTTPException: _handle_error,
            RequestValidationError: _handle_error,
        },
    )
    web.state.core = app
    web.state.streams = EventStreams()
    web.state.subscriptions = PageSubscriptions()
    web.state.views = views = Views(recent_marks=app.recent_marks)
    web.include_router(api.router)
    for module in (pages, manager, server_page, home, assets, metrics):
        web.include_router(module.router)
    # Made for the first request: most starts never need it.
    web.state.openapi = cache(lambda: openapi.make_document(web))
    web.state.access = access = Access(token, hosts, allowed_hosts=allowed_hosts)
    # The last middleware is the outermost, so that compressed responses have the security headers
    # too. Event streams aren't compressed: their events must not wait for more of them.
    web.add_middleware(GZipMiddleware, minimum_size=MIN_GZIP_BYTES, compresslevel=4)
    web.add_middleware(
        SecurityMiddleware,
        access=access,
        respond=lambda scope, problem: _problem_response(views, scope, problem),
    )
    return web


async def serve(
    web: FastAPI, sock: socket.socket, *, ready: Callable[[], None], stop: asyncio.Event
) -> None:
    """Serve `web` on a listening socket until `stop` is set, then end within about a second.

    Event streams end at once; other requests have `SHUTDOWN_GRACE` seconds. The caller handles
    signals. Requests aren't logged: an address may have the token.
    """
    # asyncio sets it only for sockets with the protocol TCP, and `socket.create_server` sets none.
    # Without it a body sent after its head waits for the head's acknowledgement: 40 ms a page.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    config = uvicorn.Config(
        web,
        access_log=False,
        log_config=None,
        lifespan="off",
        ws="none",
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_TIMEOUT,
        timeout_graceful_shutdown=SHUTDOWN_GRACE,
    )
    server = _Server(config, ready=ready, stop=stop, streams=web.state.streams)
    try:
        await server.serve([sock])
    except asyncio.CancelledError:
        # The app that pending requests use is about to be closed. The socket is the caller's: with
        # a listener left on it, its number may soon be that of another file.
        for listener in server.servers if server.started else ():
            listener.close()
        for task in server.server_state.tasks:
            task.cancel()
        raise


class _Server(uvicorn.Server):
    """uvicorn that stops at an event, and calls `ready` when it serves."""

    def __init__(
        self,
        config: uvicorn.Config,
        *,
        ready: Callable[[], None],
        stop: asyncio.Event,
        streams: EventStreams,
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
        # uvicorn's own loop polls ten times a second. A tick with the number 0 also updates the
        # `Date` header, which has seconds.
        while not await self.on_tick(0):
            with suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await self._stop.wait()

    async def on_tick(self, counter: int) -> bool:
        if self._stop.is_set():
            self._streams.close()
            return True
        return await super().on_tick(counter)


async def _handle_error(request: Request, exc: Exception) -> Response:
    headers = exc.headers if isinstance(exc, HTTPException) else None
    views: Views = request.app.state.views
    response = _problem_response(views, request.scope, problem_of(exc))
    response.headers.update(headers or {})
    return response


def _problem_response(views: Views, scope: Scope, problem: Problem) -> Response:
    """Return a problem as JSON for programs, as a message for htmx, or as a page."""
    connection = HTTPConnection(scope)
    if is_api(scope["path"]):
        return problem_response(problem)
    if is_htmx(connection):
        html = views.alert_fragment(Alert(text=problem.detail))
        return fragments_response(html, status=problem.status)
    return views.with_theme(theme_of(connection)).error_page(problem)
