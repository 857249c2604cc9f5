"""Requests to one server for its work, and what their results say about the server."""

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from codewalk.health.checker import Connect
from codewalk.health.monitor import Monitor
from codewalk.health.request_hints import RequestObserver
from codewalk.health.request_warnings import Listing, ListRequest, RequestWarnings
from codewalk.servers.profile import ServerProfile

if TYPE_CHECKING:
    from codewalk.opencode.connection import Connection


class ServerRequests:
    """Gives the connection for requests to a server that may be asked.

    Args:
        monitor: Decides whether a server may be asked; a request that fails triggers a check.
        connect: Returns the connection to a server.
        warnings: Follow from requests for lists.
    """

    def __init__(self, *, monitor: Monitor, connect: Connect, warnings: RequestWarnings) -> None:
        self._monitor = monitor
        self._open_connection = connect
        self._observer = RequestObserver(monitor)
        self._warnings = warnings

    async def connect(self, profile: ServerProfile) -> "Connection":
        """Return the connection to a server.

        Raises:
            RequestFailed: It must not be asked now, as `Monitor.require_usable` says.
            StorageError: Its password can't be read.
        """
        await self._monitor.require_usable(profile)
        connection = await self._open_connection(profile)
        return connection.with_call_context(lambda: self._observer.observe(profile.id))

    def warn(self, profile: ServerProfile, request: ListRequest) -> AbstractContextManager[None]:
        """Make a failure within the block the server's warning."""
        return self._warnings.warn(profile.id, request)

    def end_warning(self, profile: ServerProfile, request: ListRequest) -> None:
        """End the warning about a list that was fetched."""
        self._warnings.end(profile.id, request)

    def failing_requests(self, server_id: str) -> tuple[ListRequest, ...]:
        """Return the requests that a server fails at."""
        return self._warnings.failing(server_id)

    def failing(self, server_id: str) -> frozenset[Listing]:
        """Return the kinds of lists that a server fails to send."""
        return frozenset(request.listing for request in self._warnings.failing(server_id))
