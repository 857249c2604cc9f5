"""Warnings about servers that answer their checks and fail at requests."""

import asyncio
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from codewalk.errors import CodeWalkError, RequestFailed
from codewalk.health.checker import Connect
from codewalk.health.monitor import Monitor
from codewalk.reason import Reason, State
from codewalk.servers.profile import ServerProfile
from codewalk.servers.registry import Registry

if TYPE_CHECKING:
    from codewalk.opencode.connection import Connection

RETRY_INTERVAL: Final = 60.0
"""Seconds between two requests of a list that a server failed to send."""

MAX_FAILING: Final = 10
"""Failing lists of one server that are remembered."""

MAX_NAMED: Final = 3
"""Failing lists that a warning names."""

_NO_WARNING: Final = frozenset({Reason.BUSY, Reason.REFUSED, Reason.DNS, Reason.OFFLINE})
"""Failures that a check decides about: the server is busy, or isn't there at all."""

log = logging.getLogger(__name__)


class Listing(StrEnum):
    """The kinds of lists that a server sends."""

    SESSIONS = "sessions"
    PROJECTS = "projects"
    MODELS = "models"


_REQUESTS: Final[Mapping[Listing, tuple[str, Mapping[str, str]]]] = MappingProxyType(
    {
        Listing.SESSIONS: ("/session", {"limit": "1"}),
        Listing.PROJECTS: ("/project", {}),
        Listing.MODELS: ("/config/providers", {}),
    }
)


@dataclass(frozen=True, slots=True)
class ListRequest:
    """A request for a list: of a directory, or with None of the server's own."""

    listing: Listing
    directory: str | None = None

    def __str__(self) -> str:
        return f"{self.listing} in {self.directory}" if self.directory else self.listing.value


_ORDER: Final = tuple(Listing)

Failures = Mapping[ListRequest, str]


class RequestWarnings:
    """Sets the warning of a server whose lists can't be fetched, and clears it.

    Args:
        monitor: Holds the warnings; only a healthy server shows its one.
        connect: Returns the connection to a server.
        registry: Holds the servers.
    """

    def __init__(
        self,
        monitor: Monitor,
        connect: Connect,
        registry: Registry,
    ) -> None:
        self._monitor = monitor
        self._connect = connect
        self._registry = registry
        self._failures: dict[str, Failures] = {}

    @contextmanager
    def warn(self, server_id: str, request: ListRequest) -> Iterator[None]:
        """Warn of a request that fails while the block runs, up to the parsed list."""
        try:
            yield
        except RequestFailed as failure:
            if not failure.local_fault and failure.reason not in _NO_WARNING:
                self._add(server_id, request, failure.detail)
            raise

    def end(self, server_id: str, request: ListRequest) -> None:
        """End the warning about a request that succeeded."""
        failures = dict(self._failures_of(server_id))
        failures.pop(request, None)
        self._put(server_id, failures)

    def failing(self, server_id: str) -> tuple[ListRequest, ...]:
        """Return the requests that a server fails at."""
        return tuple(self._failures_of(server_id))

    async def retry(self, active_id: str | None = None) -> None:
        """Request again, from each server with a warning, the start of what it failed to send.

        Not from the active server, whose whole lists are fetched again.
        """
        profiles = [self._registry.roster.get(server_id) for server_id in self._failures]
        self._failures = {p.id: self._failures[p.id] for p in profiles if p}
        async with asyncio.TaskGroup() as group:
            for profile in (p for p in profiles if p and p.id != active_id):
                name = f"retry of requests to {profile.id}"
                group.create_task(self._retry(profile), name=name)

    async def _retry(self, profile: ServerProfile) -> None:
        for request in self.failing(profile.id):
            if self._monitor.state(profile.id) is not State.HEALTHY:
                return
            try:
                await self._monitor.require_usable(profile)
                connection = await self._connect(profile)
                with self.warn(profile.id, request):
                    await _request(connection, request)
                self.end(profile.id, request)
            except CodeWalkError as exc:
                log.debug("%s still fails: %s", profile.id, exc.message)

    def _add(self, server_id: str, request: ListRequest, detail: str) -> None:
        failures = self._failures_of(server_id)
        if request in failures or len(failures) < MAX_FAILING:
            self._put(server_id, {**failures, request: detail})

    def _failures_of(self, server_id: str) -> Failures:
        # A server that was down or edited meanwhile has lost its warning.
        has_warning = self._monitor.warning(server_id) is not None
        return self._failures.get(server_id, {}) if has_warning else {}

    def _put(self, server_id: str, failures: Failures) -> None:
        if failures:
            self._failures[server_id] = failures
        else:
            self._failures.pop(server_id, None)
        self._monitor.set_warning(server_id, make_warning(failures))


def make_warning(failures: Failures) -> str | None:
    """Return the sentence about these requests and why the first one fails, None without any."""
    if not failures:
        return None
    # Whichever failed first: the order of the sentence is always the same.
    requests = sorted(failures, key=lambda request: _ORDER.index(request.listing))
    names = [str(request) for request in requests]
    if len(names) > MAX_NAMED:
        names[MAX_NAMED:] = [f"{len(names) - MAX_NAMED} more lists"]
    *others, last = names
    lists = f"{', '.join(others)} and {last}" if others else last
    return f"Answers, but its {lists} can't be listed: {failures[requests[0]]}"


async def _request(connection: "Connection", request: ListRequest) -> None:
    path, params = _REQUESTS[request.listing]
    directory = {"directory": request.directory} if request.directory else {}
    body = await connection.get_json(path, params={**params, **directory})
    if not isinstance(body, list | dict):
        raise RequestFailed(Reason.NOT_OPENCODE, f"Its list of {request.listing} isn't a list.")
