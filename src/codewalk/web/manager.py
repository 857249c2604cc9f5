"""The server manager: the list of servers, their forms, and what is done to one of them."""

from contextlib import suppress
from typing import Annotated
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Form, Query
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from codewalk.app.app import App
from codewalk.errors import (
    CodeWalkError,
    DuplicateServer,
    InvalidInput,
    ServerManaged,
    ServerNotFound,
    ServerUnhealthy,
    Superseded,
)
from codewalk.servers.profile import ServerProfile, origin
from codewalk.web.deps import Core, ServerId, Views, exactly
from codewalk.web.forms import ServerForm, Typed, change_of, credentials, wrong_settings
from codewalk.web.page_responses import Answering, page_of, parts
from codewalk.web.page_values import Alert, take_frame
from codewalk.web.text import sentence
from codewalk.web.views import Views as Rendering

router = APIRouter(prefix="/servers", include_in_schema=False, default_response_class=HTMLResponse)

TypedForm = Annotated[Typed, Form()]


@router.get("")
async def list_servers(app: Core, views: Views, answer: Answering, removed: str = "") -> Response:
    """The list; where one has just been removed, with a way to undo that."""
    if answer.htmx:
        return answer.servers()
    return views.servers_page(take_frame(app), removed=app.removed_profile(removed))


@router.post("/takeover")
async def dismiss_import_message(app: Core, answer: Answering) -> Response:
    """The note on what was taken over was read."""
    app.dismiss_import_message()
    return answer.done()


@router.post("/local")
async def start_local(app: Core, answer: Answering) -> Response:
    """Starts the managed local server; that it runs is told by the event stream."""
    await app.local.start()
    return answer.done()


@router.post("/look")
async def look_here(app: Core, answer: Answering) -> Response:
    """Whether a server runs on this machine, asked because the user wants to know."""
    return answer.looked(await app.drafts.test_connection(app.drafts.default_url))


@router.post("/found")
async def add_found(app: Core, answer: Answering) -> Response:
    await app.add_server(app.drafts.default_url)
    return answer.servers()


# One server's form


@router.get("/new")
async def show_add_form(
    answer: Answering,
    url: Annotated[str, Query(max_length=2048)] = "",
    username: Annotated[str, Query(max_length=1024)] = "",
    lost: Annotated[bool, Query()] = False,
) -> Response:
    """The form; nothing is asked of a URL that comes with the address until the user says so."""
    return answer.form(ServerForm.begun(url, username=username, lost=lost))


@router.post("/begin")
async def begin_form(url: Annotated[str, Form(max_length=2048)] = "") -> Response:
    """To the form with this URL; of a password in it the address says only that there was one."""
    beginning = ServerForm.begun(url).beginning
    return RedirectResponse(f"/servers/new?{urlencode(beginning)}", 303)


@router.post("/new")
async def add_server(app: Core, answer: Answering, typed: TypedForm) -> Response:
    form, typed = ServerForm.empty(), typed.meant
    given = credentials(typed, form.username)
    try:
        if typed.action == "test":
            found = await app.drafts.test_connection(typed.url, **given)
            return answer.form(form.tested(typed, found, app.drafts.suggest_url(typed.url, found)))
        await app.add_server(typed.url, label=typed.label, check=typed.action != "anyway", **given)
    except CodeWalkError as exc:
        return answer.form(form.refused(typed, exc))
    return answer.servers()


@router.post("/preview")
async def preview_url(app: Core, views: Views, url: Annotated[str, Form()] = "") -> Response:
    """What would be kept of the URL that is being typed, or what is wrong with it."""
    return parts(_told(app, views, url, edited=None))


@router.post("/{id}/preview")
async def preview_edited_url(
    app: Core, views: Views, server_id: ServerId, url: Annotated[str, Form()] = ""
) -> Response:
    """The same of one that is edited, and that its password goes along to another origin."""
    return parts(_told(app, views, url, edited=exactly(app, server_id).profile))


def _told(app: App, views: Rendering, url: str, *, edited: ServerProfile | None) -> str:
    if not url.strip():
        return views.live_told("url")
    try:
        kept = app.drafts.preview_url(url, except_id=edited.id if edited else None)
    except (InvalidInput, DuplicateServer) as exc:
        return views.live_told("url", error=exc.message)
    said = [] if kept == url.strip() else [f"Kept as {kept}"]
    if edited and edited.basic_auth_password and origin(kept) != origin(edited.url):
        said.append("The stored password is sent there, unless you enter another one")
    return views.live_told("url", fine=". ".join(said))


@router.get("/{id}/edit")
async def show_edit_form(app: Core, answer: Answering, server_id: ServerId) -> Response:
    return answer.form(ServerForm.of(exactly(app, server_id).profile))


@router.post("/{id}/edit")
async def edit_server(
    app: Core, answer: Answering, server_id: ServerId, typed: TypedForm
) -> Response:
    profile = exactly(app, server_id).profile
    form, typed = ServerForm.of(profile), typed.meant
    if wrong := wrong_settings(typed, profile):
        return answer.form(form.with_typed(typed, errors=wrong))
    try:
        change = change_of(typed, profile)
        if typed.action == "test":
            found = await app.drafts.test_change(profile.id, change)
            return answer.form(form.tested(typed, found, app.drafts.suggest_url(typed.url, found)))
        await app.edit_server(profile.id, change, check=typed.action == "save")
    except (ServerManaged, ServerNotFound):
        raise
    except CodeWalkError as exc:
        return answer.form(form.refused(typed, exc))
    return answer.servers()


# What is done to one server


@router.get("/{id}/menu")
async def show_menu(app: Core, views: Views, server_id: ServerId) -> Response:
    """What can be done to it, for its menu in the list that opens."""
    return parts(views.live_menu(exactly(app, server_id)))


@router.post("/{id}/move")
async def move_server(
    app: Core, answer: Answering, server_id: ServerId, before: Annotated[str, Form()] = ""
) -> Response:
    """Puts it before another one, at the end with none."""
    await app.move_server(exactly(app, server_id).id, before=before or None)
    return answer.done()


@router.post("/{id}/up")
async def move_up(app: Core, answer: Answering, server_id: ServerId) -> Response:
    ids = [server.id for server in app.servers()]
    place = ids.index(exactly(app, server_id).id)
    if place > 0:
        await app.move_server(server_id, before=ids[place - 1])
    return answer.done()


@router.post("/{id}/down")
async def move_down(app: Core, answer: Answering, server_id: ServerId) -> Response:
    ids = [server.id for server in app.servers()]
    place = ids.index(exactly(app, server_id).id)
    if place < len(ids) - 1:
        await app.move_server(server_id, before=next(iter(ids[place + 2 :]), None))
    return answer.done()


@router.get("/{id}/remove")
async def ask_to_remove(app: Core, views: Views, server_id: ServerId) -> Response:
    return views.page("remove.html", frame=take_frame(app), server=exactly(app, server_id))


@router.post("/{id}/remove")
async def remove_server(app: Core, answer: Answering, server_id: ServerId) -> Response:
    # Sent twice, the second finds nothing, which is what was wanted.
    with suppress(ServerNotFound):
        await app.remove_server(exactly(app, server_id).id)
    return answer.servers(f"?removed={quote(server_id)}")


@router.post("/{id}/restore")
async def restore_server(
    app: Core, views: Views, answer: Answering, server_id: ServerId
) -> Response:
    await app.restore_server(server_id)
    return answer.done(views.live_gone("removed"))


@router.post("/{id}/use")
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
        notice = Alert(
            text=f"{server.name} is unhealthy: {sentence(exactly(app, server_id).health)}",
            retry=f"/servers/{server.id}/use?force=true",
            retry_label="Switch anyway",
        )
        return answer.refused(notice, exc)
    except Superseded:
        return answer.too_late(server.id)
    return await answer.switched(server.id)


@router.post("/{id}/default")
async def set_default(app: Core, answer: Answering, server_id: ServerId) -> Response:
    await app.set_default(exactly(app, server_id).id)
    return answer.done()


@router.post("/{id}/default/clear")
async def clear_default(app: Core, answer: Answering, server_id: ServerId) -> Response:
    # Another tab may have chosen another default meanwhile; that one isn't meant.
    if exactly(app, server_id).default:
        await app.clear_default()
    return answer.done()


@router.post("/{id}/check")
async def check_server(app: Core, views: Views, answer: Answering, server_id: ServerId) -> Response:
    server = await app.check(exactly(app, server_id).id)
    own_page = answer.path == page_of(server.id)
    html = (
        views.live_now(server, app.recent_checks(server.id))
        if own_page
        else views.live_rows([server])
    )
    return answer.done(html + views.live_picks([server]))


@router.post("/check")
async def check_all(app: Core, views: Views, answer: Answering) -> Response:
    servers = await app.check_all()
    return answer.done(views.live_rows(servers) + views.live_picks(servers))
