"""The choice between light, dark and the system's setting, stored in a cookie."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from starlette.requests import HTTPConnection
from starlette.responses import Response

COOKIE: Final = "codewalk_theme"

COOKIE_MAX_AGE: Final = 365 * 24 * 3600
"""Seconds for which a browser keeps the choice."""


class Theme(StrEnum):
    """The color scheme of the pages."""

    SYSTEM = "system"
    LIGHT = "light"
    DARK = "dark"


BACKGROUND_COLORS: Final[Mapping[Theme, str]] = MappingProxyType(
    {Theme.LIGHT: "#f6f6f4", Theme.DARK: "#131416"}
)
"""The background of a page, for what a browser draws around it."""


def theme_of(connection: HTTPConnection) -> Theme:
    """Return the theme from the cookie; `Theme.SYSTEM` if the cookie is missing or invalid."""
    try:
        return Theme(connection.cookies.get(COOKIE, ""))
    except ValueError:
        return Theme.SYSTEM


def set_theme_cookie(response: Response, theme: Theme) -> None:
    """Have the browser send this theme with later requests."""
    response.set_cookie(
        COOKIE, theme.value, max_age=COOKIE_MAX_AGE, path="/", httponly=True, samesite="strict"
    )
