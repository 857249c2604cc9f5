"""What every page has: the front door, the event stream, the switcher's list."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Header
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent

from codewalk.web import page_stream, toasts
from codewalk.web.dependencies import AppDep, EventQueueDep, StreamsDep, ViewsDep
from codewalk.web.page_context import get_page_context
from codewalk.web.page_responses import SERVERS, home_of, parts

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)


@router.get("/")
async def open_front_door(app: AppDep) -> Response:
    """To what a person wants to see first: the active server, or where servers are added."""
    active = app.active()
    return RedirectResponse(home_of(active.id) if active else SERVERS, 303)


@router.get("/live", response_class=EventSourceResponse)
async def follow(
    app: AppDep,
    views: ViewsDep,
    queue: EventQueueDep,
    streams: StreamsDep,
    stamp: str | None = None,
    rows: bool = False,
    about: str = "",
    last_event_id: Annotated[str | None, Header()] = None,
) -> AsyncIterator[ServerSentEvent]:
    """What changes in a page. `stamp` holds for a first connection only."""
    page = page_stream.OpenPage(app, views, rows=rows, about=about)
    known = None if last_event_id else stamp
    async for message in page_stream.page_updates(page, queue, streams, stamp=known):
        yield message


@router.get("/live/news", response_class=EventSourceResponse)
async def follow_news(
    app: AppDep, queue: EventQueueDep, streams: StreamsDep
) -> AsyncIterator[ServerSentEvent]:
    """What is news, for notices of the desktop."""
    async for message in toasts.desktop_notifications(app, queue, streams):
        yield message


@router.get("/picks")
async def show_picks(app: AppDep, views: ViewsDep, stamp: str = "") -> Response:
    """The switcher's list, for one that is open. `stamp` tells what it shows."""
    return parts(views.switcher_list_fragments(get_page_context(app), known=stamp))
