"""The pages: addresses, forms and the parts that follow what happens. They hold no rules."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Annotated

from fastapi import APIRouter, Form, Header, HTTPException, Query
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent

from codewalk.app import App
from codewalk.errors import CodeWalkError, ServerManaged, ServerNotFound, ServerUnhealthy
from codewalk.web import live
from codewalk.web.answers import HOME, Answering
from codewalk.web.deps import Core, Events, ServerId, Streams, Views, exactly
from codewalk.web.files import ASSETS
from codewalk.web.forms import ServerForm, Typed, change_of, credentials
from codewalk.web.views import Notice, sentence, take_servers, take_snapshot

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

TypedForm = Annotated[Typed, Form()]


@router.get("/")
async def home() -> Response:
    return RedirectResponse(HOME, 303)


@router.get("/servers")
async def list_servers(app: Core, views: Views) -> Response:
    return views.servers_page(await take_snapshot(app))


@router.get("/live", response_class=EventSourceResponse)
async def follow(
    app: Core,
    views: Views,
    queue: Events,
    streams: Streams,
    stamp: str | None = None,
    last_event_id: Annotated[str | None, Header()] = None,
) -> AsyncIterator[ServerSentEvent]:
    """The parts of the page that change. `stamp` holds for a first connection only."""
    page = live.Page(app, views)
    known = None if last_event_id else stamp
    async for message in live.page_parts(page, queue, streams, stamp=known):
        yield message


@router.get("/static/{path:path}")
async def send_file(path: str) -> Response:
    asset = ASSETS.get(path)
    if asset is None:
        raise HTTPException(404)
    return Response(asset.body, media_type=asset.media_type)


# One server's form


@router.get("/servers/new")
async def show_add_form(answer: Answering) -> Response:
    return answer.form(ServerForm.empty())


@router.post("/servers/new")
async def add_server(app: Core, answer: Answering, typed: TypedForm) -> Response:
    form = ServerForm.empty()
    given = credentials(typed, form.username)
    try:
        if typed.action == "test":
            found = await app.test_connection(typed.url, **given)
            return answer.form(form.with_typed(typed, found=found))
        await app.add_server(typed.url, label=typed.label, check=typed.action != "anyway", **given)
    except CodeWalkError as exc:
        return answer.form(form.refused(typed, exc))
    return answer.home()


@router.get("/servers/{id}/edit")
async def show_edit_form(app: Core, answer: Answering, server_id: ServerId) -> Response:
    return answer.form(ServerForm.of(exactly(app, server_id).profile))


@router.post("/servers/{id}/edit")
async def edit_server(
    app: Core, answer: Answering, server_id: ServerId, typed: TypedForm
) -> Response:
    profile = exactly(app, server_id).profile
    form = ServerForm.of(profile)
    try:
        change = change_of(typed, profile)
        if typed.action == "test":
            found = await app.test_change(profile.id, change)
            return answer.form(form.with_typed(typed, found=found))
        await app.edit_server(profile.id, change, check=typed.action == "save")
    except (ServerManaged, ServerNotFound):
        raise
    except CodeWalkError as exc:
        return answer.form(form.refused(typed, exc))
    return answer.home()


# What is done to one server


@router.get("/servers/{id}/remove")
async def ask_to_remove(app: Core, views: Views, server_id: ServerId) -> Response:
    return views.page("remove.html", shown=take_servers(app), server=exactly(app, server_id))


@router.post("/servers/{id}/remove")
async def remove_server(app: Core, answer: Answering, server_id: ServerId) -> Response:
    # Sent twice, the second finds nothing, which is what was wanted.
    with suppress(ServerNotFound):
        await app.remove_server(exactly(app, server_id).id)
    return answer.home()


@router.post("/servers/{id}/use")
async def use_server(
    app: Core,
    answer: Answering,
    server_id: ServerId,
    force: Annotated[bool, Query()] = False,
) -> Response:
    server = exactly(app, server_id)
    try:
        await app.switch_to(server.id, force=force)
    except ServerUnhealthy as exc:
        notice = Notice(
            text=f"{server.name} is unhealthy: {sentence(exactly(app, server_id).health)}",
            retry=f"/servers/{server.id}/use?force=true",
            retry_label="Switch anyway",
        )
        return await answer.refused(notice, exc)
    return answer.switched()


@router.post("/servers/{id}/default")
async def set_default(app: Core, answer: Answering, server_id: ServerId) -> Response:
    await app.set_default(exactly(app, server_id).id)
    return answer.done()


@router.post("/servers/{id}/default/clear")
async def clear_default(app: Core, answer: Answering, server_id: ServerId) -> Response:
    # Another tab may have chosen another default meanwhile; that one isn't meant.
    if exactly(app, server_id).default:
        await app.clear_default()
    return answer.done()


@router.post("/servers/{id}/check")
async def check_server(app: Core, views: Views, answer: Answering, server_id: ServerId) -> Response:
    server = await app.check(exactly(app, server_id).id)
    return answer.done(views.live_rows([server]))


@router.post("/servers/check")
async def check_all(app: Core, views: Views, answer: Answering) -> Response:
    async with asyncio.TaskGroup() as group:
        for server in app.servers():
            group.create_task(_check(app, server.id), name=f"check of {server.id}")
    return answer.done(views.live_rows(app.servers()))


async def _check(app: App, server_id: str) -> None:
    with suppress(ServerNotFound):
        await app.check(server_id)


# The active server's sessions


@router.post("/servers/{id}/sessions")
async def refresh_sessions(app: Core, answer: Answering, server_id: ServerId) -> Response:
    """Fetches them anew, if that server is still the active one."""
    trouble = None
    active = app.active()
    if active and active.id == server_id:
        try:
            await app.sessions()
        except CodeWalkError as exc:
            trouble = exc.message
    shown = await take_snapshot(app, trouble=trouble)
    if shown.active is None or shown.active.id != server_id:
        shown = await take_snapshot(app)  # the trouble was another server's
    return answer.sessions(shown)
