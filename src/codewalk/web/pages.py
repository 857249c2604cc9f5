"""What every page has: the front door, the event stream, the switcher's list."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Header
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent

from codewalk.web import page_stream, toasts
from codewalk.web.deps import Core, Events, Streams, Views
from codewalk.web.page_responses import SERVERS, home_of, parts
from codewalk.web.page_values import take_frame

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)


@router.get("/")
async def open_front_door(app: Core) -> Response:
    """To what a person wants to see first: the active server, or where servers are added."""
    active = app.active()
    return RedirectResponse(home_of(active.id) if active else SERVERS, 303)


@router.get("/live", response_class=EventSourceResponse)
async def follow(
    app: Core,
    views: Views,
    queue: Events,
    streams: Streams,
    stamp: str | None = None,
    rows: bool = False,
    about: str = "",
    last_event_id: Annotated[str | None, Header()] = None,
) -> AsyncIterator[ServerSentEvent]:
    """What changes in a page. `stamp` holds for a first connection only."""
    page = page_stream.Page(app, views, rows=rows, about=about)
    known = None if last_event_id else stamp
    async for message in page_stream.page_updates(page, queue, streams, stamp=known):
        yield message


@router.get("/live/news", response_class=EventSourceResponse)
async def follow_news(app: Core, queue: Events, streams: Streams) -> AsyncIterator[ServerSentEvent]:
    """What is news, for notices of the desktop."""
    async for message in toasts.notices(app, queue, streams):
        yield message


@router.get("/picks")
async def show_picks(app: Core, views: Views, stamp: str = "") -> Response:
    """The switcher's list, for one that is open. `stamp` tells what it shows."""
    return parts(views.live_switcher(take_frame(app), known=stamp))
