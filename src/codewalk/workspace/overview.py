"""Everything cached of one server's work, as its home page shows it."""

from dataclasses import dataclass
from typing import Final

from codewalk.workspace.directories import DirectoryChoice
from codewalk.workspace.models import ModelList, cached_models
from codewalk.workspace.projects import ProjectList, cached_projects
from codewalk.workspace.scope import Scope, StateName
from codewalk.workspace.session_changes import SessionChanges
from codewalk.workspace.session_list import SessionList
from codewalk.workspace.sessions import cached_sessions, list_parts

_OF_ALL_DIRECTORIES: Final = (
    StateName.CACHED_PROJECTS,
    StateName.CACHED_MODELS,
    StateName.SELECTED_PROVIDER,
    StateName.SELECTED_MODEL,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Overview:
    """The sessions of one directory or of all, and the projects and models around them."""

    sessions: SessionList
    projects: ProjectList
    models: ModelList


async def cached_overview(
    scope: Scope, directory: DirectoryChoice = None, *, changes: SessionChanges | None = None
) -> Overview:
    """Return the lists as last fetched, empty ones where they never were. Asks no server."""
    others = [(name, None) for name in _OF_ALL_DIRECTORIES]
    scope = await scope.prefetch(*others, *list_parts(scope, directory))
    return Overview(
        sessions=await cached_sessions(scope, directory, changes=changes),
        projects=await cached_projects(scope),
        models=await cached_models(scope),
    )
