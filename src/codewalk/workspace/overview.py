"""All that is kept of the work on one server, as a page shows it."""

from dataclasses import dataclass
from typing import Final

from codewalk.workspace.models import ModelList, cached_models
from codewalk.workspace.projects import ProjectList, cached_projects
from codewalk.workspace.scope import Scope, StateName
from codewalk.workspace.sessions import SessionList, cached_sessions

_OF_ALL_PLACES: Final = (
    StateName.CACHED_PROJECTS,
    StateName.CACHED_MODELS,
    StateName.SELECTED_PROVIDER,
    StateName.SELECTED_MODEL,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Overview:
    """What was last fetched: the sessions of one directory, and what stands around them."""

    sessions: SessionList
    projects: ProjectList
    models: ModelList


async def cached_overview(scope: Scope, directory: str | None = None) -> Overview:
    """As last fetched, read in one go; empty lists where they never were. Asks no server."""
    ahead = await scope.prefetch(
        (StateName.CACHED_SESSIONS, directory or ""), *((name, None) for name in _OF_ALL_PLACES)
    )
    return Overview(
        sessions=await cached_sessions(ahead, directory),
        projects=await cached_projects(ahead),
        models=await cached_models(ahead),
    )
