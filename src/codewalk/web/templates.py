"""The Jinja2 environment of the pages, with its filters and globals."""

from collections.abc import Mapping
from functools import cache
from typing import Final

from jinja2 import DictLoader, Environment, StrictUndefined, Template

import codewalk
from codewalk.server import sort_for_switcher
from codewalk.servers.health_check import DEFAULT_SETTINGS
from codewalk.times import format_duration, rfc3339
from codewalk.web.assets import ADDRESSES, TEMPLATES
from codewalk.web.chart import bar_lines
from codewalk.web.history_context import CHART_HEIGHT, CHART_WIDTH
from codewalk.web.history_query import Range
from codewalk.web.icons import LOGO, icon
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
        "asset": ADDRESSES,
        "background_colors": BACKGROUND_COLORS,
        "bar_lines": bar_lines,
        "chart_size": (CHART_WIDTH, CHART_HEIGHT),
        "default_settings": dict(DEFAULT_SETTINGS.items()),
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
