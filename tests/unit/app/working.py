"""A `Work` on fake servers, on a fake clock."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

from codewalk.app.generation import Generation
from codewalk.app.identification import Identification
from codewalk.app.server_requests import ServerRequests
from codewalk.app.work import Work
from codewalk.events import Announcer
from codewalk.health.monitor import Monitor
from codewalk.health.request_warnings import RequestWarnings
from codewalk.history.recorder import Recorder
from codewalk.servers import rules
from codewalk.servers.profile import ServerProfile
from codewalk.servers.registry import Registry
from codewalk.servers.roster import Roster
from codewalk.workspace.activity import Activities
from codewalk.workspace.session_changes import SessionChanges
from codewalk.workspace.state_cache import StateCache
from tests.fakes import FakeHistoryStore, FakeNetwork, FakeRosterStore, FakeStateStore
from tests.unit.health.monitor_harness import run_monitor


@dataclass(frozen=True, kw_only=True)
class Working:
    """A `Work` and its collaborators."""

    work: Work
    registry: Registry
    monitor: Monitor
    network: FakeNetwork
    store: FakeStateStore
    activities: Activities
    changes: SessionChanges
    announcer: Announcer

    async def switch_to(self, server: ServerProfile) -> None:
        await self.registry.change(lambda roster: rules.switch(roster, server.id))

    async def remove(self, server: ServerProfile) -> None:
        state_of = self.monitor.state
        await self.registry.change(lambda roster: rules.remove(roster, server.id, state_of))

    def requested(self, server: ServerProfile) -> list[str]:
        """The paths that were requested from this server."""
        return self.network.of(server).paths


@asynccontextmanager
async def working(*servers: ServerProfile) -> AsyncIterator[Working]:
    """A `Work` on these servers; the first one is active."""
    network, store, activities = FakeNetwork(), FakeStateStore(), Activities()
    announcer, generation = Announcer(), Generation()
    changes = SessionChanges(StateCache())

    def changed(_: Roster, new: Roster) -> None:
        generation.advance(new.generation)

    registry = Registry(FakeRosterStore(), changed=changed)
    for server in servers:
        await registry.change(partial(rules.add, profile=server))
    async with run_monitor(*servers, network=network, watch=False) as running:
        work = Work(
            registry=registry,
            requests=ServerRequests(
                monitor=running.monitor,
                connect=network.connect,
                warnings=RequestWarnings(running.monitor, network.connect, registry),
            ),
            identification=Identification(
                monitor=running.monitor,
                recorder=Recorder(FakeHistoryStore(), watch=False),
                state=store,
                activities=activities,
                changes=changes,
            ),
            state=store,
            activities=activities,
            changes=changes,
            announcer=announcer,
            generation=generation,
        )
        yield Working(
            work=work,
            registry=registry,
            monitor=running.monitor,
            network=network,
            store=store,
            activities=activities,
            changes=changes,
            announcer=announcer,
        )
