"""The Jinja2 environment of the pages, with its filters, globals and icons."""

import re
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Final

from jinja2 import DictLoader, Environment, StrictUndefined, Template
from markupsafe import Markup

import codewalk
from codewalk.server import sort_for_switcher
from codewalk.servers.conflict import FIELD_LABELS
from codewalk.servers.health_check import DEFAULT_SETTINGS
from codewalk.times import format_duration, rfc3339
from codewalk.web.assets import ADDRESSES, ASSETS, TEMPLATES
from codewalk.web.chart import bar_lines
from codewalk.web.history_context import CHART_HEIGHT, CHART_WIDTH
from codewalk.web.history_query import Range
from codewalk.web.home_context import ALL_FOLDERS
from codewalk.web.text import (
    LINK_DESCRIPTIONS,
    age_or_date,
    format_axis,
    format_deadline,
    format_latency,
    format_time,
    has_link_state,
    health_sentence,
    session_address,
    session_title,
    short_path,
    visible,
)
from codewalk.web.theme import BACKGROUND_COLORS

MIN_SERVERS_FOR_SEARCH: Final = 8
"""The length from which on the list of servers has a search field."""

FIRST_ROWS: Final = 12
"""Rows of a long list that are painted first by a browser with scripts: a screenful."""

MAX_SWITCHER_ITEMS: Final = 30
"""Servers in the switcher of a rendered page; opened, it asks for all of them."""

MAX_MODELS: Final = 500
"""Models in the picker."""

# Icons are inline SVG, from one file that `hatch_build.py` makes of Lucide's: a `<use>` of it
# would cost the browser a document of its own and a second layout of the page.
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
"""CodeWalk's logo, inline as the icons are."""


@cache
def load_templates() -> Mapping[str, Template]:
    """Return the templates by name, compiled once for all apps of a process."""
    env = Environment(
        loader=DictLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    env.filters |= {
        "age": age_or_date,
        "axis": format_axis,
        "deadline": format_deadline,
        "duration": format_duration,
        "has_link_state": has_link_state,
        "latency": format_latency,
        "rfc3339": rfc3339,
        "sentence": health_sentence,
        "session_address": session_address,
        "session_title": session_title,
        "short_path": short_path,
        "sort_for_switcher": sort_for_switcher,
        "time": format_time,
        "visible": visible,
    }
    env.globals |= {
        "all_folders": ALL_FOLDERS,
        "asset": ADDRESSES,
        "background_colors": BACKGROUND_COLORS,
        "bar_lines": bar_lines,
        "chart_size": (CHART_WIDTH, CHART_HEIGHT),
        "default_settings": dict(DEFAULT_SETTINGS.items()),
        "field_labels": FIELD_LABELS,
        "first_rows": FIRST_ROWS,
        "icon": icon,
        "link_descriptions": LINK_DESCRIPTIONS,
        "logo": LOGO,
        "max_models": MAX_MODELS,
        "max_switcher_items": MAX_SWITCHER_ITEMS,
        "min_servers_for_search": MIN_SERVERS_FOR_SEARCH,
        "ranges": list(Range),
        "version": codewalk.__version__,
    }
    return {name: env.get_template(name) for name in TEMPLATES}
