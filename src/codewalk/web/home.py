"""The active server's home: `/s/<id>/`. A form here names its server and reaches no other."""

from typing import Annotated
from urllib.parse import unquote

from fastapi import APIRouter, Depends, Form, Query
from fastapi.responses import HTMLResponse, Response

from codewalk.app.app import App
from codewalk.errors import CodeWalkError, ServerUnreachable, Superseded
from codewalk.reason import State
from codewalk.web.deps import Core, ServerId, Views, exactly
from codewalk.web.page_responses import Answering
from codewalk.web.page_values import Wanted, take_frame, take_home

router = APIRouter(prefix="/s/{id}", include_in_schema=False, default_response_class=HTMLResponse)


def _wanted(
    directory: str = "",
    at: str = "",
    q: Annotated[str, Query(max_length=200)] = "",
    page: Annotated[int, Query(ge=1, le=10_000)] = 1,
) -> Wanted:
    """`directory` as a link names it, or `at` as a form does (`Wanted.at`)."""
    return Wanted(directory=directory or unquote(at) or None, words=q.strip(), page=page)


Wants = Annotated[Wanted, Depends(_wanted)]


@router.get("/")
async def show_home(
    app: Core, views: Views, answer: Answering, server_id: ServerId, wanted: Wants
) -> Response:
    """The home of a server; a word and a way there where it isn't the active one."""
    server = exactly(app, server_id)
    try:
        home = await take_home(app, server_id, wanted)
    except Superseded:
        if answer.htmx:
            return answer.too_late(server_id)
        return views.page("elsewhere.html", frame=take_frame(app), server=server)
    return answer.home(home)


@router.get("/sessions")
async def show_sessions(
    app: Core, answer: Answering, server_id: ServerId, wanted: Wants
) -> Response:
    """The list alone: for what is searched, and for a page whose list may be old."""
    try:
        return answer.sessions(await take_home(app, exactly(app, server_id).id, wanted))
    except Superseded:
        return answer.too_late(server_id)


@router.get("/around")
async def show_around(app: Core, answer: Answering, server_id: ServerId, wanted: Wants) -> Response:
    """The projects and models, for a page that shows them already."""
    try:
        return answer.around(await take_home(app, exactly(app, server_id).id, wanted))
    except Superseded:
        return answer.too_late(server_id)


@router.post("/sessions")
async def add_session(
    app: Core,
    answer: Answering,
    server_id: ServerId,
    title: Annotated[str, Form()] = "",
    at: Annotated[str, Form()] = "",
) -> Response:
    """A new session, in the directory whose sessions are shown."""
    server = exactly(app, server_id)
    wanted = Wanted(directory=unquote(at) or None)
    try:
        await app.work.new_session(wanted.directory, title=title or None, server_id=server.id)
    except CodeWalkError as exc:
        if answer.htmx:
            raise  # its page still has what was typed
        return answer.not_made(await take_home(app, server.id, wanted), title, exc)
    return answer.at_home(await take_home(app, server.id, wanted))


@router.post("/model")
async def use_model(
    app: Core,
    answer: Answering,
    server_id: ServerId,
    model: Annotated[str, Form()] = "",
    at: Annotated[str, Form()] = "",
) -> Response:
    """Which model this server is to take from now on; the page stays in its directory."""
    server = exactly(app, server_id)
    await app.work.use_model(model, server_id=server.id)
    wanted = Wanted(directory=unquote(at) or None)
    return answer.around(await take_home(app, server.id, wanted))


@router.post("/refresh")
async def refresh_sessions(
    app: Core, answer: Answering, server_id: ServerId, wanted: Wants
) -> Response:
    """Fetches the list anew."""
    try:
        trouble = await _fetch(app, exactly(app, server_id).id, wanted)
        return answer.sessions(await take_home(app, server_id, wanted, trouble=trouble))
    except Superseded as exc:
        return answer.too_late(server_id, exc)


async def _fetch(app: App, server_id: str, wanted: Wanted) -> str | None:
    """Why the list can't be had; None where it is in."""
    try:
        await app.work.sessions(wanted.directory, server_id=server_id)
    except ServerUnreachable as exc:
        return exc.message
    if app.server(server_id).health.state is State.UNHEALTHY:
        await app.check(server_id)  # it answers: that it doesn't must be said no longer
    return None
