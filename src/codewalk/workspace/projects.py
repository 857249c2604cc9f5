"""The projects of one server: the directories in which people work with it."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Literal

from codewalk.errors import RequestFailed
from codewalk.opencode.fields import Timestamps, parse_id, parse_text, parse_times, take_within
from codewalk.reason import Reason
from codewalk.times import rfc3339
from codewalk.workspace.directories import parse_directory, parse_own_directory, put_own_directory
from codewalk.workspace.identity import Identity, parse_identity
from codewalk.workspace.scope import Scope, Serializer, StateName
from codewalk.workspace.state_cache import FetchStart

if TYPE_CHECKING:
    from codewalk.opencode.connection import Connection

MAX_PROJECTS: Final = 1000
"""Projects of a list."""

MAX_NAME: Final = 500
"""Characters of a project's name."""

MAX_TEXT: Final = 256 * 2**10
"""Characters of a list's names and directories; a thousand real projects have half as many."""

FILESYSTEM_ROOT: Final = "/"
"""The worktree that a server names for everything outside of version control."""

_SLASHES: Final = re.compile(r"[/\\]+")


@dataclass(frozen=True, kw_only=True, slots=True)
class Project(Timestamps):
    """One project. Its name is the one it was given, else its directory's.

    With `own` the server was started in it: its sessions are listed without a directory.
    """

    id: str
    directory: str
    name: str
    own: bool = False

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "directory": self.directory,
            "name": self.name,
            "own": self.own,
            "created_at": rfc3339(self.created_at),
            "updated_at": rfc3339(self.updated_at),
        }


Projects = tuple[Project, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class ProjectList:
    """The projects of a server, the one last worked in first; its own is always among them.

    `fetched_at` is when the server was asked, None where it never was: then the list is empty.
    """

    server_id: str
    source: Literal["live", "cache"]
    fetched_at: datetime | None
    projects: Projects

    def to_json(self) -> dict[str, Any]:
        return {
            "server_id": self.server_id,
            "source": self.source,
            "fetched_at": rfc3339(self.fetched_at),
            "projects": [project.to_json() for project in self.projects],
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class FetchedProjects:
    """A server's answers to `/path` and `/project`, and its identity according to them."""

    projects: Projects
    own_directory: str | None
    identity: Identity


async def fetch_projects(connection: "Connection") -> FetchedProjects:
    """Fetch the list of projects.

    A server lists one more project with the worktree `/`: everything outside of version control.
    No sessions are listed for that directory, so that project is left out, unless the server was
    started there: then it is its own, with the directory in which it was started.

    Raises:
        RequestFailed: The server can't be reached, or its answers aren't a list and a path.
    """
    path = await connection.get_json("/path")
    body = await connection.get_json("/project")
    if not (isinstance(path, dict) and isinstance(body, list)):
        raise RequestFailed(Reason.NOT_OPENCODE, "Its list of projects isn't a list.")
    items = body[:MAX_PROJECTS]
    parsed = [project for item in items if (project := _parse(item))]
    return FetchedProjects(
        projects=_arrange(parsed, path),
        own_directory=parse_own_directory(path),
        identity=parse_identity(path, items),
    )


async def cache_projects(scope: Scope, fetched: FetchedProjects, start: FetchStart) -> ProjectList:
    """Cache the list, and return it."""
    projects = fetched.projects
    if fetched.own_directory:
        await put_own_directory(scope, fetched.own_directory, start)
    await scope.put_cached(_SERIALIZER, projects, start)
    return ProjectList(
        server_id=scope.server_id, source="live", fetched_at=start.at, projects=projects
    )


async def cached_projects(scope: Scope) -> ProjectList:
    """Return the list as last fetched, an empty one where it never was. Asks no server."""
    stored = await scope.get_cached(_SERIALIZER)
    return ProjectList(
        server_id=scope.server_id,
        source="cache",
        fetched_at=stored.updated_at if stored else None,
        projects=stored.value if stored else (),
    )


def _parse(item: Any) -> Project | None:
    """Return a project out of a server's answer, None for anything else."""
    if not isinstance(item, dict):
        return None
    project_id, directory = parse_id(item.get("id")), parse_directory(item.get("worktree"))
    if project_id is None or directory is None:
        return None
    created, updated = parse_times(item.get("time"))
    return Project(
        id=project_id,
        directory=directory,
        name=parse_text(item.get("name"), MAX_NAME).strip() or _last_part(directory),
        created_ms=created,
        updated_ms=updated,
    )


def _arrange(projects: Iterable[Project], path: dict[str, Any]) -> Projects:
    """Return the one last worked in first, each directory once, the server's own among them."""
    own = _own(projects, path)
    by_directory = {p.directory: p for p in projects if p.directory != FILESYSTEM_ROOT}
    if own:
        by_directory[own.directory] = own
    newest_first = sorted(by_directory.values(), key=lambda p: p.updated_ms or 0, reverse=True)
    return tuple(take_within(newest_first, MAX_TEXT, _length))


def _length(project: Project) -> int:
    # The server's own is listed even where the others leave no room.
    return 0 if project.own else len(project.name) + len(project.directory)


def _own(projects: Iterable[Project], path: dict[str, Any]) -> Project | None:
    worktree = parse_directory(path.get("worktree"))
    directory = parse_directory(path.get("directory"))
    same = next((project for project in projects if project.directory == worktree), None)
    if same and worktree != FILESYSTEM_ROOT:
        return replace(same, own=True)
    if directory is None:
        return None
    return Project(
        id=same.id if same else directory,
        directory=directory,
        name=_last_part(directory),
        own=True,
        created_ms=same.created_ms if same else None,
        updated_ms=same.updated_ms if same else None,
    )


def _last_part(directory: str) -> str:
    return _SLASHES.split(directory.rstrip("/\\"))[-1][:MAX_NAME] or directory


def _dump(projects: Projects) -> list[list[Any]]:
    return [[p.id, p.directory, p.name, p.own, p.created_ms, p.updated_ms] for p in projects]


def _load(rows: Any) -> Projects:
    return tuple(
        Project(
            id=project_id,
            directory=directory,
            name=name,
            own=own,
            created_ms=created,
            updated_ms=updated,
        )
        for project_id, directory, name, own, created, updated in rows
    )


_SERIALIZER: Final = Serializer(name=StateName.CACHED_PROJECTS, dump=_dump, load=_load)
