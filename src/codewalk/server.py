"""A server as users and programs see it: its profile, its health, and its part in the list."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import inf
from types import MappingProxyType
from typing import Any, Final

from codewalk.health.link import LinkState
from codewalk.health.status import HealthStatus
from codewalk.reason import State
from codewalk.servers.profile import NotifySetting, ServerProfile
from codewalk.times import rfc3339

FIRST_SAFE_VERSION: Final = (1, 0, 216)
"""The first release of OpenCode without CVE-2026-22812."""

NO_RELEASE: Final = (0, 0, 0)
"""The numbers of builds that are no release."""

UNSAFE_VERSION: Final = (
    "OpenCode {version} lets any web site run commands on its machine (CVE-2026-22812); "
    "update it to 1.0.216 or later."
)

_VERSION: Final = re.compile(r"(\d{1,9})\.(\d{1,9})\.(\d{1,9})(-?)", re.ASCII)


@dataclass(frozen=True, kw_only=True, slots=True)
class Server:
    """The answer of the use cases that are about servers.

    Attributes:
        profile: The server as the user set it up.
        health: Its status, as of the time of the answer.
        active: Whether it is the active server.
        default: Whether it becomes active at the start of the app.
        previous: Whether it was active before the present one. Not part of the JSON, as below.
        link: How its events arrive.
        previous_version: The release that it ran before a recent upgrade.
        snoozed: Whether its notifications are muted now.
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
    def muted(self) -> bool:
        """Whether nobody is notified about it: it is snoozed, or its notifications are off."""
        return self.snoozed or self.profile.notify is NotifySetting.OFF

    @property
    def warnings(self) -> tuple[str, ...]:
        """Its faults while it is healthy, and the vulnerability of its release."""
        health = self.health
        is_healthy = health.state is State.HEALTHY
        remarks = (health.warning, health.detail) if is_healthy else ()
        return tuple(filter(None, (*remarks, security_warning(health.version))))

    def to_json(self) -> dict[str, Any]:
        """Return the server JSON of the API and the command line, without its password."""
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


def security_warning(version: str | None) -> str | None:
    """Return a sentence about a vulnerability of an OpenCode release, None without one.

    A pre-release comes before its release: `1.0.216-beta` is older than 1.0.216. A version that
    is unknown, or has no three numbers, has no warning; nor has one that names no release: builds
    of a branch are `0.0.0-<branch>-<time>`.
    """
    match = _VERSION.match(version or "")
    if match is None:
        return None
    numbers = tuple(int(part) for part in match.groups()[:3])
    if numbers == NO_RELEASE or (numbers, not match[4]) >= (FIRST_SAFE_VERSION, True):
        return None
    return UNSAFE_VERSION.format(version=version)


_SWITCHER_RANKS: Final[Mapping[State, int]] = MappingProxyType(
    {State.HEALTHY: 2, State.UNKNOWN: 3, State.UNHEALTHY: 4}
)


def sort_for_switcher(servers: Iterable[Server]) -> list[Server]:
    """Return the active server, the previous one, then the others by their state.

    Healthy ones come before unknown and unhealthy ones, those of one state in list order.
    """

    def rank(server: Server) -> int:
        if server.active:
            return 0
        return 1 if server.previous else _SWITCHER_RANKS[server.health.state]

    return sorted(servers, key=rank)


def count_down(servers: Iterable[Server]) -> int:
    """Return how many servers are down, without the muted ones, whose users know about them."""
    return sum(s.health.state is State.UNHEALTHY and not s.muted for s in servers)


def find_fallback(servers: Iterable[Server]) -> Server | None:
    """Return the healthy server to switch to when the active one is down, None without any.

    It is the default server, else the previously active one, else the one with the lowest latency;
    of equal ones the first in list order.
    """

    def preference(server: Server) -> tuple[bool, bool, float]:
        latency = server.health.latency_ms
        return not server.default, not server.previous, inf if latency is None else latency

    others = (s for s in servers if s.health.state is State.HEALTHY and not s.active)
    return min(others, key=preference, default=None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Removed:
    """The result of a removal: the id that was removed, and the id that is active now."""

    removed: str
    active: str | None

    def to_json(self) -> dict[str, Any]:
        return {"removed": self.removed, "active": self.active}
