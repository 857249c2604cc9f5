"""How a page's form is answered: htmx gets the parts that change, a browser alone gets a page."""

import re
from dataclasses import dataclass, replace
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
from codewalk.web.page_context import (
    Alert,
    HomeContext,
    HomeQuery,
    get_page_context,
    load_home_context,
)
from codewalk.web.problems import status_of
from codewalk.web.views import Views

SERVERS: Final = "/servers"

_OF_A_SERVER: Final = re.compile(r"/servers/(?!new$)[^/]+")


def page_of(server_id: str) -> str:
    """The address of the page that tells how a server is and has been."""
    return f"{SERVERS}/{server_id}"


def home_of(server_id: str) -> str:
    """The address of a server's home."""
    return f"/s/{server_id}/"


def address_of(home: HomeContext) -> str:
    """The address of just what is shown there."""
    return home_of(home.server.id) + home.wanted.query()


def page_address(text: str) -> SplitResult:
    """The address of a page as a header tells it; an empty one where that is none."""
    try:
        return urlsplit(text)
    except ValueError:
        return urlsplit("")


def is_htmx(connection: HTTPConnection) -> bool:
    return connection.headers.get("hx-request") == "true"


def parts(html: str, status: int = 200, **headers: str) -> HTMLResponse:
    """Parts of a page for htmx, which leaves the address as it is unless a header says otherwise.

    A form that htmx sends would else put its own address into the browser's history. Headers are
    named as `push_url` for `HX-Push-Url`.
    """
    if not headers.keys() & {"push_url", "replace_url"}:
        headers["push_url"] = "false"
    named = {f"HX-{name.replace('_', '-')}": value for name, value in headers.items()}
    return HTMLResponse(html, status, headers=named)


@dataclass(frozen=True, kw_only=True, slots=True)
class Responder:
    """The answers to one request. `path` is that of the page which asks, empty where unknown."""

    app: App
    views: Views
    htmx: bool
    path: str

    def servers(self, query: str = "") -> Response:
        """To the list of servers."""
        if self.htmx:
            return Response(status_code=204, headers={"HX-Redirect": SERVERS + query})
        return RedirectResponse(SERVERS + query, 303)

    def done(self, html: str = "") -> Response:
        """On the same page, which hears of the change through its event stream.

        A browser alone gets the page of the server that asked, else the list.
        """
        if self.htmx:
            return parts(self.views.alert_fragment(None) + html)
        of_a_server = _OF_A_SERVER.fullmatch(self.path)
        return RedirectResponse(self.path if of_a_server else SERVERS, 303)

    async def switched(self, server_id: str) -> Response:
        """On the page of the server that is active now, unless the page belongs to no server."""
        elsewhere = self.path and not self.path.startswith("/s/")
        if not self.htmx:
            return self.done() if elsewhere else RedirectResponse(home_of(server_id), 303)
        if elsewhere:
            button = self.views.switcher_button_fragment(get_page_context(self.app))
            return self._of_the_active(self.views.alert_fragment(None) + button)
        try:
            home = await load_home_context(self.app, server_id, HomeQuery())
        except Superseded:
            return self.done()  # the event stream leads to the one after
        return self._whole(home, home_of(server_id), within=False)

    def home(self, home: HomeContext) -> Response:
        """The home, as the answer to a link."""
        if self.htmx:
            within = self.path == home_of(home.server.id)
            return self._whole(home, address_of(home), within=within)
        return self.views.home_page(get_page_context(self.app), home)

    def at_home(self, home: HomeContext) -> Response:
        """The home, after a change of what is there."""
        if self.htmx:
            html = self.views.home_fragments(get_page_context(self.app), home, within=True)
            return self._of_the_active(html, replace_url=address_of(home))
        return RedirectResponse(address_of(home), 303)

    def not_made(self, home: HomeContext, title: str, exc: CodeWalkError) -> Response:
        """The home, as a page that says why there is no such session, with its title kept."""
        notice = Alert(text=exc.message)
        home, status = replace(home, title=title), status_of(type(exc))
        return self.views.home_page(get_page_context(self.app), home, status=status, notice=notice)

    def around(self, home: HomeContext) -> Response:
        if self.htmx:
            return self._of_the_active(
                self.views.alert_fragment(None) + self.views.project_and_model_fragments(home)
            )
        return RedirectResponse(address_of(home), 303)

    def sessions(self, home: HomeContext) -> Response:
        if self.htmx:
            html = self.views.session_list_fragment(home)
            return self._of_the_active(html, replace_url=address_of(home))
        if home.trouble:
            return self.views.home_page(get_page_context(self.app), home)
        return RedirectResponse(address_of(home), 303)

    def too_late(self, server_id: str, exc: Superseded | None = None) -> Response:
        """To what was asked of a server that isn't active any more; the event stream leads on.

        A form that was sent too late is told so; one that a switch came in between isn't.
        """
        if not self.htmx:
            return RedirectResponse(home_of(server_id), 303)
        if exc and exc.value:
            return parts(self.views.alert_fragment(Alert(text=exc.message)))
        return Response(status_code=204)

    def refused(self, notice: Alert, exc: CodeWalkError) -> Response:
        if self.htmx:
            return parts(self.views.alert_fragment(notice))
        frame = get_page_context(self.app)
        return self.views.servers_page(frame, status=status_of(type(exc)), notice=notice)

    def looked(self, found: HealthStatus) -> Response:
        if self.htmx:
            return parts(self.views.local_check_fragment(self.app.drafts.default_url, found))
        return self.views.servers_page(get_page_context(self.app), looked=found)

    def form(self, form: ServerForm) -> Response:
        if self.htmx:
            return parts(self.views.form_fragment(form))
        form, status = form.for_new_page(), 422 if form.errors else 200
        frame = get_page_context(self.app)
        return self.views.page("server_form.html", status=status, frame=frame, form=form)

    def _of_the_active(self, html: str, **headers: str) -> Response:
        """Parts that show the active server; a page that knows of a later switch drops them."""
        return parts(html, 200, generation=str(self.app.generation.number), **headers)

    def _whole(self, home: HomeContext, address: str, *, within: bool) -> Response:
        """Parts that make a home of the page which asks, with an address and title of its own.

        htmx takes a title only from what it would also swap in; there is nothing beside the parts.
        """
        html = self.views.home_fragments(get_page_context(self.app), home, within=within)
        return self._of_the_active(html, push_url=address, reswap="innerHTML")


def _answers(request: Request, app: AppDep, views: ViewsDep) -> Responder:
    page = request.headers.get("hx-current-url") or request.headers.get("referer", "")
    return Responder(app=app, views=views, htmx=is_htmx(request), path=page_address(page).path)


ResponderDep = Annotated[Responder, Depends(_answers)]
