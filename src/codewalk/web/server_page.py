"""A server's own page: `/servers/<id>`, how it is and how it has been."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Query
from fastapi.responses import HTMLResponse, Response

from codewalk.history.window import parse_moment
from codewalk.web.dependencies import AppDep, ServerId, ViewsDep, server_by_id
from codewalk.web.history_context import load_history_context
from codewalk.web.history_query import HistoryPageQuery, Range
from codewalk.web.page_context import get_page_context
from codewalk.web.page_responses import ResponderDep, page_of, parts
from codewalk.web.snoozing import SnoozeChoice, snooze_end

router = APIRouter(
    prefix="/servers/{id}", include_in_schema=False, default_response_class=HTMLResponse
)


def _look(
    range: Annotated[Range, Query()] = Range.DAY,  # noqa: A002 - as the address has it
    page: Annotated[int, Query(ge=1, le=1000)] = 1,
    until: Annotated[str | None, Query(max_length=40)] = None,
) -> HistoryPageQuery:
    then = None if until is None else parse_moment(until, datetime.now(UTC))
    return HistoryPageQuery(range=range, page=page, until=then)


Looking = Annotated[HistoryPageQuery, Depends(_look)]


@router.get("")
async def show_server(
    app: AppDep, views: ViewsDep, answer: ResponderDep, server_id: ServerId, look: Looking
) -> Response:
    """The page; for htmx, which follows its links, what another range or page of the log shows."""
    past = await load_history_context(app, server_by_id(app, server_id).id, look)
    if answer.htmx:
        return parts(views.history_fragment(past), push_url=page_of(server_id) + past.look.query())
    return views.server_page(get_page_context(app), past, app.recent_checks(server_id))


@router.get("/now")
async def show_now(
    app: AppDep, views: ViewsDep, answer: ResponderDep, server_id: ServerId
) -> Response:
    """How it is, for a page that shows how it was; nothing is read from the store."""
    server = app.get(server_id)
    if server is None:
        return answer.servers()  # removed while its page was open
    return parts(views.current_health_fragment(server, app.recent_checks(server_id)))


@router.get("/checks")
async def show_checks(app: AppDep, views: ViewsDep, server_id: ServerId) -> Response:
    """Its last checks one by one, for the list of servers where somebody points at its bar."""
    server = server_by_id(app, server_id)
    return parts(views.check_cells_fragment(server, app.recent_checks(server.id)))


@router.get("/past")
async def show_past(
    app: AppDep, views: ViewsDep, answer: ResponderDep, server_id: ServerId, look: Looking
) -> Response:
    """How it has been, for a page that shows it already."""
    if app.get(server_id) is None:
        return answer.servers()
    return parts(
        views.history_fragment(await load_history_context(app, server_id, look), again=True)
    )


@router.post("/snooze")
async def snooze_server(
    app: AppDep,
    views: ViewsDep,
    answer: ResponderDep,
    server_id: ServerId,
    nap: Annotated[SnoozeChoice, Form()],
) -> Response:
    """Has nothing told of it for a while, or all again."""
    until = snooze_end(nap, datetime.now(UTC))
    server = await app.snooze(server_by_id(app, server_id).id, until)
    return answer.done(views.current_health_fragment(server, app.recent_checks(server_id)))
