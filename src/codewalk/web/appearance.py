"""The choice between light and dark."""

from typing import Annotated, Final

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response
from starlette.routing import Match

from codewalk.web.dependencies import ViewsDep
from codewalk.web.page_responses import is_htmx, page_address, parts
from codewalk.web.theme import Theme, keep

router: Final = APIRouter(include_in_schema=False)


@router.post("/appearance")
async def choose(request: Request, views: ViewsDep, theme: Annotated[Theme, Form()]) -> Response:
    response: Response
    if is_htmx(request):
        response = parts(views.appearance_fragment(theme))
    else:
        response = RedirectResponse(_back(request), 303)
    keep(response, theme)
    return response


def _back(request: Request) -> str:
    """The page that the form is on, if it is one of ours that can be asked for again."""
    came = page_address(request.headers.get("referer", ""))
    asked = {"type": "http", "method": "GET", "path": came.path, "root_path": ""}
    ours = came.netloc == request.headers.get("host")
    if not ours or not any(route.matches(asked)[0] is Match.FULL for route in request.app.routes):
        return "/"
    return came.path + (f"?{came.query}" if came.query else "")
