"""The switch of the active server; of several at once, the last one wins."""

from codewalk.errors import ServerUnhealthy, Superseded
from codewalk.health.monitor import Monitor
from codewalk.health.status import explain
from codewalk.reason import State
from codewalk.servers import rules
from codewalk.servers.profile import ServerProfile
from codewalk.servers.registry import Registry
from codewalk.servers.roster import Roster


class Switcher:
    """Makes servers active.

    A server that isn't known to be healthy is checked first, which takes up to its timeout. Where
    another switch comes meanwhile, here or in another process, that one wins: it is the later wish.
    """

    def __init__(self, *, registry: Registry, monitor: Monitor) -> None:
        self._registry = registry
        self._monitor = monitor
        self._requested: str | None = None
        self._since = 0  # the generation at the start of the last request

    async def switch(self, profile: ServerProfile, *, force: bool) -> Roster:
        """Make a server active.

        Args:
            profile: The server.
            force: Switch to an unhealthy server as well, and without a check.

        Returns:
            The roster with this server active.

        Raises:
            ServerUnhealthy: The check found it unhealthy.
            Superseded: Another switch was requested or made after this one.
            StorageError: The store can't be read or written.
        """
        self._requested = profile.id
        if force or self._monitor.state(profile.id) is State.HEALTHY:
            return await self._registry.change(lambda roster: rules.switch(roster, profile.id))
        # As it is in the store: a switch that another process made just before is no later one.
        await self._registry.refresh()
        self._since = self._registry.roster.generation
        status = await self._monitor.check(profile)
        # First: nobody needs to know the health of what isn't wanted any more.
        self._switch_unless_superseded(self._registry.roster, profile)
        if status.state is State.UNHEALTHY:
            raise ServerUnhealthy(
                f"{profile.name} is unhealthy: {explain(status)} "
                "Use `--force` to switch to it anyway.",
                value=profile.id,
            )
        # Decided in the store's transaction: another process may have switched meanwhile.
        return await self._registry.change(
            lambda roster: self._switch_unless_superseded(roster, profile)
        )

    def ignore(self, roster: Roster) -> None:
        """Let a pending switch stand although the user's own removal has made this roster.

        The fallback of a removal is a new generation too, but nobody wished for that server.
        """
        if roster.generation == self._since + 1:
            self._since = roster.generation

    def _switch_unless_superseded(self, roster: Roster, profile: ServerProfile) -> Roster:
        switched = roster.generation != self._since and roster.active_id != profile.id
        if switched or self._requested != profile.id:
            raise Superseded(f"Another switch came before {profile.name} had answered.")
        return rules.switch(roster, profile.id)
