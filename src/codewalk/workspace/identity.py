"""The identity of an OpenCode server, by which another one at its address is recognised."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from codewalk.opencode.fields import parse_id
from codewalk.times import rfc3339
from codewalk.workspace.directories import parse_directory
from codewalk.workspace.scope import Scope, StateName

GLOBAL_PROJECT: Final = "global"
"""The id that every server gives to what is outside of version control."""

_FOLDERS: Final = ("home", "state", "config")


@dataclass(frozen=True, kw_only=True, slots=True)
class Identity:
    """What stays the same of a server when it is restarted or upgraded.

    Attributes:
        folders: The folders that `/path` names: the user's home, the state, the configuration.
        projects: The ids of its projects, each the first commit of a repository.
        since: When this server was first seen at its address, None where it always was there.
    """

    folders: tuple[str | None, str | None, str | None]
    projects: frozenset[str]
    since: datetime | None = None

    def is_same_server(self, other: "Identity") -> bool:
        """Return whether nothing shows that these are two servers.

        One server's folders stay, and so do its projects, however many are added. No projects
        prove nothing: a server may not have read them yet.
        """
        pairs = zip(self.folders, other.folders, strict=True)
        if any(one and two and one != two for one, two in pairs):
            return False
        return not (self.projects and other.projects) or bool(self.projects & other.projects)


def parse_identity(path: Any, projects: Any) -> Identity:
    """Return the identity in a server's answers to `/path` and `/project`, of any shape."""
    folders = path if isinstance(path, dict) else {}
    items = projects if isinstance(projects, list) else []
    home, state, config = (parse_directory(folders.get(name)) for name in _FOLDERS)
    ids = (parse_id(item.get("id")) for item in items if isinstance(item, dict))
    return Identity(
        folders=(home, state, config),
        projects=frozenset(i for i in ids if i and i != GLOBAL_PROJECT),
    )


async def load_identity(scope: Scope) -> Identity | None:
    """Return the identity that was stored of a server, None where there is none."""
    stored = await scope.get(StateName.IDENTITY)
    try:
        value = stored.value if stored else {}
        home, state, config = value["folders"]
        return Identity(
            folders=(home, state, config),
            projects=frozenset(value["projects"]),
            since=datetime.fromisoformat(value["since"]) if value["since"] else None,
        )
    except (LookupError, TypeError, ValueError):
        return None


async def store_identity(scope: Scope, identity: Identity) -> None:
    """Store the identity of a server."""
    await scope.put(_state(identity))


async def store_identity_alone(scope: Scope, identity: Identity) -> None:
    """Store the identity of another server in place of all that was stored of the earlier one."""
    await scope.replace_all(_state(identity))


def _state(identity: Identity) -> dict[StateName, Any]:
    return {
        StateName.IDENTITY: {
            "folders": identity.folders,
            "projects": sorted(identity.projects),
            "since": rfc3339(identity.since),
        }
    }
