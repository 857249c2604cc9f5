"""The server that work is on: the active one, or one that the caller chose."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

from codewalk.app.generation import Generation
from codewalk.app.server_requests import ServerRequests
from codewalk.errors import NoActiveServer, RequestFailed, ServerUnreachable, Superseded
from codewalk.health.request_warnings import ListRequest
from codewalk.servers.profile import ServerProfile
from codewalk.servers.registry import Registry
from codewalk.servers.roster import Roster

if TYPE_CHECKING:
    from codewalk.opencode.connection import Connection


class WorkTarget:
    """Looks up the server that work is on, and connects to it.

    Args:
        registry: The servers.
        requests: Gives the connections to them.
        generation: Ends work on the active server when another one becomes active.
        chosen_id: The server, whether it is active or not; None for the active one.
    """

    def __init__(
        self,
        *,
        registry: Registry,
        requests: ServerRequests,
        generation: Generation,
        chosen_id: str | None = None,
    ) -> None:
        self.is_chosen = chosen_id is not None
        self._registry = registry
        self._requests = requests
        self._generation = generation
        self._chosen_id = chosen_id

    def choose(self, server_id: str) -> "WorkTarget":
        """Return the same for one server, whether it is active or not."""
        return WorkTarget(
            registry=self._registry,
            requests=self._requests,
            generation=self._generation,
            chosen_id=server_id,
        )

    def active(self) -> ServerProfile | None:
        """Return the active server."""
        return self._registry.roster.active

    @asynccontextmanager
    async def use(self, expected_id: str | None) -> AsyncIterator[ServerProfile]:
        """Run the block for the server; for the active one, until a switch ends it.

        Args:
            expected_id: The server that the caller takes for this one, None without one.

        Raises:
            Superseded: Another server is active.
            NoActiveServer: No server is active.
            ServerNotFound: The chosen server was removed.
            ServerUnreachable: A request in the block failed.
        """
        if self._chosen_id is not None:
            profile = self._lookup(expected_id)
            with _translated(profile):
                yield profile
            return
        async with self._generation.work():
            # Looked up inside: no switch can come between this and the work.
            profile = self._lookup(expected_id)
            with _translated(profile):
                yield profile

    async def connect(self, profile: ServerProfile) -> "Connection":
        """Open a connection to the server that `use` returned.

        Raises:
            RequestFailed: No request may be sent to it now.
            StorageError: Its password can't be read.
            Superseded: Another server became active.
        """
        connection = await self._requests.connect(profile)
        # Checked again: a switch cancels older work only in the next iteration of the event loop.
        self._lookup(profile.id)
        return connection

    @asynccontextmanager
    async def request_list(
        self, profile: ServerProfile, request: ListRequest
    ) -> AsyncIterator["Connection"]:
        """Return the connection for a list; its result decides about the server's warning."""
        connection = await self.connect(profile)
        with self._requests.warn(profile, request):
            yield connection
        self._requests.end_warning(profile, request)

    def _lookup(self, expected_id: str | None) -> ServerProfile:
        roster = self._registry.roster
        if self._chosen_id is not None:
            if expected_id not in (None, self._chosen_id):
                raise ValueError("This work is on another server.")
            return roster.require(self._chosen_id)
        active = roster.active
        if expected_id is not None and (active is None or active.id != expected_id):
            raise _superseded(roster, expected_id)
        if active is None:
            raise NoActiveServer(
                "There is no active server; add one with `codewalk server add URL`."
            )
        return active


@contextmanager
def _translated(profile: ServerProfile) -> Iterator[None]:
    try:
        yield
    except RequestFailed as exc:
        raise ServerUnreachable(f"{profile.name}: {exc.detail}", value=profile.url) from exc


def _superseded(roster: Roster, expected_id: str) -> Superseded:
    expected, active = roster.get(expected_id), roster.active
    return Superseded(
        f"{expected.name if expected else 'The server'} isn't the active server any more; "
        f"{active.name if active else 'none'} is. Nothing was sent.",
        value=expected_id,
    )
