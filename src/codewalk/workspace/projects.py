"""The projects of one server: the folders in which people work with it."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Literal

from codewalk.errors import RequestFailed
from codewalk.opencode.fields import (
    MAX_DIRECTORY,
    Timestamps,
    parse_id,
    parse_text,
    parse_times,
    take_within,
)
from codewalk.reason import Reason
from codewalk.times import rfc3339
from codewalk.workspace.scope import Scope, Serializer, StateName

if TYPE_CHECKING:
    from codewalk.opencode.connection import Connection

MAX_PROJECTS: Final = 1000
MAX_NAME: Final = 500
MAX_TEXT: Final = 256 * 2**10
"""Characters of a list's names and directories; those of a thousand real projects are half."""

FILESYSTEM_ROOT: Final = "/"
"""The folder that a server names for all that isn't under version control. Nobody works there."""

_SLASHES: Final = re.compile(r"[/\\]+")


@dataclass(frozen=True, kw_only=True, slots=True)
class Project(Timestamps):
    """One project. Its name is the one it was given, else its folder's.

    `own` tells that the server was started in it: its sessions are those that are listed without a
    directory.
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
    """The projects of a server, the last one worked in first; its own one is always among them.

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


async def fetch_projects(scope: Scope, connection: "Connection") -> ProjectList:
    """Asks the server, and keeps the answer in its scope. Raises `RequestFailed`.

    A server names one more project, whose folder is `/`: all that isn't under version control.
    Nothing is listed for that folder, so that project is left out, unless the server was started
    there: then it is its own one, with the folder it was started in.
    """
    asked = scope.begin_fetch()
    path = await connection.get_json("/path")
    body = await connection.get_json("/project")
    if not (isinstance(path, dict) and isinstance(body, list)):
        raise RequestFailed(Reason.NOT_OPENCODE, "Its list of projects isn't a list.")
    found = [project for item in body[:MAX_PROJECTS] if (project := _project(item))]
    projects = _arranged(found, path)
    await scope.put_cached(_SERIALIZER, projects, asked)
    return ProjectList(
        server_id=scope.server_id, source="live", fetched_at=asked.at, projects=projects
    )


async def cached_projects(scope: Scope) -> ProjectList:
    """The list as last fetched; empty where it never was. Asks no server."""
    kept = await scope.get_cached(_SERIALIZER)
    return ProjectList(
        server_id=scope.server_id,
        source="cache",
        fetched_at=kept.updated_at if kept else None,
        projects=kept.value if kept else (),
    )


def _project(item: Any) -> Project | None:
    """A project of the server's answer; None for what isn't one."""
    if not isinstance(item, dict):
        return None
    project_id, directory = parse_id(item.get("id")), _directory(item.get("worktree"))
    if project_id is None or directory is None:
        return None
    created, updated = parse_times(item.get("time"))
    return Project(
        id=project_id,
        directory=directory,
        name=parse_text(item.get("name"), MAX_NAME).strip() or _folder(directory),
        created_ms=created,
        updated_ms=updated,
    )


def _arranged(found: Iterable[Project], path: dict[str, Any]) -> Projects:
    """The last one worked in first, each folder once, the server's own among them."""
    own = _own(found, path)
    listed = {
        project.directory: project for project in found if project.directory != FILESYSTEM_ROOT
    }
    if own:
        listed[own.directory] = own
    newest_first = sorted(listed.values(), key=lambda p: p.updated_ms or 0, reverse=True)
    return tuple(take_within(newest_first, MAX_TEXT, _length))


def _length(project: Project) -> int:
    # The server's own one is always among them.
    return 0 if project.own else len(project.name) + len(project.directory)


def _own(found: Iterable[Project], path: dict[str, Any]) -> Project | None:
    worktree, directory = _directory(path.get("worktree")), _directory(path.get("directory"))
    same = next((project for project in found if project.directory == worktree), None)
    if same and worktree != FILESYSTEM_ROOT:
        return replace(same, own=True)
    if directory is None:
        return None
    return Project(
        id=same.id if same else directory,
        directory=directory,
        name=_folder(directory),
        own=True,
        created_ms=same.created_ms if same else None,
        updated_ms=same.updated_ms if same else None,
    )


def _directory(value: Any) -> str | None:
    # Whole or not at all: it is asked for again.
    return value if isinstance(value, str) and 0 < len(value) <= MAX_DIRECTORY else None


def _folder(directory: str) -> str:
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
