"""All servers as one value."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from codewalk.errors import ServerNotFound
from codewalk.servers.profile import ServerProfile

Rule = Callable[["Roster"], "Roster"]
"""A pure change of the roster; it raises where it refuses."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Roster:
    """All servers in list order, and which one is what.

    `generation` counts the switches, `revision` the changes of any kind; both only grow.
    `legacy_imported` says whether the Flutter app's servers were imported.
    """

    profiles: tuple[ServerProfile, ...] = ()
    active_id: str | None = None
    default_id: str | None = None
    previous_id: str | None = None
    generation: int = 0
    revision: int = 0
    legacy_imported: bool = False
    _by_id: Mapping[str | None, ServerProfile] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # A frozen value's own way to set what follows from its fields.
        object.__setattr__(self, "_by_id", {profile.id: profile for profile in self.profiles})

    def get(self, server_id: str | None) -> ServerProfile | None:
        return self._by_id.get(server_id)

    def require(self, server_id: str) -> ServerProfile:
        """Return the profile with this id. Raises `ServerNotFound`."""
        profile = self.get(server_id)
        if profile is None:
            raise ServerNotFound(f"No server has the id {server_id!r}.", value=server_id)
        return profile

    @property
    def active(self) -> ServerProfile | None:
        return self.get(self.active_id)

    @property
    def managed(self) -> ServerProfile | None:
        return next((p for p in self.profiles if p.managed), None)
