"""Responses to the forms and links of pages: fragments for htmx, else a page or a redirect."""

import re
from dataclasses import dataclass
from typing import Annotated, Final
from urllib.parse import SplitResult, urlsplit

from fastapi import Depends, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.requests import HTTPConnection

from codewalk.app.app import App
from codewalk.errors import CodeWalkError, Superseded
from codewalk.health.status import HealthStatus
from codewalk.web.dependencies import AppDep, ViewsDep
from codewalk.web.forms import ServerForm
from codewalk.web.home_context import HomeContext, HomeQuery, load_home_context
from codewalk.web.page_context import Alert, get_page_context
from codewalk.web.problems import status_of
from codewalk.web.views import Views
from codewalk.workspace.session_creation import CreatedSession

SERVERS: Final = "/servers"

_SERVER_PAGE: Final = re.compile(r"/servers/(?!new$)[^/]+")


def server_address(server_id: str) -> str:
    """Return the address of a server's page, with its health and history."""
    return f"{SERVERS}/{server_id}"


def home_address(server_id: str) -> str:
    """Return the address of a server's home."""
    return f"/s/{server_id}/"


def parse_page_address(text: str) -> SplitResult:
    """Return the address of a page in a header; an empty one for what is no address."""
    try:
        return urlsplit(text)
    except ValueError:
        return urlsplit("")


def is_htmx(connection: HTTPConnection) -> bool:
    """Return whether a request was made by htmx, which takes fragments."""
    return connection.headers.get("hx-request") == "true"


def fragments_response(html: str, status: int = 200, **headers: str) -> HTMLResponse:
    """Return fragments for htmx; they leave the page's address as it is unless a header changes it.

    Without that, htmx would put the address of a form into the browser's history. Headers are named
    without their prefix: `push_url` for `HX-Push-Url`.
    """
    if not headers.keys() & {"push_url", "replace_url"}:
        headers["push_url"] = "false"
    hx_headers = {f"HX-{name.replace('_', '-')}": value for name, value in headers.items()}
    return HTMLResponse(html, status, headers=hx_headers)


@dataclass(frozen=True, kw_only=True, slots=True)
class Responder:
    """Makes the responses to one request.

    Attributes:
        app: The app.
        views: The views in the browser's theme.
        htmx: Whether htmx made the request.
        path: The path of the page that made the request; empty where it isn't known.
    """

    app: App
    views: Views
    htmx: bool
    path: str

    def to_servers(self, query: str = "") -> Response:
        """Lead to the list of servers."""
        return self._to(SERVERS + query)

    def same_page(self, fragments: str = "") -> Response:
        """Stay on the page, which gets the change by its event stream.

        A browser without scripts gets the server's page if it was there, else the list.
        """
        if self.htmx:
            return fragments_response(self.views.alert_fragment(None) + fragments)
        is_server_page = _SERVER_PAGE.fullmatch(self.path)
        return RedirectResponse(self.path if is_server_page else SERVERS, 303)

    async def after_switch(self, server_id: str, *, to_home: bool = False) -> Response:
        """Show the home of the new active server.

        Pages that belong to no server stay unless `to_home` leads them there.
        """
        if to_home:
            return self._to(home_address(server_id))
        belongs_to_none = self.path and not self.path.startswith("/s/")
        if not self.htmx:
            if belongs_to_none:
                return self.same_page()
            return RedirectResponse(home_address(server_id), 303)
        if belongs_to_none:
            button = self.views.switcher_fragments(get_page_context(self.app))
            return self._for_active(self.views.alert_fragment(None) + button)
        try:
            home = await load_home_context(self.app, server_id, HomeQuery())
        except Superseded:
            return self.same_page()  # the event stream leads to the server of the later switch
        return self._new_home(home, home_address(server_id), within=False)

    def home(self, home: HomeContext) -> Response:
        """Show a home, as the response to a link."""
        if self.htmx:
            within = self.path == home_address(home.server.id)
            return self._new_home(home, _address_of(home), within=within)
        return self.views.home_page(get_page_context(self.app), home)

    def session_created(self, home: HomeContext, created: CreatedSession) -> Response:
        """Show a home after a session was created from it."""
        page = get_page_context(self.app)
        alert = None
        if created.was_found:
            alert = Alert(text=f"{home.server.name} didn't answer, but the session was created.")
        if self.htmx:
            html = self.views.home_fragments(page, home, within=True, alert=alert)
            return self._for_active(html, replace_url=_address_of(home))
        if alert:
            return self.views.home_page(page, home, alert=alert)
        return RedirectResponse(_address_of(home), 303)

    def session_not_created(self, home: HomeContext, exc: CodeWalkError) -> Response:
        """Show the home as a page with the reason, and with what was typed."""
        alert, status = Alert(text=exc.message), status_of(type(exc))
        return self.views.home_page(get_page_context(self.app), home, status=status, alert=alert)

    def projects_and_models(self, home: HomeContext) -> Response:
        """Show the projects and the models of a home."""
        if self.htmx:
            html = self.views.project_and_model_fragments(home)
            return self._for_active(self.views.alert_fragment(None) + html)
        return RedirectResponse(_address_of(home), 303)

    def sessions(self, home: HomeContext) -> Response:
        """Show the sessions of a home."""
        if self.htmx:
            html = self.views.session_list_fragment(home)
            return self._for_active(html, replace_url=_address_of(home))
        if home.problem:
            return self.views.home_page(get_page_context(self.app), home)
        return RedirectResponse(_address_of(home), 303)

    def superseded(self, server_id: str, exc: Superseded | None = None) -> Response:
        """Answer what was meant for a server that isn't active any more.

        A form that was sent too late gets the reason; after a switch during the request the event
        stream leads to the active server.
        """
        if not self.htmx:
            return RedirectResponse(home_address(server_id), 303)
        if exc and exc.value:
            return fragments_response(self.views.alert_fragment(Alert(text=exc.message)))
        return Response(status_code=204)

    def refused(self, alert: Alert, exc: CodeWalkError) -> Response:
        """Show why something was refused, with a way to insist."""
        if self.htmx:
            return fragments_response(self.views.alert_fragment(alert))
        page, status = get_page_context(self.app), status_of(type(exc))
        return self.views.servers_page(page, status=status, alert=alert)

    def local_check(self, status: HealthStatus) -> Response:
        """Show the result of a check of the default address."""
        if self.htmx:
            html = self.views.local_check_fragment(self.app.drafts.default_url, status)
            return fragments_response(html)
        return self.views.servers_page(get_page_context(self.app), local_status=status)

    def form(self, form: ServerForm) -> Response:
        """Show the form of a server."""
        if self.htmx:
            return fragments_response(self.views.form_fragment(form))
        form, status = form.for_new_page(), 422 if form.errors else 200
        page = get_page_context(self.app)
        return self.views.render("server_form.html", status=status, page=page, form=form)

    def _to(self, address: str) -> Response:
        """Lead to another page."""
        if self.htmx:
            return Response(status_code=204, headers={"HX-Redirect": address})
        return RedirectResponse(address, 303)

    def _for_active(self, fragments: str, **headers: str) -> Response:
        """Return fragments of the active server, which a page drops after a later switch."""
        generation = str(self.app.generation.number)
        return fragments_response(fragments, 200, generation=generation, **headers)

    def _new_home(self, home: HomeContext, address: str, *, within: bool) -> Response:
        """Return fragments that turn the page into this home, with its address and title.

        htmx takes a title only from what it would swap in, so there is a swap of nothing.
        """
        html = self.views.home_fragments(get_page_context(self.app), home, within=within)
        return self._for_active(html, push_url=address, reswap="innerHTML")


def _address_of(home: HomeContext) -> str:
    """Return the address of a home with its directory, search and page."""
    return home_address(home.server.id) + home.query.query_string()


def _responder(request: Request, app: AppDep, views: ViewsDep) -> Responder:
    page = request.headers.get("hx-current-url") or request.headers.get("referer", "")
    path = parse_page_address(page).path
    return Responder(app=app, views=views, htmx=is_htmx(request), path=path)


ResponderDep = Annotated[Responder, Depends(_responder)]
