"""Routes of every page: the front page, the event streams, the switcher's list, the theme."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Form, Header, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent
from starlette.routing import Match

from codewalk.web.dependencies import (
    AppDep,
    EventQueueDep,
    PageSubscriptionDep,
    StreamsDep,
    ViewsDep,
)
from codewalk.web.page_context import get_page_context
from codewalk.web.page_responses import (
    SERVERS,
    fragments_response,
    home_address,
    is_htmx,
    parse_page_address,
)
from codewalk.web.page_subscriptions import page_updates
from codewalk.web.theme import Theme, set_theme_cookie
from codewalk.web.toasts import background_messages

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)


@router.get("/")
async def redirect_from_front_page(app: AppDep) -> Response:
    """Lead to the active server's home, or to where servers are added."""
    active = app.active()
    return RedirectResponse(home_address(active.id) if active else SERVERS, 303)


@router.get("/live", response_class=EventSourceResponse)
async def stream_page_updates(
    subscription: PageSubscriptionDep,
    streams: StreamsDep,
    stamp: str | None = None,
    hold: bool = True,
    last_event_id: Annotated[str | None, Header()] = None,
) -> AsyncIterator[ServerSentEvent]:
    """Stream the updates of an open page; `stamp` counts for its first connection only.

    With `hold=false` the response ends when the page is up to date. A request with the id of the
    last message continues there.
    """
    stamp = None if last_event_id else stamp
    async for message in page_updates(subscription, streams, stamp=stamp, hold=hold):
        yield message


@router.get("/live/notices", response_class=EventSourceResponse)
async def stream_notices(
    app: AppDep, queue: EventQueueDep, streams: StreamsDep
) -> AsyncIterator[ServerSentEvent]:
    """Stream what one tab of a browser reads for all, hidden ones included."""
    async for message in background_messages(app, queue, streams):
        yield message


@router.get("/switcher")
async def show_switcher_list(app: AppDep, views: ViewsDep, stamp: str = "") -> Response:
    """Show the list of an open switcher; `stamp` is that of the list it has."""
    return fragments_response(views.switcher_list_fragments(get_page_context(app), stamp=stamp))


@router.post("/appearance")
async def choose_theme(
    request: Request, views: ViewsDep, theme: Annotated[Theme, Form()]
) -> Response:
    """Store the theme in a cookie."""
    response: Response
    if is_htmx(request):
        response = fragments_response(views.theme_fragment(theme))
    else:
        response = RedirectResponse(_previous_page(request), 303)
    set_theme_cookie(response, theme)
    return response


def _previous_page(request: Request) -> str:
    """Return the page with the form, if it is one of this app's that can be requested again."""
    page = parse_page_address(request.headers.get("referer", ""))
    scope = {"type": "http", "method": "GET", "path": page.path, "root_path": ""}
    is_own = page.netloc == request.headers.get("host")
    if not is_own or not any(r.matches(scope)[0] is Match.FULL for r in request.app.routes):
        return "/"
    return page.path + (f"?{page.query}" if page.query else "")
