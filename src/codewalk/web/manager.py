"""The server manager: the list of servers, their forms, and what is done to one of them."""

from contextlib import suppress
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Form, Query
from fastapi.responses import HTMLResponse, Response

from codewalk.app.app import App
from codewalk.errors import (
    CodeWalkError,
    DuplicateServer,
    EditConflict,
    InvalidInput,
    ServerManaged,
    ServerNotFound,
    ServerUnhealthy,
    Superseded,
)
from codewalk.servers.conflict import editable_values
from codewalk.servers.profile import ServerProfile
from codewalk.servers.url import origin
from codewalk.web.dependencies import AppDep, ServerId, ViewsDep, server_by_id
from codewalk.web.form_data import (
    ServerFormData,
    change_from_form,
    entered_credentials,
    invalid_settings,
)
from codewalk.web.forms import ServerForm
from codewalk.web.page_context import Alert, get_page_context
from codewalk.web.page_responses import ResponderDep, page_of, parts
from codewalk.web.text import sentence
from codewalk.web.views import Views

router = APIRouter(prefix="/servers", include_in_schema=False, default_response_class=HTMLResponse)

FormData = Annotated[ServerFormData, Form()]


@router.get("")
async def list_servers(
    app: AppDep, views: ViewsDep, answer: ResponderDep, removed: str = ""
) -> Response:
    """The list; where one has just been removed, with a way to undo that."""
    if answer.htmx:
        return answer.servers()
    return views.servers_page(get_page_context(app), removed=app.removed_profile(removed))


@router.post("/takeover")
async def dismiss_import_message(app: AppDep, answer: ResponderDep) -> Response:
    """The note on what was taken over was read."""
    app.dismiss_import_message()
    return answer.done()


@router.post("/local")
async def start_local(app: AppDep, answer: ResponderDep) -> Response:
    """Starts the managed local server; that it runs is told by the event stream."""
    await app.local.start()
    return answer.done()


@router.post("/look")
async def look_here(app: AppDep, answer: ResponderDep) -> Response:
    """Whether a server runs on this machine, asked because the user wants to know."""
    return answer.looked(await app.drafts.test_connection(app.drafts.default_url))


@router.post("/found")
async def add_found(app: AppDep, answer: ResponderDep) -> Response:
    await app.add_server(app.drafts.default_url)
    return answer.servers()


# One server's form


@router.get("/new")
async def show_add_form(
    answer: ResponderDep, url: Annotated[str, Query(max_length=2048)] = ""
) -> Response:
    """Show the form; a URL in the address is only filled in, no server is asked."""
    form = ServerForm.empty()
    return answer.form(form.with_data(ServerFormData(url=url)) if url else form)


@router.post("/new")
async def add_server(app: AppDep, answer: ResponderDep, typed: FormData) -> Response:
    form, typed = ServerForm.empty(), typed.with_offer()
    given = entered_credentials(typed, form.username)
    try:
        if typed.action == "test":
            found = await app.drafts.test_connection(typed.url, **given)
            return answer.form(
                form.with_test_result(typed, found, app.drafts.suggest_url(typed.url, found))
            )
        await app.add_server(typed.url, label=typed.label, check=typed.action != "anyway", **given)
    except CodeWalkError as exc:
        return answer.form(form.with_error(typed, exc))
    return answer.servers()


@router.post("/preview")
async def preview_url(app: AppDep, views: ViewsDep, url: Annotated[str, Form()] = "") -> Response:
    """What would be kept of the URL that is being typed, or what is wrong with it."""
    return parts(_told(app, views, url, edited=None))


@router.post("/{id}/preview")
async def preview_edited_url(
    app: AppDep, views: ViewsDep, server_id: ServerId, url: Annotated[str, Form()] = ""
) -> Response:
    """The same of one that is edited, and that its password goes along to another origin."""
    return parts(_told(app, views, url, edited=server_by_id(app, server_id).profile))


def _told(app: App, views: Views, url: str, *, edited: ServerProfile | None) -> str:
    if not url.strip():
        return views.field_message_fragment("url")
    try:
        kept = app.drafts.preview_url(url, except_id=edited.id if edited else None)
    except (InvalidInput, DuplicateServer) as exc:
        return views.field_message_fragment("url", error=exc.message)
    said = [] if kept == url.strip() else [f"Kept as {kept}"]
    if edited and edited.basic_auth_password and origin(kept) != origin(edited.url):
        said.append("The stored password is sent there, unless you enter another one")
    return views.field_message_fragment("url", hint=". ".join(said))


@router.get("/{id}/edit")
async def show_edit_form(app: AppDep, answer: ResponderDep, server_id: ServerId) -> Response:
    return answer.form(_edit_form(app, server_id))


@router.post("/{id}/edit")
async def edit_server(
    app: AppDep, answer: ResponderDep, server_id: ServerId, data: FormData
) -> Response:
    """Save what the user changed of the values that the form was opened with, or test it."""
    profile, data = server_by_id(app, server_id).profile, data.with_offer()
    base = data.base_values(editable_values(profile))
    if errors := invalid_settings(data, base, profile):
        return answer.form(_edit_form(app, server_id).with_data(data, errors=errors))
    try:
        change = change_from_form(data, base)
        match data.action:
            case "show":
                return answer.form(_edit_form(app, server_id).with_data(data))
            case "test":
                result = await app.drafts.test_change(server_id, change, base=base)
                suggestion = app.drafts.suggest_url(data.url, result)
                form = _edit_form(app, server_id)
                return answer.form(form.with_test_result(data, result, suggestion))
            case action:
                await app.edit_server(server_id, change, base=base, check=action == "save")
    except (ServerManaged, ServerNotFound):
        raise
    except EditConflict as exc:
        return answer.form(_edit_form(app, server_id).with_conflict(data, exc))
    except CodeWalkError as exc:
        return answer.form(_edit_form(app, server_id).with_error(data, exc))
    return answer.servers()


def _edit_form(app: App, server_id: str) -> ServerForm:
    """Return the form of a server with its newest values."""
    return ServerForm.for_profile(server_by_id(app, server_id).profile)


# What is done to one server


@router.get("/{id}/menu")
async def show_menu(app: AppDep, views: ViewsDep, server_id: ServerId) -> Response:
    """What can be done to it, for its menu in the list that opens."""
    return parts(views.server_menu_items(server_by_id(app, server_id)))


@router.post("/{id}/move")
async def move_server(
    app: AppDep, answer: ResponderDep, server_id: ServerId, before: Annotated[str, Form()] = ""
) -> Response:
    """Puts it before another one, at the end with none."""
    follower = server_by_id(app, before).id if before else None
    await app.move_server(server_by_id(app, server_id).id, before=follower)
    return answer.done()


@router.post("/{id}/up")
async def move_up(app: AppDep, answer: ResponderDep, server_id: ServerId) -> Response:
    await app.move_server_by(server_by_id(app, server_id).id, places=-1)
    return answer.done()


@router.post("/{id}/down")
async def move_down(app: AppDep, answer: ResponderDep, server_id: ServerId) -> Response:
    await app.move_server_by(server_by_id(app, server_id).id, places=1)
    return answer.done()


@router.get("/{id}/remove")
async def ask_to_remove(app: AppDep, views: ViewsDep, server_id: ServerId) -> Response:
    return views.page(
        "remove.html", frame=get_page_context(app), server=server_by_id(app, server_id)
    )


@router.post("/{id}/remove")
async def remove_server(app: AppDep, answer: ResponderDep, server_id: ServerId) -> Response:
    # Sent twice, the second finds nothing, which is what was wanted.
    with suppress(ServerNotFound):
        await app.remove_server(server_by_id(app, server_id).id)
    return answer.servers(f"?removed={quote(server_id)}")


@router.post("/{id}/restore")
async def restore_server(
    app: AppDep, views: ViewsDep, answer: ResponderDep, server_id: ServerId
) -> Response:
    await app.restore_server(server_id)
    return answer.done(views.removal_fragment("removed"))


@router.post("/{id}/use")
async def use_server(
    app: AppDep,
    answer: ResponderDep,
    server_id: ServerId,
    force: Annotated[bool, Query()] = False,
) -> Response:
    server = server_by_id(app, server_id)
    try:
        await app.switch_to(server.id, force=force)
    except ServerUnhealthy as exc:
        notice = Alert(
            text=f"{server.name} is unhealthy: {sentence(server_by_id(app, server_id).health)}",
            retry=f"/servers/{server.id}/use?force=true",
            retry_label="Switch anyway",
        )
        return answer.refused(notice, exc)
    except Superseded:
        return answer.too_late(server.id)
    return await answer.switched(server.id)


@router.post("/{id}/default")
async def set_default(app: AppDep, answer: ResponderDep, server_id: ServerId) -> Response:
    await app.set_default(server_by_id(app, server_id).id)
    return answer.done()


@router.post("/{id}/default/clear")
async def clear_default(app: AppDep, answer: ResponderDep, server_id: ServerId) -> Response:
    # Another tab may have chosen another default meanwhile; that one isn't meant.
    await app.clear_default(server_by_id(app, server_id).id)
    return answer.done()


@router.post("/{id}/check")
async def check_server(
    app: AppDep, views: ViewsDep, answer: ResponderDep, server_id: ServerId
) -> Response:
    server = await app.check(server_by_id(app, server_id).id)
    own_page = answer.path == page_of(server.id)
    html = (
        views.current_health_fragment(server, app.recent_checks(server.id))
        if own_page
        else views.server_row_fragments([server])
    )
    return answer.done(html + views.switcher_item_fragments([server]))


@router.post("/check")
async def check_all(app: AppDep, views: ViewsDep, answer: ResponderDep) -> Response:
    servers = await app.check_all()
    return answer.done(views.server_row_fragments(servers) + views.switcher_item_fragments(servers))
