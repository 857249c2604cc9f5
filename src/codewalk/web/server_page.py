"""A server's own page: `/servers/<id>`, how it is and how it has been."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Query
from fastapi.responses import HTMLResponse, Response

from codewalk.history.window import parse_moment
from codewalk.web.deps import Core, ServerId, Views, exactly
from codewalk.web.history_page import take_past
from codewalk.web.history_query import Look, Range
from codewalk.web.page_responses import Answering, page_of, parts
from codewalk.web.page_values import take_frame
from codewalk.web.snoozing import Nap, asleep_until

router = APIRouter(
    prefix="/servers/{id}", include_in_schema=False, default_response_class=HTMLResponse
)


def _look(
    range: Annotated[Range, Query()] = Range.DAY,  # noqa: A002 - as the address has it
    page: Annotated[int, Query(ge=1, le=1000)] = 1,
    until: Annotated[str | None, Query(max_length=40)] = None,
) -> Look:
    then = None if until is None else parse_moment(until, datetime.now(UTC))
    return Look(range=range, page=page, until=then)


Looking = Annotated[Look, Depends(_look)]


@router.get("")
async def show_server(
    app: Core, views: Views, answer: Answering, server_id: ServerId, look: Looking
) -> Response:
    """The page; for htmx, which follows its links, what another range or page of the log shows."""
    past = await take_past(app, exactly(app, server_id).id, look)
    if answer.htmx:
        return parts(views.live_past(past), push_url=page_of(server_id) + past.look.query())
    return views.server_page(take_frame(app), past, app.recent_checks(server_id))


@router.get("/now")
async def show_now(app: Core, views: Views, answer: Answering, server_id: ServerId) -> Response:
    """How it is, for a page that shows how it was; nothing is read from the store."""
    server = app.get(server_id)
    if server is None:
        return answer.servers()  # removed while its page was open
    return parts(views.live_now(server, app.recent_checks(server_id)))


@router.get("/checks")
async def show_checks(app: Core, views: Views, server_id: ServerId) -> Response:
    """Its last checks one by one, for the list of servers where somebody points at its bar."""
    server = exactly(app, server_id)
    return parts(views.live_cells(server, app.recent_checks(server.id)))


@router.get("/past")
async def show_past(
    app: Core, views: Views, answer: Answering, server_id: ServerId, look: Looking
) -> Response:
    """How it has been, for a page that shows it already."""
    if app.get(server_id) is None:
        return answer.servers()
    return parts(views.live_past(await take_past(app, server_id, look), again=True))


@router.post("/snooze")
async def snooze_server(
    app: Core, views: Views, answer: Answering, server_id: ServerId, nap: Annotated[Nap, Form()]
) -> Response:
    """Has nothing told of it for a while, or all again."""
    until = asleep_until(nap, datetime.now(UTC))
    server = await app.snooze(exactly(app, server_id).id, until)
    return answer.done(views.live_now(server, app.recent_checks(server_id)))
