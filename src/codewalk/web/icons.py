"""Icons as inline SVG, from one file that `hatch_build.py` makes of Lucide's.

They are inline because a `<use>` of that file would cost the browser a document of its own and a
second layout of the page.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from markupsafe import Markup

from codewalk.web.assets import ASSETS

_SYMBOL: Final = re.compile(r'<symbol id="([a-z0-9-]+)"[^>]*>(.*?)</symbol>')
_CIRCLE: Final = re.compile(r'<circle cx="([\d.]+)" cy="([\d.]+)" r="([\d.]+)" ?/>')
_SHAPE_END: Final = re.compile(r" ?/> ?")


def _read_icons() -> Mapping[str, Markup]:
    symbols = _SYMBOL.findall(ASSETS["vendor/icons.svg"].body.decode())
    return MappingProxyType({name: _inline_svg(shapes) for name, shapes in symbols})


def _inline_svg(shapes: str) -> Markup:
    circles = _CIRCLE.findall(shapes)
    if circles and not _CIRCLE.sub("", shapes).strip():
        # One element instead of six for the dots of each of two hundred rows.
        shapes = (
            f'<path d="{"".join(_circle_path(float(x), y, float(r)) for x, y, r in circles)}"/>'
        )
    content = Markup(_SHAPE_END.sub("/>", shapes))  # noqa: S704 - the build's own file
    return Markup('<svg class="icon" viewBox="0 0 24 24" aria-hidden="true">{}</svg>').format(
        content
    )


def _circle_path(x: float, y: str, r: float) -> str:
    """Return a circle as two arcs of a path."""
    return f"M{x - r:g} {y}a{r:g} {r:g} 0 1 0 {2 * r:g} 0a{r:g} {r:g} 0 1 0-{2 * r:g} 0"


ICONS: Final = _read_icons()
"""Each icon by its name; screen readers ignore it, and read the text beside it."""


def icon(name: str) -> Markup:
    """Return the Lucide icon with this name. Raises `LookupError` for one that isn't built in."""
    try:
        return ICONS[name]
    except KeyError:
        raise LookupError(f"There is no icon {name!r}; the list is in hatch_build.py.") from None


LOGO: Final = Markup(  # noqa: S704 - the package's own file
    ASSETS["icon.svg"].body.decode().replace("<svg ", '<svg class="logo" aria-hidden="true" ', 1)
)
"""CodeWalk's logo, inline for the same reason."""
