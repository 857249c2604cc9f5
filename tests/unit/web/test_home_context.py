"""The folders of a server's home, and the queries of its addresses."""

from dataclasses import replace

import pytest

from codewalk.web.home_context import ALL_FOLDERS, HomeQuery, parse_directory_choice
from codewalk.workspace.directories import ALL, DirectoryChoice
from tests.unit.web.samples import home_context, project_list, server

UP = server(active=True)


@pytest.mark.parametrize(
    ("query", "address", "fields"),
    [
        (HomeQuery(), "", {}),
        (HomeQuery(directory=None), "?own=true", {"own": "true"}),
        (HomeQuery(directory="/a b"), "?directory=%2Fa+b", {"at": "/a%20b"}),
        (
            HomeQuery(directory="/a", words="x y", page=2, archived=True),
            "?directory=%2Fa&q=x+y&page=2&archived=true",
            {"at": "/a"},
        ),
    ],
)
def test_a_query_survives_as_an_address_and_as_fields(
    query: HomeQuery, address: str, fields: dict[str, str]
) -> None:
    assert query.query_string() == address
    assert query.form_fields == fields
    at, own = fields.get("at", ""), "own" in fields
    assert parse_directory_choice(at=at, own=own) == query.directory
    assert query.query_string(directory=ALL, words="", page=1, archived=False) == ""


def names(shown_in: DirectoryChoice, *projects: str) -> list[str]:
    shown = home_context(UP, query=HomeQuery(directory=shown_in), projects=project_list(*projects))
    return [folder.name for folder in shown.folders]


def test_all_folders_come_first_and_one_folder_is_no_choice() -> None:
    assert names(ALL, "shop", "docs") == ["All folders", "shop", "docs"]
    assert names(ALL, "shop") == []
    assert names(None, "shop") == ["All folders", "shop"]
    assert names("/srv/else", "shop") == ["All folders", "shop", "/srv/else"]
    assert HomeQuery().directory == ALL_FOLDERS.choice


def test_sessions_of_another_folder_make_a_choice() -> None:
    shown = home_context(UP, "One", projects=project_list("shop"))
    elsewhere = replace(shown.listing.sessions[0], directory="/srv/notes")
    assert home_context(UP, "One", projects=project_list()).folders == ()
    listing = replace(shown.listing, sessions=(elsewhere,))
    assert [f.name for f in replace(shown, listing=listing).folders] == ["All folders", "shop"]


def test_a_session_is_created_in_the_listed_folder_or_else_the_servers_own() -> None:
    def targets(query: HomeQuery, target: str | None = None) -> list[str]:
        projects = project_list("shop", "docs", "api")
        shown = home_context(UP, query=query, projects=projects, target=target)
        return [folder.encoded for folder in shown.target_folders]

    assert targets(HomeQuery()) == ["", "/srv/docs", "/srv/api"]
    assert targets(HomeQuery(directory="/srv/api")) == ["/srv/api", "", "/srv/docs"]
    assert targets(HomeQuery(directory="/srv/x")) == ["/srv/x", "", "/srv/docs", "/srv/api"]
    assert targets(HomeQuery(), target="/srv/docs") == ["/srv/docs", "", "/srv/api"]
    assert [f.encoded for f in home_context(UP, projects=project_list()).target_folders] == [""]


def test_projects_of_one_name_differ_by_their_path() -> None:
    projects = project_list("shop", "docs")
    twin = replace(projects.projects[1], id="x", directory="/home/ana/work/docs")
    shown = home_context(UP, projects=replace(projects, projects=(*projects.projects, twin)))
    assert [folder.label for folder in shown.target_folders] == [
        "shop (/srv/shop)",
        "docs (/srv/docs)",
        "docs (…/work/docs)",
    ]


def test_the_heading_names_the_folder() -> None:
    projects = project_list("shop", "docs")
    headings = [
        home_context(UP, query=HomeQuery(directory=choice), projects=projects).heading
        for choice in (ALL, None, "/srv/docs")
    ]
    assert headings == [UP.profile.url, "/srv/shop", "/srv/docs"]


def test_each_rendered_form_has_its_own_nonce() -> None:
    assert len({home_context(UP).nonce for _ in range(10)}) == 10
