"""The values that the home of the active server shows, and the query that chooses them."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final
from urllib.parse import quote, unquote

from codewalk.app.app import App
from codewalk.errors import Superseded
from codewalk.health.request_warnings import Listing
from codewalk.opencode.activity import Activity
from codewalk.opencode.session import Session
from codewalk.reason import State
from codewalk.server import Server, find_fallback
from codewalk.web.paging import ListPage, encode_query
from codewalk.web.text import short_path
from codewalk.workspace.directories import ALL, DirectoryChoice
from codewalk.workspace.models import ModelList
from codewalk.workspace.projects import Project, ProjectList
from codewalk.workspace.session_list import SessionList
from codewalk.workspace.session_search import find_sessions
from codewalk.workspace.session_tree import root_sessions, with_busy_parents

SESSIONS_PER_PAGE: Final = 50

_NONCE_BYTES: Final = 12


@dataclass(frozen=True, kw_only=True, slots=True)
class HomeQuery:
    """The query of a server's home: which of its sessions are listed.

    Attributes:
        directory: Their directory; `ALL` for all, None for the project that the server runs in.
        words: Words that their titles or folders contain.
        page: The page of the list, from 1.
        archived: Whether archived ones are listed too.
    """

    directory: DirectoryChoice = ALL
    words: str = ""
    page: int = 1
    archived: bool = False

    @property
    def path(self) -> str | None:
        """The path of the one directory whose sessions are listed, None without one."""
        return self.directory if isinstance(self.directory, str) else None

    @property
    def form_fields(self) -> Mapping[str, str]:
        """The hidden fields with which a form keeps the directory.

        A directory is encoded, since browsers change line ends and NUL.
        """
        return {"own": "true"} if self.directory is None else _at(self.path)

    def query_string(self, **changes: Any) -> str:
        """Return the query of an address, with these attributes changed and defaults left out."""
        query = replace(self, **changes)
        fields = {
            "directory": query.path,
            "own": "true" if query.directory is None else "",
            "q": query.words,
            "page": query.page if query.page > 1 else None,
            "archived": "true" if query.archived else "",
        }
        return encode_query({key: value for key, value in fields.items() if value})


def parse_directory_choice(
    *, directory: str = "", at: str = "", own: bool = False
) -> DirectoryChoice:
    """Return the choice of a link, with `directory`, or of a form, with `at`; or the own one."""
    return None if own else directory or unquote(at) or ALL


def _at(directory: str | None) -> dict[str, str]:
    return {"at": quote(directory, safe="/")} if directory else {}


@dataclass(frozen=True, kw_only=True, slots=True)
class Folder:
    """A choice of directories: those of a project, or all of them.

    Attributes:
        id: Distinguishes it from the others in the page.
        name: Its name.
        choice: The choice.
        hint: The path, or what stands for it.
    """

    id: str
    name: str
    choice: DirectoryChoice
    hint: str

    @property
    def encoded(self) -> str:
        """The directory for the field of a form, empty for the server's own."""
        return _at(self.choice if isinstance(self.choice, str) else None).get("at", "")

    @property
    def label(self) -> str:
        """The name and the end of the path: projects may have the same name."""
        path = short_path(self.hint)
        return self.name if path in ("", self.name) else f"{self.name} ({path})"


ALL_FOLDERS: Final = Folder(
    id="all", name="All folders", choice=ALL, hint="All folders of this server"
)
OWN_FOLDER: Final = Folder(id="own", name="Own folder of the server", choice=None, hint="")
"""Stands for the project that the server runs in, before its projects were fetched."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HomeContext:
    """The values that the home of the active server shows.

    Attributes:
        server: The server.
        query: Which sessions are listed.
        listing: Its sessions in that directory, as last fetched, without child sessions, and
            without archived ones unless the query asks for them.
        matches: Those that contain the words of the query.
        projects: Its projects.
        models: Its models.
        busy: What its busy sessions do, by id; a parent does what its child does.
        archived_count: How many sessions of that directory are archived.
        fallback: The server to switch to where this one is down.
        models_failed: Whether it fails to send its models.
        problem: Why its sessions couldn't be fetched.
        title: The title of a new session that couldn't be created.
        target: The directory of a new session that couldn't be created.
        nonce: Identifies the form for a new session, so that sent twice it creates one.
    """

    server: Server
    query: HomeQuery
    listing: SessionList
    matches: tuple[Session, ...]
    projects: ProjectList
    models: ModelList
    busy: Mapping[str, Activity]
    archived_count: int = 0
    fallback: Server | None = None
    models_failed: bool = False
    problem: str | None = None
    title: str = ""
    target: str | None = None
    nonce: str = field(default_factory=partial(secrets.token_urlsafe, _NONCE_BYTES))

    @property
    def page(self) -> ListPage[Session]:
        return ListPage(all_items=self.matches, requested=self.query.page, size=SESSIONS_PER_PAGE)

    @property
    def is_down(self) -> bool:
        """Whether nothing can be created on the server now."""
        return self.server.health.state is State.UNHEALTHY

    @property
    def heading(self) -> str:
        """The path of the folder whose sessions are listed; the server's URL for all of them."""
        own = [project.directory for project in self.projects.projects if project.own]
        if self.query.directory is None and own:
            return own[0]
        return self.query.path or self.server.profile.url

    @property
    def folders(self) -> Sequence[Folder]:
        """The choices of whose sessions are listed; none where there is but one folder."""
        directories = {project.directory for project in self.projects.projects}
        directories |= {session.directory for session in self.listing.sessions}
        if self.query.directory is ALL and len(directories) < 2:
            return ()
        return (ALL_FOLDERS, *self._single_folders(self.query.path))

    @property
    def target_folders(self) -> Sequence[Folder]:
        """The folders in which a session can be created: first the one that is listed."""
        folders = self._single_folders(self.target or self.query.path)
        listed = self.target or self.query.path
        return sorted(folders, key=lambda f: (f.choice != listed, f.choice is not None))

    def _single_folders(self, listed: str | None) -> list[Folder]:
        folders = [_project_folder(project) for project in self.projects.projects]
        if not any(folder.choice is None for folder in folders):
            folders.insert(0, OWN_FOLDER)
        if listed and all(listed != folder.hint for folder in folders):
            folders.append(Folder(id="listed", name=short_path(listed), choice=listed, hint=listed))
        return folders


def _project_folder(project: Project) -> Folder:
    return Folder(
        id=project.id,
        name=project.name,
        choice=None if project.own else project.directory,
        hint=project.directory,
    )


async def load_home_context(
    app: App, server_id: str, query: HomeQuery, *, problem: str | None = None
) -> HomeContext:
    """Return the home of a server as last fetched; no server is asked.

    Raises:
        Superseded: Another server is active.
        InvalidValue: The directory can't be one.
        StorageError: The store can't be read.
    """
    overview = await app.work.overview(query.directory, server_id=server_id)
    # Nothing is awaited from here on, so all values are of one moment.
    server = app.active()
    if server is None or server.id != server_id:
        raise Superseded("Another server became active meanwhile.")
    roots = root_sessions(overview.sessions.sessions)
    listed = roots if query.archived else tuple(s for s in roots if not s.archived)
    return HomeContext(
        server=server,
        query=query,
        listing=replace(overview.sessions, sessions=listed),
        matches=find_sessions(listed, query.words),
        projects=overview.projects,
        models=overview.models,
        busy=with_busy_parents(app.work.busy_sessions(server_id), overview.sessions.sessions),
        archived_count=sum(session.archived for session in roots),
        fallback=find_fallback(app.servers()),
        models_failed=Listing.MODELS in app.work.failing(server_id),
        problem=problem,
    )
