"""Live links over fake servers, on a fake clock."""

from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from codewalk.events import Announcer, Event, Kind
from codewalk.health.checker import Checker
from codewalk.health.link import MAX_LINKS, LinkState
from codewalk.health.links import Links
from codewalk.health.monitor import Monitor
from codewalk.health.status import HealthStatus
from codewalk.opencode.events import GLOBAL_EVENTS_PATH, ServerEvent
from codewalk.reason import State
from codewalk.servers.profile import ServerProfile
from tests.fake_events import StreamingConnection
from tests.fake_time import advance_time, elapsed
from tests.fakes import FakeNetwork, FakeStatusStore, Reply, utc_now


@dataclass(kw_only=True)
class LinksHarness:
    """Running links, the changes of health that the monitor announced, and the events."""

    links: Links
    monitor: Monitor
    announcer: Announcer
    connections: dict[str, StreamingConnection]
    events: list[tuple[float, str, ServerEvent]] = field(default_factory=list)
    changes: list[tuple[float, str, State]] = field(default_factory=list)

    def of(self, server: ServerProfile) -> StreamingConnection:
        return self.connections[server.id]

    def state(self, server: ServerProfile) -> LinkState:
        return self.links.state(server.id)

    def seconds_until(self, server: ServerProfile, state: State, since: float) -> float | None:
        """Return the seconds from `since` until this server had `state`, None if never."""
        changes = [at for at, i, s in self.changes if i == server.id and s is state and at > since]
        return changes[0] - since if changes else None


@asynccontextmanager
async def run_links(
    *servers: ServerProfile,
    active: ServerProfile | None = None,
    served: Collection[str] = (GLOBAL_EVENTS_PATH,),
    max_links: int = MAX_LINKS,
    jitter: float | Callable[[], float] = 0.0,
    dead: ServerProfile | None = None,
    stored: Mapping[str, HealthStatus] | None = None,
    health: Reply | None = None,
) -> AsyncIterator[LinksHarness]:
    """Link `servers`; the block begins half a second after the start.

    All are healthy but `dead`, and reply `health` to a check, where that is given.
    """
    connections = {s.id: StreamingConnection(served=served, url=s.url) for s in servers}
    if dead:
        connections[dead.id].kill()
    if health:
        for connection in connections.values():
            connection.script["/global/health"] = health
    network = FakeNetwork(connections=dict(connections))
    announcer = Announcer()
    changes: list[tuple[float, str, State]] = []
    events: list[tuple[float, str, ServerEvent]] = []

    def on_change(server_id: str) -> None:
        changes.append((elapsed(), server_id, monitor.state(server_id)))
        announcer.announce(Event(kind=Kind.HEALTH, server_id=server_id))

    async with Checker(network.connect, route=lambda _: True, clock=elapsed) as checker:
        store = FakeStatusStore(stored)
        monitor = Monitor(
            checker, store, on_change=on_change, jitter=lambda: 0.5, now=utc_now, idle_clock=elapsed
        )
        links = Links(
            network.connect,
            monitor,
            announcer,
            on_event=lambda server_id, event: events.append((elapsed(), server_id, event)),
            jitter=jitter if callable(jitter) else lambda: jitter,
            max_links=max_links,
        )
        async with monitor, links:
            active_id = active.id if active else None
            monitor.reconcile(servers, active_id)
            links.reconcile(servers, active_id)
            await advance_time(0.5)
            yield LinksHarness(
                links=links,
                monitor=monitor,
                announcer=announcer,
                connections=connections,
                events=events,
                changes=changes,
            )
