"""Routes of the server manager: the list of servers, their forms, and actions on servers."""

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
from codewalk.web.page_responses import ResponderDep, fragments_response, server_address
from codewalk.web.text import health_sentence
from codewalk.web.views import Views

router = APIRouter(prefix="/servers", include_in_schema=False, default_response_class=HTMLResponse)

FormData = Annotated[ServerFormData, Form()]


@router.get("")
async def list_servers(
    app: AppDep, views: ViewsDep, responder: ResponderDep, removed: str = ""
) -> Response:
    """Show the list, with a way to undo the removal of the server `removed`."""
    if responder.htmx:
        return responder.to_servers()
    return views.servers_page(get_page_context(app), removed=app.removed_profile(removed))


@router.post("/dismiss-import-message")
async def dismiss_import_message(app: AppDep, responder: ResponderDep) -> Response:
    """Remove the message about imported servers."""
    app.dismiss_import_message()
    return responder.same_page()


@router.post("/local")
async def start_local_server(app: AppDep, responder: ResponderDep) -> Response:
    """Start the managed local server; the event stream reports that it runs."""
    await app.local.start()
    return responder.same_page()


@router.post("/check-local")
async def check_default_url(app: AppDep, responder: ResponderDep) -> Response:
    """Check the default address on this machine."""
    return responder.local_check(await app.drafts.test_connection(app.drafts.default_url))


@router.post("/add-local")
async def add_default_url(app: AppDep, responder: ResponderDep) -> Response:
    """Add the server at the default address."""
    await app.add_server(app.drafts.default_url)
    return responder.to_servers()


# The form of a server


@router.get("/new")
async def show_add_form(
    responder: ResponderDep, url: Annotated[str, Query(max_length=2048)] = ""
) -> Response:
    """Show the form; a URL in the address is only filled in, no server is asked."""
    form = ServerForm.empty()
    return responder.form(form.with_data(ServerFormData(url=url)) if url else form)


@router.post("/new")
async def add_server(app: AppDep, responder: ResponderDep, data: FormData) -> Response:
    """Add a server, or test the connection."""
    form, data = ServerForm.empty(), data.with_offer()
    credentials = entered_credentials(data, form.username)
    try:
        if data.action == "test":
            result = await app.drafts.test_connection(data.url, **credentials)
            suggestion = app.drafts.suggest_url(data.url, result)
            return responder.form(form.with_test_result(data, result, suggestion))
        check = data.action != "anyway"
        await app.add_server(data.url, label=data.label, check=check, **credentials)
    except CodeWalkError as exc:
        return responder.form(form.with_error(data, exc))
    return responder.to_servers()


@router.post("/preview")
async def preview_url(app: AppDep, views: ViewsDep, url: Annotated[str, Form()] = "") -> Response:
    """Show how the URL that is being typed would be saved, or what is wrong with it."""
    return fragments_response(_url_message(app, views, url, edited=None))


@router.post("/{id}/preview")
async def preview_edited_url(
    app: AppDep, views: ViewsDep, server_id: ServerId, url: Annotated[str, Form()] = ""
) -> Response:
    """Show the same for a server that is edited, and that its password goes to a new origin."""
    profile = server_by_id(app, server_id).profile
    return fragments_response(_url_message(app, views, url, edited=profile))


def _url_message(app: App, views: Views, url: str, *, edited: ServerProfile | None) -> str:
    if not url.strip():
        return views.field_message_fragment("url")
    try:
        normalized = app.drafts.preview_url(url, except_id=edited.id if edited else None)
    except (InvalidInput, DuplicateServer) as exc:
        return views.field_message_fragment("url", error=exc.message)
    hints = [] if normalized == url.strip() else [f"Saved as {normalized}"]
    if same := app.drafts.find_same_loopback(normalized, except_id=edited.id if edited else None):
        hints.append(f"This may be the same server as {same.name} ({same.url})")
    if edited and edited.basic_auth_password and origin(normalized) != origin(edited.url):
        hints.append("The stored password is sent there, unless you enter another one")
    return views.field_message_fragment("url", hint=". ".join(hints))


@router.get("/{id}/edit")
async def show_edit_form(app: AppDep, responder: ResponderDep, server_id: ServerId) -> Response:
    return responder.form(_edit_form(app, server_id))


@router.post("/{id}/edit")
async def edit_server(
    app: AppDep, responder: ResponderDep, server_id: ServerId, data: FormData
) -> Response:
    """Save what the user changed of the values that the form was opened with, or test it."""
    profile, data = server_by_id(app, server_id).profile, data.with_offer()
    base = data.base_values(editable_values(profile))
    if errors := invalid_settings(data, base, profile):
        return responder.form(_edit_form(app, server_id).with_data(data, errors=errors))
    try:
        change = change_from_form(data, base)
        match data.action:
            case "show":
                return responder.form(_edit_form(app, server_id).with_data(data))
            case "test":
                result = await app.drafts.test_change(server_id, change, base=base)
                suggestion = app.drafts.suggest_url(data.url, result)
                form = _edit_form(app, server_id)
                return responder.form(form.with_test_result(data, result, suggestion))
            case action:
                await app.edit_server(server_id, change, base=base, check=action == "save")
    except (ServerManaged, ServerNotFound):
        raise
    except EditConflict as exc:
        return responder.form(_edit_form(app, server_id).with_conflict(data, exc))
    except CodeWalkError as exc:
        return responder.form(_edit_form(app, server_id).with_error(data, exc))
    return responder.to_servers()


def _edit_form(app: App, server_id: str) -> ServerForm:
    """Return the form of a server with its newest values."""
    return ServerForm.for_profile(server_by_id(app, server_id).profile)


# Actions on a server


@router.get("/{id}/menu")
async def show_menu(app: AppDep, views: ViewsDep, server_id: ServerId) -> Response:
    """Show the items of a server's menu in the list, when it opens."""
    return fragments_response(views.server_menu(server_by_id(app, server_id)))


@router.post("/{id}/move")
async def move_server(
    app: AppDep, responder: ResponderDep, server_id: ServerId, before: Annotated[str, Form()] = ""
) -> Response:
    """Move a server before another one, or to the end."""
    follower = server_by_id(app, before).id if before else None
    await app.move_server(server_by_id(app, server_id).id, before=follower)
    return responder.same_page()


@router.post("/{id}/up")
async def move_up(app: AppDep, responder: ResponderDep, server_id: ServerId) -> Response:
    await app.move_server_by(server_by_id(app, server_id).id, places=-1)
    return responder.same_page()


@router.post("/{id}/down")
async def move_down(app: AppDep, responder: ResponderDep, server_id: ServerId) -> Response:
    await app.move_server_by(server_by_id(app, server_id).id, places=1)
    return responder.same_page()


@router.get("/{id}/remove")
async def ask_to_remove(app: AppDep, views: ViewsDep, server_id: ServerId) -> Response:
    server = server_by_id(app, server_id)
    return views.render("remove.html", page=get_page_context(app), server=server)


@router.post("/{id}/remove")
async def remove_server(app: AppDep, responder: ResponderDep, server_id: ServerId) -> Response:
    # Sent twice, the second request finds the server removed, as intended.
    with suppress(ServerNotFound):
        await app.remove_server(server_by_id(app, server_id).id)
    return responder.to_servers(f"?removed={quote(server_id)}")


@router.post("/{id}/restore")
async def restore_server(
    app: AppDep, views: ViewsDep, responder: ResponderDep, server_id: ServerId
) -> Response:
    await app.restore_server(server_id)
    return responder.same_page(views.removal_fragment("removed"))


@router.post("/{id}/use")
async def use_server(
    app: AppDep,
    responder: ResponderDep,
    server_id: ServerId,
    force: Annotated[bool, Query()] = False,
    home: Annotated[bool, Query()] = False,
) -> Response:
    """Switch to a server; with `home` its home is shown, whatever page asked."""
    server = server_by_id(app, server_id)
    try:
        await app.switch_to(server.id, force=force)
    except ServerUnhealthy as exc:
        reason = health_sentence(server_by_id(app, server_id).health)
        alert = Alert(
            text=f"{server.name} is unhealthy: {reason}",
            retry=f"/servers/{server.id}/use?force=true{'&home=true' if home else ''}",
            retry_label="Switch anyway",
        )
        return responder.refused(alert, exc)
    except Superseded:
        return responder.superseded(server.id)
    return await responder.after_switch(server.id, to_home=home)


@router.post("/{id}/default")
async def set_default(app: AppDep, responder: ResponderDep, server_id: ServerId) -> Response:
    await app.set_default(server_by_id(app, server_id).id)
    return responder.same_page()


@router.post("/{id}/default/clear")
async def clear_default(app: AppDep, responder: ResponderDep, server_id: ServerId) -> Response:
    # Only this one: another tab may have chosen another default meanwhile.
    await app.clear_default(server_by_id(app, server_id).id)
    return responder.same_page()


@router.post("/{id}/check")
async def check_server(
    app: AppDep, views: ViewsDep, responder: ResponderDep, server_id: ServerId
) -> Response:
    server = await app.check(server_by_id(app, server_id).id)
    if responder.path == server_address(server.id):
        html = views.health_fragment(server, app.recent_checks(server.id))
    else:
        html = views.server_row_fragments([server])
    return responder.same_page(html + views.switcher_item_fragments([server]))


@router.post("/check")
async def check_all(app: AppDep, views: ViewsDep, responder: ResponderDep) -> Response:
    servers = await app.check_all()
    html = views.server_row_fragments(servers) + views.switcher_item_fragments(servers)
    return responder.same_page(html)
