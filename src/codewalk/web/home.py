"""Routes of the active server's home, `/s/<id>/`; its forms name their server and no other."""

from dataclasses import replace
from typing import Annotated
from urllib.parse import unquote

from fastapi import APIRouter, Depends, Form, Query
from fastapi.responses import HTMLResponse, Response

from codewalk.app.app import App
from codewalk.errors import CodeWalkError, ServerUnreachable, Superseded
from codewalk.reason import State
from codewalk.server import Server
from codewalk.web.dependencies import AppDep, ServerId, ViewsDep, server_by_id
from codewalk.web.home_context import HomeQuery, load_home_context, parse_directory_choice
from codewalk.web.page_context import get_page_context
from codewalk.web.page_responses import ResponderDep
from codewalk.workspace.directories import ALL

router = APIRouter(prefix="/s/{id}", include_in_schema=False, default_response_class=HTMLResponse)


def _home_query(
    directory: str = "",
    at: str = "",
    own: bool = False,
    q: Annotated[str, Query(max_length=200)] = "",
    page: Annotated[int, Query(ge=1, le=10_000)] = 1,
    archived: bool = False,
) -> HomeQuery:
    choice = parse_directory_choice(directory=directory, at=at, own=own)
    return HomeQuery(directory=choice, words=q.strip(), page=page, archived=archived)


HomeQueryDep = Annotated[HomeQuery, Depends(_home_query)]


@router.get("/")
async def show_home(
    app: AppDep, views: ViewsDep, responder: ResponderDep, server_id: ServerId, query: HomeQueryDep
) -> Response:
    """Show the home of a server; one that isn't active gets a page that offers to switch."""
    server = server_by_id(app, server_id)
    try:
        home = await load_home_context(app, server_id, query)
    except Superseded:
        if responder.htmx:
            return responder.superseded(server_id)
        return views.render("inactive_server.html", page=get_page_context(app), server=server)
    return responder.home(home)


@router.get("/sessions")
async def show_sessions(
    app: AppDep, responder: ResponderDep, server_id: ServerId, query: HomeQueryDep
) -> Response:
    """Show the list alone, for a search and for a page whose list may be old."""
    try:
        home = await load_home_context(app, server_by_id(app, server_id).id, query)
    except Superseded:
        return responder.superseded(server_id)
    return responder.sessions(home)


@router.get("/lists")
async def show_projects_and_models(
    app: AppDep, responder: ResponderDep, server_id: ServerId, query: HomeQueryDep
) -> Response:
    """Show the projects and models, for a page whose lists may be old."""
    try:
        home = await load_home_context(app, server_by_id(app, server_id).id, query)
    except Superseded:
        return responder.superseded(server_id)
    return responder.projects_and_models(home)


@router.post("/sessions")
async def create_session(
    app: AppDep,
    responder: ResponderDep,
    server_id: ServerId,
    query: HomeQueryDep,
    title: Annotated[str, Form()] = "",
    at: Annotated[str, Form()] = "",
    nonce: Annotated[str, Form(max_length=100)] = "",
) -> Response:
    """Create a session in a directory, and show the list from which the form was opened."""
    server = server_by_id(app, server_id)
    target = unquote(at) or None
    try:
        created = await app.work.create_session(
            target, title=title or None, nonce=nonce, server_id=server.id
        )
    except CodeWalkError as exc:
        if responder.htmx:
            raise  # its page still has what was typed
        home = await load_home_context(app, server.id, query)
        return responder.session_not_created(replace(home, title=title, target=target), exc)
    if query.directory is not ALL:
        query = replace(query, directory=target)
    home = await load_home_context(app, server.id, replace(query, words="", page=1))
    return responder.session_created(home, created)


@router.post("/model")
async def use_model(
    app: AppDep,
    responder: ResponderDep,
    server_id: ServerId,
    model: Annotated[str, Form()] = "",
    at: Annotated[str, Form()] = "",
    own: Annotated[bool, Form()] = False,
) -> Response:
    """Select the model for this server, none without a name; the page stays in its directory."""
    server = server_by_id(app, server_id)
    await app.work.use_model(model or None, server_id=server.id)
    query = HomeQuery(directory=parse_directory_choice(at=at, own=own))
    return responder.projects_and_models(await load_home_context(app, server.id, query))


@router.post("/refresh")
async def refresh_sessions(
    app: AppDep, responder: ResponderDep, server_id: ServerId, query: HomeQueryDep
) -> Response:
    """Fetch the sessions from the server, also those that it lists only one by one."""
    try:
        problem = await _fetch_sessions(app, server_by_id(app, server_id).id, query)
        return responder.sessions(await load_home_context(app, server_id, query, problem=problem))
    except Superseded as exc:
        return responder.superseded(server_id, exc)


@router.get("/look")
async def look_for_sessions(
    app: AppDep, responder: ResponderDep, server_id: ServerId, query: HomeQueryDep
) -> Response:
    """Bring the list up to date, for a page that opens or gets the focus back."""
    server = server_by_id(app, server_id)
    try:
        problem = await _look(app, server, query)
        return responder.sessions(await load_home_context(app, server_id, query, problem=problem))
    except Superseded as exc:
        return responder.superseded(server_id, exc)


async def _look(app: App, server: Server, query: HomeQuery) -> str | None:
    """Look at the newest sessions; return why that failed, else None."""
    if server.health.state is State.UNHEALTHY:
        return None  # the page says that already, and has a button that asks nevertheless
    try:
        await app.work.look(query.directory, server_id=server.id)
    except ServerUnreachable as exc:
        return exc.message
    return None


async def _fetch_sessions(app: App, server_id: str, query: HomeQuery) -> str | None:
    """Fetch the sessions, and then what else failed; return why the sessions failed, else None."""
    try:
        await app.work.sessions(query.directory, ask_each=True, server_id=server_id)
    except ServerUnreachable as exc:
        return exc.message
    await app.work.retry(server_id=server_id)
    if app.server(server_id).health.state is State.UNHEALTHY:
        await app.check(server_id)  # it answers, so the page must not say any longer that it's down
    return None
