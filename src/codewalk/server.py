"""A server as the outside sees it: its profile, its health, and whether it is active or default."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import inf
from types import MappingProxyType
from typing import Any, Final

from codewalk.health.advice import advice
from codewalk.health.link import LinkState
from codewalk.health.status import HealthStatus
from codewalk.reason import State
from codewalk.servers.profile import ServerProfile
from codewalk.times import rfc3339


@dataclass(frozen=True, kw_only=True, slots=True)
class Server:
    """The answer of the use cases that are about servers.

    None of these is part of the JSON: `previous` marks the server that was active before this
    one, `link` says how its events arrive, `previous_version` is the release it ran before a recent
    upgrade, `snoozed` whether its notifications are muted now.
    """

    profile: ServerProfile
    health: HealthStatus
    active: bool
    default: bool
    previous: bool = False
    link: LinkState = LinkState.POLLING
    previous_version: str | None = None
    snoozed: bool = False

    @property
    def id(self) -> str:
        return self.profile.id

    @property
    def name(self) -> str:
        return self.profile.name

    @property
    def warning(self) -> str | None:
        """What its release deserves, one sentence; it isn't part of the JSON."""
        return advice(self.health.version)

    def to_json(self) -> dict[str, Any]:
        """The server JSON of `INTERFACE.md`, and three keys more: `health_check`, `snoozed_until`
        and `notify`. A password is only ever told of, never told."""
        profile = self.profile
        return {
            "id": profile.id,
            "url": profile.url,
            "label": profile.label,
            "name": profile.name,
            "basic_auth": {
                "enabled": profile.basic_auth_enabled,
                "username": profile.basic_auth_username,
                "has_password": profile.basic_auth_password is not None,
            },
            "managed": profile.managed,
            "active": self.active,
            "default": self.default,
            "created_at": rfc3339(profile.created_at),
            "updated_at": rfc3339(profile.updated_at),
            "health": self.health.to_json(),
            "health_check": profile.health_check.to_json(),
            "snoozed_until": rfc3339(profile.snoozed_until),
            "notify": profile.notify.value,
        }


_RANKS: Final[Mapping[State, int]] = MappingProxyType(
    {State.HEALTHY: 1, State.UNKNOWN: 2, State.UNHEALTHY: 3}
)


def sort_for_switcher(servers: Iterable[Server]) -> list[Server]:
    """Active, healthy, unknown, unhealthy; servers of one kind stay in list order."""
    return sorted(servers, key=lambda server: 0 if server.active else _RANKS[server.health.state])


def find_fallback(servers: Iterable[Server]) -> Server | None:
    """The healthy server to switch to when the active one is down, None without any.

    The default, else the one that was active before, else the one that answers soonest, of equal
    ones the first in list order.
    """

    def nearness(server: Server) -> tuple[bool, bool, float]:
        latency = server.health.latency_ms
        return not server.default, not server.previous, inf if latency is None else latency

    others = (s for s in servers if s.health.state is State.HEALTHY and not s.active)
    return min(others, key=nearness, default=None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Removed:
    """What a removal left: the id that is gone, and the id that is active now."""

    removed: str
    active: str | None

    def to_json(self) -> dict[str, Any]:
        return {"removed": self.removed, "active": self.active}
