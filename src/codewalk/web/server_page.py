"""Routes of a server's page, `/servers/<id>`: its health and its history."""

from datetime import UTC, datetime, time, timedelta
from enum import StrEnum
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Form, Query
from fastapi.responses import HTMLResponse, Response

from codewalk.errors import ServerNotFound
from codewalk.history.window import parse_moment
from codewalk.web.dependencies import AppDep, ServerId, ViewsDep, server_by_id
from codewalk.web.history_context import load_history_context
from codewalk.web.history_query import HistoryPageQuery, Range
from codewalk.web.page_context import get_page_context
from codewalk.web.page_responses import ResponderDep, fragments_response, server_address

MORNING: Final = time(8)
"""The end of a snooze until tomorrow, on the clock of this machine."""

router = APIRouter(
    prefix="/servers/{id}", include_in_schema=False, default_response_class=HTMLResponse
)


class SnoozeChoice(StrEnum):
    """The choices of the form that mutes notifications; their labels are in the template."""

    HOUR = "1h"
    WORKDAY = "8h"
    TOMORROW = "tomorrow"
    END = "end"


def snooze_end(choice: SnoozeChoice, now: datetime) -> datetime | None:
    """Return when a snooze that begins now ends; None for no snooze."""
    match choice:
        case SnoozeChoice.HOUR:
            return now + timedelta(hours=1)
        case SnoozeChoice.WORKDAY:
            return now + timedelta(hours=8)
        case SnoozeChoice.TOMORROW:
            day = now.astimezone().date() + timedelta(days=1)
            # Without a time zone: the offset is that of tomorrow, which may differ from today's.
            return datetime.combine(day, MORNING).astimezone(UTC)
        case SnoozeChoice.END:
            return None


def _history_query(
    range: Annotated[Range, Query()] = Range.DAY,  # noqa: A002 - as the address has it
    page: Annotated[int, Query(ge=1, le=1000)] = 1,
    until: Annotated[str | None, Query(max_length=40)] = None,
) -> HistoryPageQuery:
    end = None if until is None else parse_moment(until, datetime.now(UTC))
    return HistoryPageQuery(range=range, page=page, until=end)


HistoryQueryDep = Annotated[HistoryPageQuery, Depends(_history_query)]


@router.get("")
async def show_server(
    app: AppDep,
    views: ViewsDep,
    responder: ResponderDep,
    server_id: ServerId,
    query: HistoryQueryDep,
) -> Response:
    """Show the page; htmx, which follows its links, gets another part of the history."""
    history = await load_history_context(app, server_by_id(app, server_id).id, query)
    if responder.htmx:
        address = server_address(server_id) + history.query.query_string()
        return fragments_response(views.history_fragment(history), push_url=address)
    return views.server_page(get_page_context(app), history, app.recent_checks(server_id))


@router.get("/health")
async def show_health(
    app: AppDep, views: ViewsDep, responder: ResponderDep, server_id: ServerId
) -> Response:
    """Show the health, for a page whose server changed; nothing is read from the store."""
    server = app.get(server_id)
    if server is None:
        return responder.to_servers()  # removed while its page was open
    return fragments_response(views.health_fragment(server, app.recent_checks(server_id)))


@router.get("/checks")
async def show_checks(app: AppDep, views: ViewsDep, server_id: ServerId) -> Response:
    """Show the slots of the bar one by one, for the list of servers with the pointer on it."""
    server = server_by_id(app, server_id)
    return fragments_response(views.check_cells_fragment(server, app.recent_checks(server.id)))


@router.get("/history")
async def show_history(
    app: AppDep,
    views: ViewsDep,
    responder: ResponderDep,
    server_id: ServerId,
    query: HistoryQueryDep,
) -> Response:
    """Show the history, for a page that shows the same part of it already."""
    try:
        history = await load_history_context(app, server_id, query)
    except ServerNotFound:
        return responder.to_servers()  # removed while its page was open, or the history was read
    return fragments_response(views.history_fragment(history, only_same=True))


@router.post("/snooze")
async def snooze_server(
    app: AppDep,
    views: ViewsDep,
    responder: ResponderDep,
    server_id: ServerId,
    snooze: Annotated[SnoozeChoice, Form()],
) -> Response:
    """Mute notifications about a server for a while, or unmute them."""
    until = snooze_end(snooze, datetime.now(UTC))
    server = await app.snooze(server_by_id(app, server_id).id, until)
    return responder.same_page(views.health_fragment(server, app.recent_checks(server_id)))
