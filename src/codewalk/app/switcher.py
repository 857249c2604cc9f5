"""Which of several switches counts: the one that was wanted last."""

from codewalk.errors import ServerUnhealthy, Superseded
from codewalk.health.monitor import Monitor
from codewalk.health.status import explain
from codewalk.reason import State
from codewalk.servers import roster as rules
from codewalk.servers.profile import ServerProfile
from codewalk.servers.registry import Registry
from codewalk.servers.roster import Roster


class Switching:
    """Makes servers active. One that isn't known to be healthy is checked first, which takes up to
    its timeout: whoever wants another one meanwhile wants it instead."""

    def __init__(self, *, registry: Registry, monitor: Monitor) -> None:
        self._registry = registry
        self._monitor = monitor
        self._wanted: str | None = None
        self._made = 0

    async def switch(self, profile: ServerProfile, *, force: bool) -> Roster:
        """The roster with this server active. Raises as `App.switch_to` does."""
        self._wanted = profile.id
        if not force and self._monitor.state(profile.id) is not State.HEALTHY:
            await self._look_first(profile)
        roster = await self._registry.change(lambda roster: rules.switch(roster, profile.id))
        self.made(roster)
        return roster

    def made(self, roster: Roster) -> None:
        """Takes note of a roster that this app's own user brought about, by a removal say: no
        switch that waits has to give way to that."""
        self._made = roster.generation

    async def _look_first(self, profile: ServerProfile) -> None:
        since = self._registry.roster.generation
        status = await self._monitor.check(profile)
        roster = self._registry.roster
        elsewhere = roster.generation not in (since, self._made)
        if self._wanted != profile.id or (elsewhere and roster.active_id != profile.id):
            raise Superseded(f"Another switch came before {profile.name} had answered.")
        if status.state is State.UNHEALTHY:
            raise ServerUnhealthy(
                f"{profile.name} is unhealthy: {explain(status)} "
                "Switch by force (`--force`) to use it all the same.",
                value=profile.id,
            )
