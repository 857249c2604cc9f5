"""What an open CodeWalk consists of."""

from dataclasses import dataclass

from codewalk.app.generation import Generation
from codewalk.app.server_connections import ServerConnections
from codewalk.events import Announcer
from codewalk.health.counters import CheckCounters
from codewalk.health.links import Links
from codewalk.health.monitor import Monitor
from codewalk.history.recorder import Recorder
from codewalk.notifications.notifier import Notifier
from codewalk.servers.registry import Registry
from codewalk.settings import Settings
from codewalk.storage.hooks import HookStore
from codewalk.storage.state import StateStore
from codewalk.workspace.activity import Activities


@dataclass(frozen=True, kw_only=True, slots=True)
class Parts:
    """What an `App` works with; `codewalk.app.composition` makes it."""

    settings: Settings
    registry: Registry
    monitor: Monitor
    links: Links
    recorder: Recorder
    counters: CheckCounters
    connections: ServerConnections
    state: StateStore
    hooks: HookStore
    activities: Activities
    announcer: Announcer
    generation: Generation
    teller: Notifier
