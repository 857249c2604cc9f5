"""Light, dark or as the system has it, as a page is rendered."""

import re

import pytest
from starlette.requests import HTTPConnection

from codewalk.web.assets import ASSETS
from codewalk.web.problems import UNEXPECTED
from codewalk.web.theme import BACKGROUND_COLORS, Theme, theme_of
from tests.unit.web.samples import VIEWS, page_context, read_body, server


def asked_with(cookie: str) -> HTTPConnection:
    return HTTPConnection({"type": "http", "headers": [(b"cookie", cookie.encode())]})


def page(theme: Theme) -> str:
    return read_body(VIEWS.with_theme(theme).servers_page(page_context(server())))


@pytest.mark.parametrize("theme", list(Theme))
def test_a_page_is_as_it_was_chosen_and_says_so(theme: Theme) -> None:
    html = page(theme)
    assert f'<html lang="en" data-theme="{theme}">' in html
    pressed = re.findall(r'value="(\w+)" aria-pressed="true"', html)
    assert pressed == [theme]
    assert html.count('aria-pressed="false"') == 2


def test_the_page_has_the_colours_for_the_browser() -> None:
    metas = {
        theme: re.findall(r'name="(?:theme-color|color-scheme)" .*>', page(theme))
        for theme in Theme
    }
    light, dark = BACKGROUND_COLORS[Theme.LIGHT], BACKGROUND_COLORS[Theme.DARK]
    assert metas == {
        Theme.SYSTEM: [
            'name="color-scheme" content="light dark">',
            f'name="theme-color" content="{light}" media="(prefers-color-scheme: light)">',
            f'name="theme-color" content="{dark}" media="(prefers-color-scheme: dark)">',
        ],
        Theme.LIGHT: [
            'name="color-scheme" content="light">',
            f'name="theme-color" content="{light}">',
        ],
        Theme.DARK: [
            'name="color-scheme" content="dark">',
            f'name="theme-color" content="{dark}">',
        ],
    }


def test_the_colours_are_those_of_the_style_sheet() -> None:
    style = ASSETS["app.css"].body.decode()
    light, dark = BACKGROUND_COLORS.values()
    assert f"--background: light-dark({light}, {dark});" in style


def test_views_of_one_browser_leave_the_others_alone() -> None:
    problem = VIEWS.with_theme(Theme.DARK).error_page(UNEXPECTED)
    assert b'data-theme="dark"' in bytes(problem.body)
    assert b'data-theme="system"' in bytes(VIEWS.error_page(UNEXPECTED).body)


@pytest.mark.parametrize(
    ("cookie", "theme"),
    [
        ("codewalk_theme=dark", Theme.DARK),
        ("a=1; codewalk_theme=light", Theme.LIGHT),
        ("codewalk_theme=system", Theme.SYSTEM),
        ("codewalk_theme=DARK", Theme.SYSTEM),
        ('codewalk_theme="><script>', Theme.SYSTEM),
        ("codewalk_theme", Theme.SYSTEM),
        ("other=dark", Theme.SYSTEM),
        ("", Theme.SYSTEM),
    ],
)
def test_a_cookie_is_believed_only_where_it_names_a_theme(cookie: str, theme: Theme) -> None:
    assert theme_of(asked_with(cookie)) is theme


def test_the_style_sheet_goes_by_no_descendant_of_the_whole_page() -> None:
    # Each row that is put into the page would be looked at for it: ten times the work, measured.
    style = ASSETS["app.css"].body.decode()
    assert not re.findall(r"(?::root|html|body|main)[^ {,]*:has\(", style)
