"""Values to HTML. What a server sent or a user typed is escaped here, and marked up nowhere."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final

from fastapi.responses import HTMLResponse
from jinja2 import DictLoader, Environment, StrictUndefined, Template
from markupsafe import Markup

import codewalk
from codewalk.app import App
from codewalk.errors import NoActiveServer, Superseded
from codewalk.health.status import HealthStatus, Reason, State, rfc3339
from codewalk.view import Server, in_switching_order
from codewalk.web.files import ADDRESSES, TEMPLATES
from codewalk.web.problems import Problem
from codewalk.workspace.sessions import SessionList

MAX_SESSIONS: Final = 100
"""Sessions on the page; the newest ones."""

MANY: Final = 8
"""Servers from which on their list can be searched."""

FRESH: Final = 15.0
"""Seconds for which a list that was fetched counts as what the server has now."""

SENTENCES: Final[Mapping[Reason, str]] = MappingProxyType(
    {
        Reason.OK: "Ready to use.",
        Reason.UNCHECKED: "Not checked yet.",
        Reason.REFUSED: "Nothing listens at this address.",
        Reason.TIMEOUT: "No answer in time.",
        Reason.DNS: "The host name isn't known.",
        Reason.TLS: "No secure connection could be made.",
        Reason.UNREACHABLE: "The server can't be reached.",
        Reason.AUTH_REQUIRED: "The server asks for a password, and none is stored.",
        Reason.AUTH_REJECTED: "The server refused the stored user name or password.",
        Reason.NOT_OPENCODE: "Something answers, but it isn't an OpenCode server.",
        Reason.SERVER_ERROR: "The server answered with an error of its own.",
        Reason.INCOMPATIBLE: "CodeWalk can't talk to this OpenCode release.",
        Reason.OFFLINE: "This machine has no network.",
    }
)
"""For a status without a detail of its own."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Snapshot:
    """Everything that the first page shows, taken at one moment: one server's sessions at most.

    `trouble` says why the sessions couldn't be fetched; `news` is about the managed local server.
    """

    servers: list[Server]
    active: Server | None
    sessions: SessionList | None
    generation: int
    trouble: str | None = None
    news: str | None = None

    @property
    def stamp(self) -> str:
        """Differs where what is shown differs, but for when servers were last checked."""
        fetched = self.sessions.fetched_at if self.sessions else None
        seen = [visible(server) for server in self.servers]
        told = repr((seen, self.generation, fetched, self.trouble, self.news))
        return hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()[:16]


async def take_snapshot(app: App, *, trouble: str | None = None) -> Snapshot:
    """What is, with the active server's sessions as last fetched. Raises `StorageError`."""
    sessions = await _cached_sessions(app)
    # Nothing is awaited from here on: all that is in a snapshot is of one moment.
    return Snapshot(
        servers=app.servers(),
        active=app.active(),
        sessions=sessions,
        generation=app.generation.number,
        trouble=trouble,
        news=app.local_news,
    )


async def _cached_sessions(app: App) -> SessionList | None:
    """The active server's, whichever that is once they are read; None without one."""
    while app.active():
        with suppress(Superseded, NoActiveServer):
            return await app.sessions(cached=True)
    return None


def take_servers(app: App) -> Snapshot:
    """What is, without the sessions."""
    return Snapshot(
        servers=app.servers(),
        active=app.active(),
        sessions=None,
        generation=app.generation.number,
        news=app.local_news,
    )


class Views:
    """The templates. The macros under `parts/` serve pages and live updates alike."""

    def __init__(self, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._now = now
        env = Environment(
            loader=DictLoader(TEMPLATES),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        env.filters |= {"age": age, "rfc3339": rfc3339, "sentence": sentence, "local_path": _short}
        env.filters["in_switching_order"] = in_switching_order
        env.globals |= {"asset": ADDRESSES, "many": MANY, "version": codewalk.__version__}
        self._templates = {name: env.get_template(name) for name in TEMPLATES}

    def page(self, name: str, *, status: int = 200, **values: Any) -> HTMLResponse:
        return HTMLResponse(
            self._templates[name].render({"notice": None, "now": self._now()} | values), status
        )

    def servers_page(
        self, shown: Snapshot, *, status: int = 200, notice: "Notice | None" = None
    ) -> HTMLResponse:
        values = {"shown": shown, "notice": notice, "sessions": self._sessions(shown)}
        return self.page("servers.html", status=status, **values)

    def error_page(self, problem: Problem) -> HTMLResponse:
        return self.page("error.html", status=problem.status, problem=problem)

    # Parts of a page, each in an envelope that tells htmx where it goes

    def live_servers(self, shown: Snapshot) -> str:
        parts = self._parts("parts/server.html")
        html = parts.server_list(shown, self._now())
        return _part("servers", html) + self.live_picks(shown.servers)

    def live_rows(self, servers: Iterable[Server]) -> str:
        """Each server's row in the list and its place in the switcher."""
        row, pick = self._parts("parts/server.html"), self._parts("parts/switcher.html")
        now = self._now()
        return "".join(
            _part(f"server-{s.id}", row.server_row(s, now)) + _part(f"pick-{s.id}", pick.pick(s))
            for s in servers
        )

    def live_picks(self, servers: Iterable[Server]) -> str:
        """All of the switcher's list, in its order."""
        html = self._parts("parts/switcher.html").picks(in_switching_order(servers))
        return _part("picks", html)

    def live_pulses(self, servers: Iterable[Server]) -> str:
        parts, now = self._parts("parts/server.html"), self._now()
        return "".join(_part(f"pulse-{s.id}", parts.pulse(s, now)) for s in servers)

    def live_sessions(self, shown: Snapshot) -> str:
        html = self._parts("parts/sessions.html").session_list(self._sessions(shown), self._now())
        return _part("sessions", html) + self._chrome(shown)

    def live_notice(self, notice: "Notice | None") -> str:
        return _part("notices", self._parts("parts/chrome.html").notices(notice))

    def live_form(self, form: Any) -> str:
        return _part("server-form", self._parts("parts/form.html").server_form(form))

    def _chrome(self, shown: Snapshot) -> str:
        return _part("active", self._parts("parts/switcher.html").button(shown.active))

    def _sessions(self, shown: Snapshot) -> dict[str, Any]:
        listing, active = shown.sessions, shown.active
        found = listing.sessions if listing else ()
        fetched = listing.fetched_at if listing else None
        fresh = fetched is not None and (self._now() - fetched).total_seconds() < FRESH
        down = active is not None and active.health.state is State.UNHEALTHY
        return {
            "active": active,
            "trouble": shown.trouble or (sentence(active.health) if active and down else None),
            "shown": found[:MAX_SESSIONS],
            "total": len(found),
            "fetched_at": fetched,
            "fresh": fresh,
            # Asked for once by the page itself; after a failure the user decides.
            "wanted": active is not None and not fresh and not down and not shown.trouble,
        }

    def _parts(self, name: str) -> Any:
        template: Template = self._templates[name]
        return template.module


@dataclass(frozen=True, kw_only=True, slots=True)
class Notice:
    """Something a user is told once; `retry` is where a form can insist, and `retry_label` how."""

    text: str
    retry: str | None = None
    retry_label: str = ""


def age(moment: datetime | None, now: datetime) -> str:
    """How long ago, in words; `static/app.js` counts on with the same ones."""
    if moment is None:
        return "never"
    seconds = int((now - moment).total_seconds())
    for limit, unit, word in ((60, 1, "s"), (3600, 60, "min"), (86_400, 3600, "h")):
        if seconds < limit:
            return "just now" if seconds < 3 else f"{seconds // unit} {word} ago"
    days = seconds // 86_400
    if days < 30:
        return f"{days} day{'s' if days > 1 else ''} ago"
    return moment.astimezone(UTC).strftime("%Y-%m-%d")


def sentence(health: HealthStatus) -> str:
    """Why a server is as it is, for a person."""
    return health.detail or SENTENCES[health.reason]


def visible(server: Server) -> tuple[object, ...]:
    """What a row shows, but for when the server was last checked and how fast it answered."""
    profile, health = server.profile, server.health
    return (
        *(profile.id, profile.url, profile.label, profile.managed, profile.updated_at),
        *(health.state, health.reason, health.detail, health.version),
        *(server.active, server.default),
    )


def _part(target: str, html: Markup) -> str:
    return f'<hx-partial hx-target="#{target}" hx-swap="outerMorph">{html}</hx-partial>'


def _short(directory: str) -> str:
    """The last two folders of a path; the whole is in the title."""
    parts = directory.rstrip("/").rsplit("/", 2)
    return directory if len(parts) < 3 or not parts[0] else f"…/{parts[1]}/{parts[2]}"
