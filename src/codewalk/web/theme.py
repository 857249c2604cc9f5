"""Light, dark, or as the system has it: what was chosen in a browser, and is kept there."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from starlette.requests import HTTPConnection
from starlette.responses import Response

COOKIE: Final = "codewalk_theme"
KEPT: Final = 365 * 24 * 3600
"""Seconds that a browser keeps the choice."""


class Theme(StrEnum):
    """How pages look."""

    SYSTEM = "system"
    LIGHT = "light"
    DARK = "dark"


BACKGROUND_COLORS: Final[Mapping[Theme, str]] = MappingProxyType(
    {Theme.LIGHT: "#f6f6f4", Theme.DARK: "#131416"}
)
"""The colour of a page's ground, for what a browser draws around the page."""


def theme_of(connection: HTTPConnection) -> Theme:
    """What the browser that asks was told to keep."""
    try:
        return Theme(connection.cookies.get(COOKIE, ""))
    except ValueError:
        return Theme.SYSTEM


def keep(response: Response, theme: Theme) -> None:
    response.set_cookie(
        COOKIE, theme.value, max_age=KEPT, path="/", httponly=True, samesite="strict"
    )
