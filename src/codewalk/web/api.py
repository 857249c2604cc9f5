"""The HTTP API of the local app, under `/api/v1`: the use cases, and nothing but them."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent

import codewalk
from codewalk.errors import NoActiveServer
from codewalk.history.window import parse_moment, parse_since
from codewalk.web.dependencies import AppDep, EventQueueDep, ServerId, StreamsDep, server_by_id
from codewalk.web.event_streams import api_events
from codewalk.web.requests import (
    ActiveChoice,
    DefaultChoice,
    HistoryQuery,
    NewServer,
    NewSession,
    ServerChange,
    ServerMove,
    SessionQuery,
    Snooze,
    WorkQuery,
)
from codewalk.web.responses import (
    Alive,
    HistoryBody,
    ModelListBody,
    NoDefault,
    ProjectListBody,
    RemovedBody,
    ServerBody,
    SessionBody,
    SessionListBody,
)

PREFIX: Final = "/api/v1"


router = APIRouter(prefix=PREFIX)


# Which servers there are


@router.get("/servers", response_model=list[ServerBody])
async def list_servers(app: AppDep) -> Any:
    """All servers, in list order."""
    return [server.to_json() for server in app.servers()]


@router.post("/servers", response_model=ServerBody, status_code=201)
async def add_server(app: AppDep, body: NewServer, response: Response) -> Any:
    """Checks a server, then saves it; the first one becomes active."""
    server = await app.add_server(body.url, label=body.label, check=body.check, **body.credentials)
    response.headers["location"] = f"{PREFIX}/servers/{server.id}"
    return server.to_json()


@router.get("/servers/{id}", response_model=ServerBody)
async def show_server(app: AppDep, server_id: ServerId) -> Any:
    """One server."""
    return server_by_id(app, server_id).to_json()


@router.patch("/servers/{id}", response_model=ServerBody)
async def edit_server(app: AppDep, server_id: ServerId, body: ServerChange) -> Any:
    """Changes what the body names, leaves the rest."""
    server = await app.edit_server(
        server_by_id(app, server_id).id, body.to_change(), check=body.check
    )
    return server.to_json()


@router.delete("/servers/{id}", response_model=RemovedBody)
async def remove_server(app: AppDep, server_id: ServerId) -> Any:
    """Removes a server, its password and all state kept for it."""
    removed = await app.remove_server(server_by_id(app, server_id).id)
    return removed.to_json()


@router.post("/servers/{id}/restore", response_model=ServerBody)
async def restore_server(app: AppDep, server_id: ServerId) -> Any:
    """Undoes a removal, for ten seconds after it, and only in the app that removed the server."""
    server = await app.restore_server(server_id)
    return server.to_json()


@router.post("/servers/{id}/move", response_model=ServerBody)
async def move_server(app: AppDep, server_id: ServerId, body: ServerMove) -> Any:
    """Puts a server right before another in the list, or at its end."""
    before = None if body.before is None else server_by_id(app, body.before).id
    server = await app.move_server(server_by_id(app, server_id).id, before=before)
    return server.to_json()


@router.post("/servers/{id}/check", response_model=ServerBody)
async def check_server(app: AppDep, server_id: ServerId) -> Any:
    """Checks a server now. That it is unhealthy is an answer, not an error."""
    server = await app.check(server_by_id(app, server_id).id)
    return server.to_json()


@router.get("/servers/{id}/history", response_model=HistoryBody)
async def show_history(
    app: AppDep, server_id: ServerId, query: Annotated[HistoryQuery, Query()]
) -> Any:
    """A server's uptime, transitions, counts by the minute, and last checks."""
    now = datetime.now(UTC)
    since = None if query.since is None else parse_since(query.since, now)
    until = None if query.until is None else parse_moment(query.until, now)
    server = server_by_id(app, server_id)
    pieces = await app.encoded_history(server.id, since=since, until=until)
    # Each piece is made in a thread, while the one before is on its way.
    return StreamingResponse(pieces, media_type="application/json")


@router.put("/servers/{id}/snooze", response_model=ServerBody)
async def snooze_server(app: AppDep, server_id: ServerId, body: Snooze) -> Any:
    """Has nothing told of a server until a moment: no toast, no notification, no hook."""
    server = await app.snooze(server_by_id(app, server_id).id, body.until)
    return server.to_json()


@router.delete("/servers/{id}/snooze", response_model=ServerBody)
async def wake_server(app: AppDep, server_id: ServerId) -> Any:
    """Has everything told of a server again."""
    server = await app.snooze(server_by_id(app, server_id).id, None)
    return server.to_json()


# Which one is what


@router.get("/active", response_model=ServerBody)
async def show_active(app: AppDep) -> Any:
    """The active server."""
    server = app.active()
    if server is None:
        raise NoActiveServer("There is no active server; add one first.")
    return server.to_json()


@router.put("/active", response_model=ServerBody)
async def switch(app: AppDep, body: ActiveChoice) -> Any:
    """Makes a server active; refused where it is unhealthy, unless forced."""
    server = await app.switch_to(server_by_id(app, body.id).id, force=body.force)
    return server.to_json()


@router.get("/default", response_model=ServerBody | NoDefault)
async def show_default(app: AppDep) -> Any:
    """The default server, or `{"default": null}`."""
    server = app.default()
    return server.to_json() if server else {"default": None}


@router.put("/default", response_model=ServerBody)
async def set_default(app: AppDep, body: DefaultChoice) -> Any:
    """Makes a server the one that is active after a start."""
    server = await app.set_default(server_by_id(app, body.id).id)
    return server.to_json()


@router.delete("/default", response_model=NoDefault)
async def clear_default(app: AppDep) -> Any:
    """Leaves no server as the default."""
    await app.clear_default()
    return {"default": None}


# What belongs to the active one


@router.get("/sessions", response_model=SessionListBody)
async def list_sessions(app: AppDep, query: Annotated[SessionQuery, Query()]) -> Any:
    """The active server's sessions, newest first."""
    found = await app.work.sessions(query.directory, cached=query.cached, server_id=query.server_id)
    return found.to_json()


@router.post("/sessions", response_model=SessionBody, status_code=201)
async def make_session(app: AppDep, body: NewSession) -> Any:
    """Makes a session on the active server, if that is the one that is meant."""
    session = await app.work.new_session(body.directory, title=body.title, server_id=body.server_id)
    return session.to_json()


@router.get("/projects", response_model=ProjectListBody)
async def list_projects(app: AppDep, query: Annotated[WorkQuery, Query()]) -> Any:
    """The active server's projects, the last one worked in first."""
    found = await app.work.projects(cached=query.cached, server_id=query.server_id)
    return found.to_json()


@router.get("/models", response_model=ModelListBody)
async def list_models(app: AppDep, query: Annotated[WorkQuery, Query()]) -> Any:
    """The models that the active server's connected providers offer, and the one selected."""
    found = await app.work.models(cached=query.cached, server_id=query.server_id)
    return found.to_json()


# What happens, and how to learn of it


@router.get("/events", response_class=EventSourceResponse)
async def follow(
    app: AppDep, queue: EventQueueDep, streams: StreamsDep
) -> AsyncIterator[ServerSentEvent]:
    """Server-sent events: `servers`, `health`, `active`, `sessions`.

    Each stream begins with `servers` and `active`, so that a client that reconnects catches up;
    the same two come where a slow client has missed some.
    """
    async for event in api_events(app, queue, streams):
        yield event


@router.get("/healthz", response_model=Alive)
async def healthz() -> Any:
    """Whether this is CodeWalk, and which; needs no token."""
    return {"ok": True, "version": codewalk.__version__}


@router.get("/openapi.json", include_in_schema=False)
async def openapi(request: Request) -> JSONResponse:
    return JSONResponse(request.app.state.openapi())
