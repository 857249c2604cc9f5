"""FastAPI dependencies: what the routes are given."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import Annotated

from fastapi import Depends, Header, Path, Request

from codewalk.app.app import App
from codewalk.errors import ServerNotFound
from codewalk.events import Event
from codewalk.server import Server
from codewalk.web.event_streams import EventStreams
from codewalk.web.page_stream import OpenPage
from codewalk.web.page_subscriptions import PageSubscription, PageSubscriptions, subscribe
from codewalk.web.theme import theme_of
from codewalk.web.views import Views


def _app(request: Request) -> App:
    app: App = request.app.state.core
    return app


def _streams(request: Request) -> EventStreams:
    streams: EventStreams = request.app.state.streams
    return streams


def _views(request: Request) -> Views:
    views: Views = request.app.state.views
    return views.with_theme(theme_of(request))


async def _event_queue(app: Annotated[App, Depends(_app)]) -> AsyncIterator[asyncio.Queue[Event]]:
    with app.announcer.listen() as queue:
        yield queue


async def _page_subscription(
    request: Request,
    app: Annotated[App, Depends(_app)],
    views: Annotated[Views, Depends(_views)],
    home: bool = False,
    rows: bool = False,
    about: str = "",
    last_event_id: Annotated[str | None, Header()] = None,
) -> AsyncIterator[PageSubscription]:
    subscriptions: PageSubscriptions = request.app.state.subscriptions
    page = OpenPage(app, views, rows=rows, about=about)
    new = partial(subscribe, app, page, is_home=home)
    with subscriptions.attach(new, last_event_id=last_event_id) as subscription:
        yield subscription


ServerId = Annotated[str, Path(alias="id")]
AppDep = Annotated[App, Depends(_app)]
StreamsDep = Annotated[EventStreams, Depends(_streams)]
ViewsDep = Annotated[Views, Depends(_views)]
PageSubscriptionDep = Annotated[PageSubscription, Depends(_page_subscription)]
"""The subscription of the page that asks; a home also counts as looked at while it lasts."""
EventQueueDep = Annotated[asyncio.Queue[Event], Depends(_event_queue)]
"""The events announced from now until the response has ended."""


def server_by_id(app: App, server_id: str) -> Server:
    """Return the server with this id; labels and prefixes of ids are for commands only.

    Raises:
        ServerNotFound: No server has this id.
    """
    server = app.get(server_id)
    if server is None:
        raise ServerNotFound(f"No server has the id {server_id!r}.", value=server_id)
    return server
