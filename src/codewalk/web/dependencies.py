"""What the routes are given to work with."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, Path, Request

from codewalk.app.app import App
from codewalk.errors import ServerNotFound
from codewalk.events import Event
from codewalk.server import Server
from codewalk.web import event_streams, views
from codewalk.web.theme import theme_of


def _core(request: Request) -> App:
    app: App = request.app.state.core
    return app


def _streams(request: Request) -> event_streams.Streams:
    found: event_streams.Streams = request.app.state.streams
    return found


def _views(request: Request) -> views.Views:
    found: views.Views = request.app.state.views
    return found.themed(theme_of(request))


async def _listening(app: Annotated[App, Depends(_core)]) -> AsyncIterator[asyncio.Queue[Event]]:
    with app.announcer.listen() as queue:
        yield queue


ServerId = Annotated[str, Path(alias="id")]
AppDep = Annotated[App, Depends(_core)]
StreamsDep = Annotated[event_streams.Streams, Depends(_streams)]
ViewsDep = Annotated[views.Views, Depends(_views)]
EventQueueDep = Annotated[asyncio.Queue[Event], Depends(_listening)]
"""What is announced from now until the response has ended."""


def server_by_id(app: App, server_id: str) -> Server:
    """The server with this id. An address takes no label and no prefix, as a command does.

    Raises `ServerNotFound`.
    """
    found = app.get(server_id)
    if found is None:
        raise ServerNotFound(f"No server has the id {server_id!r}.", value=server_id)
    return found
