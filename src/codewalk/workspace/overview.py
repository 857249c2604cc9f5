"""Everything cached of one server's work, as its home page shows it."""

from dataclasses import dataclass
from typing import Final

from codewalk.workspace.directories import peek_own_directory
from codewalk.workspace.models import ModelList, cached_models
from codewalk.workspace.projects import ProjectList, cached_projects
from codewalk.workspace.scope import Scope, StateName
from codewalk.workspace.session_changes import SessionChanges
from codewalk.workspace.session_list import SessionList
from codewalk.workspace.sessions import cached_sessions

_OF_ALL_DIRECTORIES: Final = (
    StateName.OWN_DIRECTORY,
    StateName.CACHED_PROJECTS,
    StateName.CACHED_MODELS,
    StateName.SELECTED_PROVIDER,
    StateName.SELECTED_MODEL,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Overview:
    """The sessions of one directory, and the projects and models around them."""

    sessions: SessionList
    projects: ProjectList
    models: ModelList


async def cached_overview(
    scope: Scope, directory: str | None = None, *, changes: SessionChanges | None = None
) -> Overview:
    """Return the lists as last fetched, empty ones where they never were. Asks no server."""
    parts: list[tuple[StateName, str | None]] = [(name, None) for name in _OF_ALL_DIRECTORIES]
    # Which directory is the server's own is stored too. The one last seen is all but always still
    # right; if it isn't, `cached_sessions` reads the right list in a second round trip.
    likely = peek_own_directory(scope) if directory is None else directory
    if likely is not None:
        parts.append((StateName.CACHED_SESSIONS, likely))
    scope = await scope.prefetch(*parts)
    return Overview(
        sessions=await cached_sessions(scope, directory, changes=changes),
        projects=await cached_projects(scope),
        models=await cached_models(scope),
    )
