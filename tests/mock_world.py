"""The state behind a mock OpenCode server: its sessions, models, projects and events."""

import asyncio
import json
from dataclasses import dataclass
from itertools import count
from typing import Any

from aiohttp import web

from tests.mock_behaviours import Behaviour, json_reply

NOW = 1_795_395_853_000
"""The mock's clock starts here, in epoch milliseconds, and goes on by one with each session."""

OWN_PROJECT = "global"
"""The project in which the mock was started."""

PROVIDERS = {
    "providers": [
        {
            "id": "anthropic",
            "name": "Anthropic",
            "models": {
                "claude-sonnet": {"id": "claude-sonnet", "name": "Claude Sonnet"},
                "claude-haiku": {"id": "claude-haiku", "name": "Claude Haiku"},
            },
        },
        {"id": "local", "name": "Local", "models": {"tiny": {"id": "tiny", "name": "Tiny"}}},
    ],
    "default": {"anthropic": "claude-sonnet", "local": "tiny"},
}


@dataclass(frozen=True)
class _End:
    """Ends an event stream."""


class World:
    """The state behind one mock server; tests change it as they like."""

    def __init__(self, *, version: str, directory: str = "/srv/project") -> None:
        self.version = version
        self.directory = directory
        self.home = "/home/mock"
        self.sessions: list[dict[str, Any]] = []
        self.projects: list[dict[str, Any]] = []
        self.statuses: dict[str, dict[str, Any]] = {}
        self.providers: dict[str, Any] = PROVIDERS
        self.config: dict[str, Any] = {"$schema": "https://opencode.ai/config.json"}
        self.subscribed = asyncio.Event()
        self._numbers = count(1)
        self._streams: list[asyncio.Queue[dict[str, Any] | _End]] = []

    def add_session(
        self,
        title: str,
        *,
        directory: str | None = None,
        updated: int | None = None,
        project_id: str = OWN_PROJECT,
    ) -> dict[str, Any]:
        """Add a session as `GET /session` lists it; the last one added is the newest."""
        number = next(self._numbers)
        moment = NOW + number if updated is None else updated
        session = {
            "id": f"ses_{number:026d}",
            "slug": f"mock-{number}",
            "projectID": project_id,
            "directory": directory or self.directory,
            "title": title,
            "version": self.version,
            "time": {"created": moment, "updated": moment},
        }
        self.sessions.append(session)
        return session

    def add_project(self, directory: str) -> dict[str, Any]:
        """Add a project under version control; the last one added is the newest."""
        number = next(self._numbers)
        times = {"created": NOW, "updated": NOW + number}
        project = {"id": f"{number:040x}", "worktree": directory, "vcs": "git", "time": times}
        self.projects.append(project | {"sandboxes": []})
        return project

    def set_status(self, session: dict[str, Any], kind: str) -> None:
        """Make a session `busy` or `idle`, and emit the event."""
        status = {"type": kind}
        if kind == "idle":
            self.statuses.pop(session["id"], None)
        else:
            self.statuses[session["id"]] = status
        properties = {"sessionID": session["id"], "status": status}
        self.emit("session.status", properties, directory=session["directory"])

    def emit(self, kind: str, properties: dict[str, Any], *, directory: str = "global") -> None:
        """Send an event to every subscriber."""
        payload = {"id": f"evt_{next(self._numbers)}", "type": kind, "properties": properties}
        for stream in self._streams:
            stream.put_nowait({"directory": directory, "payload": payload})

    def end_streams(self) -> None:
        """End every event stream, as a server does that stops."""
        for stream in self._streams:
            stream.put_nowait(_End())

    def handler(self, method: str, path: str) -> Behaviour | None:
        """Return what a current release does at `path`, None where it has no such path."""
        handlers: dict[tuple[str, str], Behaviour] = {
            ("GET", "/global/health"): json_reply({"healthy": True, "version": self.version}),
            ("GET", "/path"): self._path,
            ("GET", "/config"): json_reply(self.config),
            ("GET", "/config/providers"): json_reply(self.providers),
            ("GET", "/project"): json_reply([self._project(), *self.projects]),
            ("GET", "/project/current"): json_reply(self._project()),
            ("GET", "/session"): self._list_sessions,
            ("POST", "/session"): self._create_session,
            ("GET", "/session/status"): self._list_statuses,
            ("GET", "/experimental/session"): self._list_all_sessions,
            ("GET", "/global/event"): self._stream_events,
            ("GET", "/event"): self._stream_flat_events,
        }
        return handlers.get((method, path))

    def _newest_first(self) -> list[dict[str, Any]]:
        return sorted(self.sessions, key=lambda s: int(s["time"]["updated"]), reverse=True)

    def _project(self) -> dict[str, Any]:
        times = {"created": NOW, "updated": NOW}
        return {"id": "global", "worktree": "/", "time": times, "sandboxes": []}

    async def _path(self, request: web.Request) -> web.StreamResponse:
        directory = self._directory(request)
        value = {
            "home": self.home,
            "state": f"{self.home}/.local/state/opencode",
            "config": f"{self.home}/.config/opencode",
            "worktree": "/",
            "directory": directory,
        }
        return web.json_response(value)

    async def _list_all_sessions(self, request: web.Request) -> web.StreamResponse:
        declared = {"directory", "roots", "start", "search", "limit", "cursor", "archived"}
        _refuse_undeclared(request, declared)
        sessions = self._newest_first()
        if request.query.get("archived") != "true":
            sessions = [s for s in sessions if "archived" not in s["time"]]
        if "cursor" in request.query:
            cursor = int(request.query["cursor"])
            sessions = [s for s in sessions if s["time"]["updated"] < cursor]
        return web.json_response(sessions[: int(request.query.get("limit", "100"))])

    async def _list_sessions(self, request: web.Request) -> web.StreamResponse:
        _refuse_undeclared(request, {"directory", "roots", "start", "search", "limit"})
        sessions = self._newest_first()
        if "directory" not in request.query:
            sessions = [s for s in sessions if s["projectID"] == OWN_PROJECT]
        if "directory" in request.query:
            sessions = [s for s in sessions if s["directory"] == request.query["directory"]]
        if "search" in request.query:
            text = request.query["search"].lower()
            sessions = [s for s in sessions if text in str(s["title"]).lower()]
        if "start" in request.query:
            sessions = [s for s in sessions if s["time"]["updated"] >= int(request.query["start"])]
        return web.json_response(sessions[: int(request.query.get("limit", "100"))])

    async def _create_session(self, request: web.Request) -> web.StreamResponse:
        _refuse_undeclared(request, {"directory"})
        body = json.loads(await request.read() or b"{}")
        title = str(body.get("title", "New session"))
        session = self.add_session(title, directory=self._directory(request))
        self.emit("session.created", {"info": session}, directory=session["directory"])
        return web.json_response(session)

    async def _list_statuses(self, request: web.Request) -> web.StreamResponse:
        ids = {s["id"] for s in self.sessions if s["directory"] == self._directory(request)}
        return web.json_response({key: s for key, s in self.statuses.items() if key in ids})

    async def _stream_events(self, request: web.Request) -> web.StreamResponse:
        return await self._stream(request, flat=False)

    async def _stream_flat_events(self, request: web.Request) -> web.StreamResponse:
        return await self._stream(request, flat=True)

    async def _stream(self, request: web.Request, *, flat: bool) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        stream: asyncio.Queue[dict[str, Any] | _End] = asyncio.Queue()
        connected = {"id": "evt_0", "type": "server.connected", "properties": {}}
        stream.put_nowait({"payload": connected})
        self._streams.append(stream)
        self.subscribed.set()
        try:
            while not isinstance(event := await stream.get(), _End):
                sent = event["payload"] if flat else event
                await response.write(f"data: {json.dumps(sent)}\n\n".encode())
        finally:
            self._streams.remove(stream)
        return response

    def _directory(self, request: web.Request) -> str:
        # The query wins over the header, the header over the server's own.
        named = request.query.get("directory") or request.headers.get("x-opencode-directory")
        return named or self.directory


def _refuse_undeclared(request: web.Request, declared: set[str]) -> None:
    undeclared = set(request.query) - declared
    if undeclared:
        raise web.HTTPBadRequest(text=f"undeclared: {sorted(undeclared)}")
