"""Routes of the HTTP API, under `/api/v1`: each is one use case."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import orjson
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
    ServerSessionQuery,
    SessionQuery,
    Snooze,
    WorkQuery,
)
from codewalk.web.responses import (
    HealthzBody,
    HistoryBody,
    ModelListBody,
    NoDefaultBody,
    ProjectListBody,
    RemovedBody,
    ServerBody,
    SessionBody,
    SessionListBody,
)

PREFIX: Final = "/api/v1"

router = APIRouter(prefix=PREFIX)


def _json(body: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    # The response models are for the document alone: validating a long list would be slow.
    content = orjson.dumps(body)
    return Response(content, status, headers=headers, media_type="application/json")


# Servers


@router.get("/servers", response_model=list[ServerBody])
async def list_servers(app: AppDep) -> Response:
    """Return all servers, in list order."""
    return _json([server.to_json() for server in app.servers()])


@router.post("/servers", response_model=ServerBody, status_code=201)
async def add_server(app: AppDep, body: NewServer) -> Response:
    """Check a server, then save it; the first one becomes active."""
    server = await app.add_server(body.url, label=body.label, check=body.check, **body.credentials)
    headers = {"location": f"{PREFIX}/servers/{server.id}"}
    return _json(server.to_json(), status=201, headers=headers)


@router.get("/servers/{id}", response_model=ServerBody)
async def show_server(app: AppDep, server_id: ServerId) -> Response:
    """Return one server."""
    return _json(server_by_id(app, server_id).to_json())


@router.patch("/servers/{id}", response_model=ServerBody)
async def edit_server(app: AppDep, server_id: ServerId, body: ServerChange) -> Response:
    """Change what the body names, leave the rest.

    409 `edit_conflict` if the URL or credentials were changed while the new ones were checked.
    """
    server_id = server_by_id(app, server_id).id
    server = await app.edit_server(server_id, body.to_change(), check=body.check)
    return _json(server.to_json())


@router.delete("/servers/{id}", response_model=RemovedBody)
async def remove_server(app: AppDep, server_id: ServerId) -> Response:
    """Remove a server, its password and all values stored for it."""
    removed = await app.remove_server(server_by_id(app, server_id).id)
    return _json(removed.to_json())


@router.post("/servers/{id}/restore", response_model=ServerBody)
async def restore_server(app: AppDep, server_id: ServerId) -> Response:
    """Undo a removal, within ten seconds and only in the app that removed the server."""
    server = await app.restore_server(server_id)
    return _json(server.to_json())


@router.post("/servers/{id}/move", response_model=ServerBody)
async def move_server(app: AppDep, server_id: ServerId, body: ServerMove) -> Response:
    """Move a server before another one in the list, or to its end."""
    before = None if body.before is None else server_by_id(app, body.before).id
    server = await app.move_server(server_by_id(app, server_id).id, before=before)
    return _json(server.to_json())


@router.post("/servers/{id}/check", response_model=ServerBody)
async def check_server(app: AppDep, server_id: ServerId) -> Response:
    """Check a server now; that it is unhealthy is a result, not an error."""
    server = await app.check(server_by_id(app, server_id).id)
    return _json(server.to_json())


@router.get("/servers/{id}/history", response_model=HistoryBody)
async def show_history(
    app: AppDep, server_id: ServerId, query: Annotated[HistoryQuery, Query()]
) -> Response:
    """Return a server's uptime, transitions, counts by the minute, and last checks."""
    now = datetime.now(UTC)
    since = None if query.since is None else parse_since(query.since, now)
    until = None if query.until is None else parse_moment(query.until, now)
    server = server_by_id(app, server_id)
    pieces = await app.encoded_history(server.id, since=since, until=until)
    # Each piece is made in a thread, while the one before is on its way.
    return StreamingResponse(pieces, media_type="application/json")


@router.put("/servers/{id}/snooze", response_model=ServerBody)
async def snooze_server(app: AppDep, server_id: ServerId, body: Snooze) -> Response:
    """Mute toasts, desktop notifications and hooks of a server until a time."""
    server = await app.snooze(server_by_id(app, server_id).id, body.until)
    return _json(server.to_json())


@router.delete("/servers/{id}/snooze", response_model=ServerBody)
async def unsnooze_server(app: AppDep, server_id: ServerId) -> Response:
    """Unmute a server."""
    server = await app.snooze(server_by_id(app, server_id).id, None)
    return _json(server.to_json())


@router.get("/servers/{id}/sessions", response_model=SessionListBody)
async def list_server_sessions(
    app: AppDep, server_id: ServerId, query: Annotated[ServerSessionQuery, Query()]
) -> Response:
    """Return the sessions of a server, active or not, newest first."""
    work = app.work.on(server_by_id(app, server_id).id)
    sessions = await work.sessions(query.directory, archived=query.archived, cached=query.cached)
    return _json(sessions.to_json())


# The active and the default server


@router.get("/active", response_model=ServerBody)
async def show_active(app: AppDep) -> Response:
    """Return the active server."""
    server = app.active()
    if server is None:
        raise NoActiveServer("There is no active server; add one first.")
    return _json(server.to_json())


@router.put("/active", response_model=ServerBody)
async def switch(app: AppDep, body: ActiveChoice) -> Response:
    """Make a server active; refused if it is unhealthy, unless forced."""
    server = await app.switch_to(server_by_id(app, body.id).id, force=body.force)
    return _json(server.to_json())


@router.get("/default", response_model=ServerBody | NoDefaultBody)
async def show_default(app: AppDep) -> Response:
    """Return the default server, or `{"default": null}`."""
    server = app.default()
    return _json(server.to_json() if server else {"default": None})


@router.put("/default", response_model=ServerBody)
async def set_default(app: AppDep, body: DefaultChoice) -> Response:
    """Make a server the default: the one that is active after a start."""
    server = await app.set_default(server_by_id(app, body.id).id)
    return _json(server.to_json())


@router.delete("/default", response_model=NoDefaultBody)
async def clear_default(app: AppDep) -> Response:
    """Leave no server as the default."""
    await app.clear_default()
    return _json({"default": None})


# The work on the active server


@router.get("/sessions", response_model=SessionListBody)
async def list_sessions(app: AppDep, query: Annotated[SessionQuery, Query()]) -> Response:
    """Return the active server's sessions, newest first."""
    sessions = await app.work.sessions(
        query.directory, archived=query.archived, cached=query.cached, server_id=query.server_id
    )
    return _json(sessions.to_json())


@router.post("/sessions", response_model=SessionBody, status_code=201)
async def create_session(app: AppDep, body: NewSession) -> Response:
    """Create a session on the active server, if that is the intended one."""
    session = await app.work.new_session(body.directory, title=body.title, server_id=body.server_id)
    return _json(session.to_json(), status=201)


@router.get("/projects", response_model=ProjectListBody)
async def list_projects(app: AppDep, query: Annotated[WorkQuery, Query()]) -> Response:
    """Return the active server's projects, the last used first."""
    projects = await app.work.projects(cached=query.cached, server_id=query.server_id)
    return _json(projects.to_json())


@router.get("/models", response_model=ModelListBody)
async def list_models(app: AppDep, query: Annotated[WorkQuery, Query()]) -> Response:
    """Return the models of the active server's connected providers, and the selected one."""
    models = await app.work.models(cached=query.cached, server_id=query.server_id)
    return _json(models.to_json())


# The app


@router.get("/events", response_class=EventSourceResponse)
async def stream_events(
    app: AppDep, queue: EventQueueDep, streams: StreamsDep
) -> AsyncIterator[ServerSentEvent]:
    """Server-sent events: `servers`, `health`, `active`, `sessions`.

    Each stream begins with `servers` and `active`, so that a client that reconnects is up to date;
    the same two are sent to a client that was too slow and has missed some.
    """
    async for event in api_events(app, queue, streams):
        yield event


@router.get("/healthz", response_model=HealthzBody)
async def healthz() -> Response:
    """Return that this is CodeWalk, and its version; needs no token."""
    return _json({"ok": True, "version": codewalk.__version__})


@router.get("/openapi.json", include_in_schema=False)
async def openapi(request: Request) -> JSONResponse:
    return JSONResponse(request.app.state.openapi())
