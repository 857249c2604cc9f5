"""Lists that are fetched and cached, as the app does both."""

from codewalk.workspace.projects import ProjectList, cache_projects, fetch_projects
from codewalk.workspace.scope import Scope
from tests.fakes import FakeConnection


async def fetch_and_cache_projects(scope: Scope, connection: FakeConnection) -> ProjectList:
    start = scope.begin_fetch()
    return await cache_projects(scope, await fetch_projects(connection), start)
