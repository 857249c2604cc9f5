"""What an open CodeWalk consists of."""

from dataclasses import dataclass

from codewalk.connecting import Connector
from codewalk.events import Announcer
from codewalk.generation import Generation
from codewalk.health.links import Links
from codewalk.health.monitor import Monitor
from codewalk.health.recorder import Recorder
from codewalk.health.tally import Tally
from codewalk.servers.registry import Registry
from codewalk.settings import Settings
from codewalk.storage.hooks import HookStore
from codewalk.storage.state import StateStore
from codewalk.telling import Teller
from codewalk.workspace.activity import Activities


@dataclass(frozen=True, kw_only=True, slots=True)
class Parts:
    """What an `App` works with; `codewalk.opening` makes it."""

    settings: Settings
    registry: Registry
    monitor: Monitor
    links: Links
    recorder: Recorder
    tally: Tally
    connector: Connector
    state: StateStore
    hooks: HookStore
    activities: Activities
    announcer: Announcer
    generation: Generation
    teller: Teller
