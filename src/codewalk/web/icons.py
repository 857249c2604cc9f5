"""The pages' icons, from one file that `hatch_build.py` makes of Lucide's.

Each stands in the page as it is drawn. A `<use>` of that file costs a browser a document of its own
for it, and a second layout of the page once it is there.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from markupsafe import Markup

from codewalk.web.files import ASSETS

_SYMBOL: Final = re.compile(r'<symbol id="([a-z0-9-]+)"[^>]*>(.*?)</symbol>')
_CIRCLE: Final = re.compile(r'<circle cx="([\d.]+)" cy="([\d.]+)" r="([\d.]+)" ?/>')
_BETWEEN_SHAPES: Final = re.compile(r" ?/> ?")


def _read() -> Mapping[str, Markup]:
    symbols = _SYMBOL.findall(ASSETS["vendor/icons.svg"].body.decode())
    return MappingProxyType({name: _drawn(shapes) for name, shapes in symbols})


def _drawn(shapes: str) -> Markup:
    circles = _CIRCLE.findall(shapes)
    if circles and not _CIRCLE.sub("", shapes).strip():
        # Six dots are six elements for a browser to style, in each of two hundred rows.
        shapes = f'<path d="{"".join(_round(float(x), y, float(r)) for x, y, r in circles)}"/>'
    inside = Markup(_BETWEEN_SHAPES.sub("/>", shapes))  # noqa: S704 - the build's own file
    return Markup('<svg class="icon" viewBox="0 0 24 24" aria-hidden="true">{}</svg>').format(
        inside
    )


def _round(x: float, y: str, r: float) -> str:
    """A circle as a part of a path: two halves."""
    return f"M{x - r:g} {y}a{r:g} {r:g} 0 1 0 {2 * r:g} 0a{r:g} {r:g} 0 1 0-{2 * r:g} 0"


ICONS: Final = _read()
"""Each icon by its name, as it stands in a page: a picture beside words, which alone are read."""


def icon(name: str) -> Markup:
    """The icon with this name of Lucide's. Raises `LookupError` where `ICONS` has none."""
    try:
        return ICONS[name]
    except KeyError:
        raise LookupError(
            f"There is no icon {name!r}; hatch_build.py lists those there are."
        ) from None


LOGO: Final = Markup(  # noqa: S704 - the package's own file
    ASSETS["icon.svg"].body.decode().replace("<svg ", '<svg class="logo" aria-hidden="true" ', 1)
)
"""CodeWalk's own picture, to stand in a page: as a file it would be a document of its own too."""
