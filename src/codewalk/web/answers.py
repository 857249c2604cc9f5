"""How a page's form is answered: htmx gets the parts that change, a browser alone gets a page."""

from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from codewalk.app import App
from codewalk.errors import CodeWalkError
from codewalk.web.deps import Core, Views
from codewalk.web.forms import ServerForm
from codewalk.web.problems import status_of
from codewalk.web.views import Notice, Snapshot, take_servers, take_snapshot
from codewalk.web.views import Views as Rendering

HOME = "/servers"


def is_htmx(request: Request) -> bool:
    return request.headers.get("hx-request") == "true"


@dataclass(frozen=True, kw_only=True, slots=True)
class Answers:
    """The answers to one request."""

    app: App
    views: Rendering
    htmx: bool
    at_home: bool
    """Whether the page that asks is the list of servers."""

    def home(self) -> Response:
        """To the list of servers."""
        if self.htmx:
            return Response(status_code=204, headers={"HX-Redirect": HOME})
        return RedirectResponse(HOME, 303)

    def done(self, parts: str = "") -> Response:
        """On the same page, which hears of the change through its event stream."""
        if self.htmx:
            return HTMLResponse(self.views.live_notice(None) + parts)
        return RedirectResponse(HOME, 303)

    def switched(self) -> Response:
        """To the page of the server that is active now."""
        return self.done() if self.at_home else self.home()

    def sessions(self, shown: Snapshot) -> Response:
        if self.htmx:
            return HTMLResponse(self.views.live_sessions(shown))
        return self.views.servers_page(shown) if shown.trouble else RedirectResponse(HOME, 303)

    async def refused(self, notice: Notice, exc: CodeWalkError) -> Response:
        if self.htmx:
            return HTMLResponse(self.views.live_notice(notice))
        shown = await take_snapshot(self.app)
        return self.views.servers_page(shown, status=status_of(type(exc)), notice=notice)

    def form(self, form: ServerForm) -> Response:
        if self.htmx:
            return HTMLResponse(self.views.live_form(form))
        form, status = form.on_a_new_page(), 422 if form.errors else 200
        shown = take_servers(self.app)
        return self.views.page("server_form.html", status=status, shown=shown, form=form)


def _answers(request: Request, app: Core, views: Views) -> Answers:
    at_home = urlsplit(request.headers.get("hx-current-url", "")).path == HOME
    return Answers(app=app, views=views, htmx=is_htmx(request), at_home=at_home)


Answering = Annotated[Answers, Depends(_answers)]
