"""The values that pages show: each context is of one moment, and of one server at most."""

import hashlib
from dataclasses import dataclass, field

from codewalk.app.app import App
from codewalk.server import Server, count_down
from codewalk.storage.loss_report import StoreProblem


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
