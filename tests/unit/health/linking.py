"""Live links over made-up servers, on a clock that jumps."""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from codewalk.events import Announcer, Event, Kind
from codewalk.health.checker import Checker
from codewalk.health.link import MAX_LINKS, LinkState
from codewalk.health.links import Links
from codewalk.health.monitor import Monitor
from codewalk.opencode.events import GLOBAL_EVENTS_PATH, ServerEvent
from codewalk.reason import State
from codewalk.servers.profile import ServerProfile
from tests.fake_events import StreamingConnection
from tests.fake_time import advance_time, elapsed
from tests.fakes import FakeNetwork, FakeStatusStore, utc_now


@dataclass(kw_only=True)
class Linked:
    """Running links; `changes` holds what the monitor told, `heard` what the servers told."""

    links: Links
    monitor: Monitor
    connections: dict[str, StreamingConnection]
    heard: list[tuple[float, str, ServerEvent]] = field(default_factory=list)
    changes: list[tuple[float, str, State]] = field(default_factory=list)

    def of(self, server: ServerProfile) -> StreamingConnection:
        return self.connections[server.id]

    def state(self, server: ServerProfile) -> LinkState:
        return self.links.state(server.id)

    def became(self, server: ServerProfile, state: State, since: float) -> float | None:
        """Seconds from `since` until this server had `state`; None where it never had."""
        changes = [at for at, i, s in self.changes if i == server.id and s is state and at > since]
        return changes[0] - since if changes else None


@asynccontextmanager
async def linking(
    *servers: ServerProfile,
    active: ServerProfile | None = None,
    served: Collection[str] = (GLOBAL_EVENTS_PATH,),
    max_links: int = MAX_LINKS,
    jitter: float = 0.0,
) -> AsyncIterator[Linked]:
    """Links to `servers`, all healthy, half a second after the start."""
    connections = {s.id: StreamingConnection(served=served, url=s.url) for s in servers}
    network = FakeNetwork(connections=dict(connections))
    announcer = Announcer()
    changes: list[tuple[float, str, State]] = []
    heard: list[tuple[float, str, ServerEvent]] = []

    def changed(server_id: str) -> None:
        changes.append((elapsed(), server_id, monitor.state(server_id)))
        announcer.announce(Event(kind=Kind.HEALTH, server_id=server_id))

    async with Checker(network.connect, route=lambda _: True, clock=elapsed) as checker:
        store = FakeStatusStore()
        monitor = Monitor(
            checker, store, on_change=changed, jitter=lambda: 0.5, now=utc_now, idle_clock=elapsed
        )
        links = Links(
            network.connect,
            monitor,
            announcer,
            on_event=lambda server_id, event: heard.append((elapsed(), server_id, event)),
            jitter=lambda: jitter,
            max_links=max_links,
        )
        async with monitor, links:
            active_id = active.id if active else None
            monitor.reconcile(servers, active_id)
            links.reconcile(servers, active_id)
            await advance_time(0.5)
            yield Linked(
                links=links,
                monitor=monitor,
                connections=connections,
                heard=heard,
                changes=changes,
            )
