"""A server as the outside sees it: its profile, its health, and whether it is active or default."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from codewalk.health.advice import advice
from codewalk.health.link import LinkState
from codewalk.health.status import HealthStatus, State, rfc3339
from codewalk.servers.profile import ServerProfile


@dataclass(frozen=True, kw_only=True, slots=True)
class Server:
    """The answer of the use cases that are about servers.

    `link` tells how news of it comes; it isn't part of the JSON.
    """

    profile: ServerProfile
    health: HealthStatus
    active: bool
    default: bool
    link: LinkState = LinkState.POLLING

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
        """The server JSON of `INTERFACE.md`; a password is only ever told of, never told."""
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
        }


_RANKS: Final[Mapping[State, int]] = MappingProxyType(
    {State.HEALTHY: 1, State.UNKNOWN: 2, State.UNHEALTHY: 3}
)


def in_switching_order(servers: Iterable[Server]) -> list[Server]:
    """Active, healthy, unknown, unhealthy; servers of one kind stay in list order."""
    return sorted(servers, key=lambda server: 0 if server.active else _RANKS[server.health.state])


@dataclass(frozen=True, kw_only=True, slots=True)
class Removed:
    """What a removal left: the id that is gone, and the id that is active now."""

    removed: str
    active: str | None

    def to_json(self) -> dict[str, Any]:
        return {"removed": self.removed, "active": self.active}
