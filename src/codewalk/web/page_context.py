"""The values that pages show: each context is of one moment, and of one server at most."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import quote

from codewalk.app.app import App
from codewalk.errors import Superseded
from codewalk.health.request_warnings import Listing
from codewalk.opencode.activity import Activity
from codewalk.opencode.session import Session
from codewalk.server import Server, count_down, find_fallback
from codewalk.storage.loss_report import StoreProblem
from codewalk.web.paging import ListPage, encode_query
from codewalk.workspace.models import ModelList
from codewalk.workspace.projects import ProjectList
from codewalk.workspace.session_list import SessionList
from codewalk.workspace.session_search import find_sessions
from codewalk.workspace.session_tree import root_sessions, with_busy_parents

SESSIONS_PER_PAGE: Final = 50


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalServerContext:
    """The managed local server: it can be started unless `unavailable_reason` says why not."""

    starting: bool = False
    unavailable_reason: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class PageContext:
    """The values that every page shows.

    Attributes:
        servers: All servers, in list order.
        active: The active server.
        generation: The number of the last switch.
        default_url: Where a server that was started by hand on this machine is likely to be.
        local_message: What happened to the managed local server, if users need to know it.
        import_message: Which servers were imported, until a user has read it.
        store_problem: Why nothing can be saved, if so.
        local: Whether the managed local server can be started.
    """

    servers: list[Server]
    active: Server | None
    generation: int
    default_url: str
    local_message: str | None = None
    import_message: str | None = None
    store_problem: StoreProblem | None = None
    local: LocalServerContext = field(default_factory=LocalServerContext)

    @property
    def down_count(self) -> int:
        """How many servers are down; muted ones don't count."""
        return count_down(self.servers)

    @property
    def previous(self) -> Server | None:
        """The server that was active before, if it is another one and still there."""
        return next((s for s in self.servers if s.previous and not s.active), None)

    @property
    def stamp(self) -> str:
        """A hash of what pages show, except the time and latency of the last checks."""
        rows = [row_values(server) for server in self.servers]
        messages = self.local_message, self.import_message, self.store_problem
        state = repr((rows, self.generation, messages, self.local))
        return hashlib.sha256(state.encode("utf-8", "surrogatepass")).hexdigest()[:16]


@dataclass(frozen=True, kw_only=True, slots=True)
class Alert:
    """A message to the user; `retry` is the address of a form that tries again, if there is one."""

    text: str
    retry: str | None = None
    retry_label: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class HomeQuery:
    """The query of a server's home: which of its sessions are listed.

    Attributes:
        directory: Their directory; None for the server's own.
        words: Words that their titles contain.
        page: The page of the list, from 1.
        archived: Whether archived ones are listed too.
    """

    directory: str | None = None
    words: str = ""
    page: int = 1
    archived: bool = False

    @property
    def encoded_directory(self) -> str:
        """The directory for a field of a form: encoded, since browsers change line ends and NUL."""
        return quote(self.directory or "", safe="/")

    def query_string(self, **changes: str | int | bool | None) -> str:
        """Return the query of an address, with these fields changed and empty ones left out."""
        fields = {
            "directory": self.directory,
            "q": self.words,
            "page": self.page,
            "archived": self.archived,
        } | changes
        if fields["page"] == 1:
            del fields["page"]
        fields["archived"] = "true" if fields["archived"] else ""
        return encode_query({key: value for key, value in fields.items() if value})


@dataclass(frozen=True, kw_only=True, slots=True)
class HomeContext:
    """The values that the home of the active server shows.

    Attributes:
        server: The server.
        query: Which sessions are listed.
        listing: Its sessions in that directory, as last fetched, without child sessions, and
            without archived ones unless the query asks for them.
        matches: Those that contain the words of the query.
        projects: Its projects.
        models: Its models.
        busy: What its busy sessions do, by id; a parent does what its child does.
        archived_count: How many sessions of that directory are archived.
        fallback: The server to switch to where this one is down.
        models_failed: Whether it fails to send its models.
        problem: Why its sessions couldn't be fetched.
        title: The title of a new session that couldn't be created.
    """

    server: Server
    query: HomeQuery
    listing: SessionList
    matches: tuple[Session, ...]
    projects: ProjectList
    models: ModelList
    busy: Mapping[str, Activity]
    archived_count: int = 0
    fallback: Server | None = None
    models_failed: bool = False
    problem: str | None = None
    title: str = ""

    @property
    def page(self) -> ListPage[Session]:
        return ListPage(all_items=self.matches, requested=self.query.page, size=SESSIONS_PER_PAGE)


def get_page_context(app: App) -> PageContext:
    """Return what every page shows now."""
    local = LocalServerContext(
        starting=app.local.starting, unavailable_reason=app.local.unavailable_reason
    )
    return PageContext(
        servers=app.servers(),
        active=app.active(),
        generation=app.generation.number,
        default_url=app.drafts.default_url,
        local_message=app.local.message,
        import_message=app.import_message,
        store_problem=app.store_problem,
        local=local,
    )


async def load_home_context(
    app: App, server_id: str, query: HomeQuery, *, problem: str | None = None
) -> HomeContext:
    """Return the home of a server as last fetched; no server is asked.

    Raises:
        Superseded: Another server is active.
        InvalidValue: The directory can't be one.
        StorageError: The store can't be read.
    """
    overview = await app.work.overview(query.directory, server_id=server_id)
    # Nothing is awaited from here on, so all values are of one moment.
    server = app.active()
    if server is None or server.id != server_id:
        raise Superseded("Another server became active meanwhile.")
    roots = root_sessions(overview.sessions.sessions)
    listed = roots if query.archived else tuple(s for s in roots if not s.archived)
    return HomeContext(
        server=server,
        query=query,
        listing=replace(overview.sessions, sessions=listed),
        matches=find_sessions(listed, query.words),
        projects=overview.projects,
        models=overview.models,
        busy=with_busy_parents(app.work.busy_sessions(server_id), overview.sessions.sessions),
        archived_count=sum(session.archived for session in roots),
        fallback=find_fallback(app.servers()),
        models_failed=Listing.MODELS in app.work.failing(server_id),
        problem=problem,
    )


def row_values(server: Server) -> tuple[object, ...]:
    """Return what a row shows, but for the time and latency of the last check."""
    return *profile_values(server), *health_values(server)


def profile_values(server: Server) -> tuple[object, ...]:
    """Return what a row shows of the profile and the marks, which only users change."""
    profile = server.profile
    return (
        *(profile.id, profile.url, profile.label, profile.managed, profile.updated_at),
        *(server.active, server.default, server.snoozed),
    )


def health_values(server: Server) -> tuple[object, ...]:
    """Return what a row shows of the server's health and link."""
    health = server.health
    return (
        *(health.state, health.reason, health.detail, health.version, health.warning),
        *(server.link, server.previous_version),
    )
