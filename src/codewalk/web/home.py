"""The active server's home: `/s/<id>/`. A form here names its server and reaches no other."""

from typing import Annotated
from urllib.parse import unquote

from fastapi import APIRouter, Depends, Form, Query
from fastapi.responses import HTMLResponse, Response

from codewalk.app.app import App
from codewalk.errors import CodeWalkError, ServerUnreachable, Superseded
from codewalk.reason import State
from codewalk.web.dependencies import AppDep, ServerId, ViewsDep, server_by_id
from codewalk.web.page_context import HomeQuery, get_page_context, load_home_context
from codewalk.web.page_responses import ResponderDep

router = APIRouter(prefix="/s/{id}", include_in_schema=False, default_response_class=HTMLResponse)


def _wanted(
    directory: str = "",
    at: str = "",
    q: Annotated[str, Query(max_length=200)] = "",
    page: Annotated[int, Query(ge=1, le=10_000)] = 1,
) -> HomeQuery:
    """`directory` as a link names it, or `at` as a form does (`HomeQuery.at`)."""
    return HomeQuery(directory=directory or unquote(at) or None, words=q.strip(), page=page)


Wants = Annotated[HomeQuery, Depends(_wanted)]


@router.get("/")
async def show_home(
    app: AppDep, views: ViewsDep, answer: ResponderDep, server_id: ServerId, wanted: Wants
) -> Response:
    """The home of a server; a word and a way there where it isn't the active one."""
    server = server_by_id(app, server_id)
    try:
        home = await load_home_context(app, server_id, wanted)
    except Superseded:
        if answer.htmx:
            return answer.too_late(server_id)
        return views.page("elsewhere.html", frame=get_page_context(app), server=server)
    return answer.home(home)


@router.get("/sessions")
async def show_sessions(
    app: AppDep, answer: ResponderDep, server_id: ServerId, wanted: Wants
) -> Response:
    """The list alone: for what is searched, and for a page whose list may be old."""
    try:
        return answer.sessions(
            await load_home_context(app, server_by_id(app, server_id).id, wanted)
        )
    except Superseded:
        return answer.too_late(server_id)


@router.get("/around")
async def show_around(
    app: AppDep, answer: ResponderDep, server_id: ServerId, wanted: Wants
) -> Response:
    """The projects and models, for a page that shows them already."""
    try:
        return answer.around(await load_home_context(app, server_by_id(app, server_id).id, wanted))
    except Superseded:
        return answer.too_late(server_id)


@router.post("/sessions")
async def add_session(
    app: AppDep,
    answer: ResponderDep,
    server_id: ServerId,
    title: Annotated[str, Form()] = "",
    at: Annotated[str, Form()] = "",
) -> Response:
    """A new session, in the directory whose sessions are shown."""
    server = server_by_id(app, server_id)
    wanted = HomeQuery(directory=unquote(at) or None)
    try:
        await app.work.new_session(wanted.directory, title=title or None, server_id=server.id)
    except CodeWalkError as exc:
        if answer.htmx:
            raise  # its page still has what was typed
        return answer.not_made(await load_home_context(app, server.id, wanted), title, exc)
    return answer.at_home(await load_home_context(app, server.id, wanted))


@router.post("/model")
async def use_model(
    app: AppDep,
    answer: ResponderDep,
    server_id: ServerId,
    model: Annotated[str, Form()] = "",
    at: Annotated[str, Form()] = "",
) -> Response:
    """Which model this server is to take from now on; the page stays in its directory."""
    server = server_by_id(app, server_id)
    await app.work.use_model(model, server_id=server.id)
    wanted = HomeQuery(directory=unquote(at) or None)
    return answer.around(await load_home_context(app, server.id, wanted))


@router.post("/refresh")
async def refresh_sessions(
    app: AppDep, answer: ResponderDep, server_id: ServerId, wanted: Wants
) -> Response:
    """Fetches the list anew."""
    try:
        trouble = await _fetch(app, server_by_id(app, server_id).id, wanted)
        return answer.sessions(await load_home_context(app, server_id, wanted, trouble=trouble))
    except Superseded as exc:
        return answer.too_late(server_id, exc)


async def _fetch(app: App, server_id: str, wanted: HomeQuery) -> str | None:
    """Why the list can't be had; None where it is in."""
    try:
        await app.work.sessions(wanted.directory, server_id=server_id)
    except ServerUnreachable as exc:
        return exc.message
    if app.server(server_id).health.state is State.UNHEALTHY:
        await app.check(server_id)  # it answers: that it doesn't must be said no longer
    return None
