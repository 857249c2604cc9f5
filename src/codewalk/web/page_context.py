"""What the pages show, as values: each is of one moment, and of one server at most."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote, urlencode

from codewalk.app.app import App
from codewalk.errors import Superseded
from codewalk.opencode.activity import Activity
from codewalk.server import Server, find_fallback
from codewalk.workspace.models import ModelList
from codewalk.workspace.projects import ProjectList
from codewalk.workspace.session_search import find_sessions
from codewalk.workspace.sessions import Session, SessionList

SESSIONS_PER_PAGE: Final = 50
"""Sessions on one page of the list."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalServerContext:
    """The managed local server; it can be started unless `why_not` says what is in the way."""

    starting: bool = False
    why_not: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class PageContext:
    """What every page has: the servers and which one is active.

    `news` is about the managed local server and `local` what can be done about it; `takeover` is
    about servers that came from elsewhere. `usual` is where a server on this machine is looked for.
    """

    servers: list[Server]
    active: Server | None
    generation: int
    usual: str
    news: str | None = None
    import_message: str | None = None
    local: LocalServerContext = field(default_factory=LocalServerContext)

    @property
    def stamp(self) -> str:
        """Differs where what is shown differs, but for when servers were last checked."""
        seen = [displayed_values(server) for server in self.servers]
        told = repr((seen, self.generation, self.news, self.import_message, self.local))
        return hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()[:16]


@dataclass(frozen=True, kw_only=True, slots=True)
class Alert:
    """Something a user is told once; `retry` is where a form can insist, and `retry_label` how."""

    text: str
    retry: str | None = None
    retry_label: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class HomeQuery:
    """Which of a server's sessions are asked for: those of a directory, that hold these words."""

    directory: str | None = None
    words: str = ""
    page: int = 1

    @property
    def at(self) -> str:
        """The directory as a field of a form carries it: browsers make one line end of another, and
        nothing of a NUL."""
        return quote(self.directory or "", safe="/")

    def query(self, **changes: str | int | None) -> str:
        """The query of an address that asks for this, with some of it changed."""
        fields = {"directory": self.directory, "q": self.words, "page": self.page} | changes
        if fields["page"] == 1:
            del fields["page"]
        given = {key: value for key, value in fields.items() if value}
        return f"?{urlencode(given)}" if given else ""


@dataclass(frozen=True, kw_only=True, slots=True)
class HomeContext:
    """The active server's own page.

    `found` are the sessions that hold the words asked for, `busy` those at work; `nearest` is the
    server to switch to where this one is down; `trouble` says why its sessions couldn't be fetched;
    `title` is that of a new session which couldn't be made.
    """

    server: Server
    wanted: HomeQuery
    listing: SessionList
    found: tuple[Session, ...]
    projects: ProjectList
    models: ModelList
    busy: Mapping[str, Activity]
    nearest: Server | None = None
    trouble: str | None = None
    title: str = ""

    @property
    def first(self) -> int:
        """How many of the found ones come before this page."""
        return min(
            (self.wanted.page - 1) * SESSIONS_PER_PAGE,
            max(0, len(self.found) - 1) // SESSIONS_PER_PAGE * SESSIONS_PER_PAGE,
        )

    @property
    def page(self) -> int:
        """The number of this page, from 1: the last one where one beyond it was asked for."""
        return self.first // SESSIONS_PER_PAGE + 1

    @property
    def sessions(self) -> tuple[Session, ...]:
        """The ones on this page."""
        return self.found[self.first : self.first + SESSIONS_PER_PAGE]


def get_page_context(app: App) -> PageContext:
    """What every page shows now."""
    return PageContext(
        servers=app.servers(),
        active=app.active(),
        generation=app.generation.number,
        usual=app.drafts.default_url,
        news=app.local.message,
        import_message=app.import_message,
        local=LocalServerContext(starting=app.local.starting, why_not=app.local.unavailable_reason),
    )


async def load_home_context(
    app: App, server_id: str, wanted: HomeQuery, *, trouble: str | None = None
) -> HomeContext:
    """The page of this server, from what was last fetched; asks no server.

    Raises `Superseded` where another server is the active one, `InvalidValue`, `StorageError`.
    """
    work = app.work
    kept = await work.overview(wanted.directory, server_id=server_id)
    # Nothing is awaited from here on: all that is shown is of one moment.
    server = app.active()
    if server is None or server.id != server_id:
        raise Superseded("Another server became active meanwhile.")
    return HomeContext(
        server=server,
        wanted=wanted,
        listing=kept.sessions,
        found=find_sessions(kept.sessions.sessions, wanted.words),
        projects=kept.projects,
        models=kept.models,
        busy=work.busy_sessions(server_id),
        nearest=find_fallback(app.servers()),
        trouble=trouble,
    )


def displayed_values(server: Server) -> tuple[object, ...]:
    """What a row shows, but for when the server was last checked and how fast it answered."""
    return *profile_values(server), *reported_values(server)


def profile_values(server: Server) -> tuple[object, ...]:
    """What a row shows of what users say of the server: only they change it."""
    profile = server.profile
    return (
        *(profile.id, profile.url, profile.label, profile.managed, profile.updated_at),
        *(server.active, server.default, server.snoozed),
    )


def reported_values(server: Server) -> tuple[object, ...]:
    """What a row shows of what the server tells of itself."""
    health = server.health
    return (
        *(health.state, health.reason, health.detail, health.version),
        *(server.link, server.previous_version),
    )
