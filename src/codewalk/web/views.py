"""Values to HTML. What a server sent or a user typed is escaped here, and marked up nowhere."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final, Self

from fastapi.responses import HTMLResponse
from jinja2 import DictLoader, Environment, StrictUndefined, Template
from markupsafe import Markup

import codewalk
from codewalk.health.status import HealthStatus
from codewalk.history.history import Check
from codewalk.reason import State
from codewalk.server import Server, sort_for_switcher
from codewalk.servers.health_check import DEFAULT_SETTINGS
from codewalk.times import rfc3339
from codewalk.web.chart import bar, bar_lines
from codewalk.web.files import ADDRESSES, TEMPLATES
from codewalk.web.forms import ServerForm
from codewalk.web.history_context import CHART_HEIGHT, CHART_WIDTH, HistoryContext
from codewalk.web.history_query import Range
from codewalk.web.icons import LOGO, icon
from codewalk.web.page_context import SESSIONS_PER_PAGE, Alert, HomeContext, PageContext
from codewalk.web.problems import Problem
from codewalk.web.streamed_page import StreamedPage
from codewalk.web.text import (
    LINK_DESCRIPTIONS,
    age,
    axis,
    duration,
    has_link_state,
    milliseconds,
    moment,
    opencode_address,
    sentence,
    short_path,
    until,
)
from codewalk.web.theme import BACKGROUND_COLORS, Theme
from codewalk.web.toasts import MORE_TOAST_ID, Toast, more_text

MIN_SERVERS_FOR_SEARCH: Final = 8
"""Servers from which on their list can be searched."""

FIRST_ROWS: Final = 12
"""Rows that a browser with scripts has before it can show anything: as many as a screen has."""

MAX_SWITCHER_ITEMS: Final = 30
"""Servers in the switcher as a page is painted; it asks for all of them when it opens."""

MAX_MODELS: Final = 500
"""Models in the picker."""

FRESH_SECONDS: Final = 15.0
"""Seconds for which a list that was fetched counts as what the server has now."""


class Views:
    """The templates. The macros under `parts/` serve pages and live updates alike.

    `recent` gives what a server's last checks said of it, oldest first, for the bar in its row.
    """

    def __init__(
        self,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        recent: Callable[[str], Sequence[State]] = lambda _: (),
    ) -> None:
        self._now = now
        self._theme = Theme.SYSTEM
        self._templates = _templates()
        self._recent = recent

    def themed(self, theme: Theme) -> Self:
        """The same, for a browser that has its pages light or dark."""
        views = copy(self)
        views._theme = theme  # noqa: SLF001 - its own copy
        return views

    # Whole pages

    def page(self, name: str, *, status: int = 200, **values: Any) -> HTMLResponse:
        return HTMLResponse(self._templates[name].render(self._common() | values), status)

    def _common(self) -> dict[str, Any]:
        now = self._now()
        return {"notice": None, "place": "", "about": "", "now": now, "theme": self._theme}

    def servers_page(self, frame: PageContext, *, status: int = 200, **shown: Any) -> StreamedPage:
        """The list of servers.

        `shown` may have a `notice`, the profile that was `removed`, and the status that was found
        where the user let CodeWalk have `looked`.
        """
        values = {"frame": frame, "place": "servers", "removed": None, "looked": None}
        values = self._common() | values | {"recent": self._recent} | shown
        return StreamedPage(self._templates["servers.html"].generate(values), status)

    def home_page(
        self,
        frame: PageContext,
        home: HomeContext,
        *,
        status: int = 200,
        notice: Alert | None = None,
    ) -> HTMLResponse:
        values = {"frame": frame, "notice": notice, "place": "home"}
        fetched = self._fetched(home)
        return self.page("home.html", status=status, home=home, fetched=fetched, **values)

    def server_page(
        self, frame: PageContext, past: HistoryContext, checks: Sequence[Check]
    ) -> HTMLResponse:
        """One server: how it is and how it has been."""
        server = past.server
        shown: dict[str, Any] = {"server": server, "past": past, "cells": bar(checks)}
        return self.page("server.html", frame=frame, about=server.id, **shown)

    def error_page(self, problem: Problem) -> HTMLResponse:
        return self.page("error.html", status=problem.status, problem=problem)

    # Parts of a page, each in an envelope that tells htmx where it goes

    def server_list_fragment(self, frame: PageContext) -> str:
        return _part(
            "servers",
            self._parts("server").server_list(frame, self._now(), self._recent),
        )

    def server_row_fragments(self, servers: Iterable[Server]) -> str:
        parts, now = self._parts("server"), self._now()
        return "".join(
            _part(f"server-{s.id}", parts.server_row(s, now, self._recent)) for s in servers
        )

    def server_status_fragments(self, servers: Iterable[Server]) -> str:
        """What rows report: less than a row, where nothing else of it changed."""
        parts, now = self._parts("server"), self._now()
        return "".join(_part(f"status-{s.id}", parts.status(s, now, self._recent)) for s in servers)

    def server_menu_items(self, server: Server) -> str:
        """What can be done to a server, for its menu in the list."""
        menu: Markup = self._parts("server").menu(server)
        return menu

    def last_check_fragments(self, servers: Iterable[Server]) -> str:
        parts, now = self._parts("server"), self._now()
        return "".join(_part(f"pulse-{s.id}", parts.pulse(s, now, self._recent)) for s in servers)

    def switcher_list_fragments(self, frame: PageContext, *, known: str) -> str:
        """The switcher's list, if it isn't `known` by its stamp, and when to ask for it again."""
        parts = self._parts("switcher")
        again = _part_at("#picks-again", parts.again(frame.stamp), swap="outerHTML settle:0")
        if known == frame.stamp:
            return again
        return _part("picks", parts.picks(sort_for_switcher(frame.servers))) + again

    def switcher_item_fragments(self, servers: Iterable[Server]) -> str:
        """Each server's place in the switcher."""
        parts = self._parts("switcher")
        return "".join(_part(f"pick-{s.id}", parts.pick(s)) for s in servers)

    def switcher_button_fragment(self, frame: PageContext) -> str:
        """The switcher's button, which tells the active server."""
        return _part("active", self._parts("switcher").button(frame.active))

    def appearance_fragment(self, theme: Theme) -> str:
        return _part("appearance", self._parts("appearance").appearance(theme))

    def home_fragments(self, frame: PageContext, home: HomeContext, *, within: bool) -> str:
        """All that a page shows with another home: of the same server, if it still shows that
        (`within`), or in the place of whichever it shows."""
        title = str(Markup("<title>{} · CodeWalk</title>").format(home.server.name))
        html = self._parts("home").home(home, self._fetched(home), self._now())
        place = f"#home-{home.server.id}" if within else ".home"
        # A link that was followed in a list that scrolls within the page stays in view there.
        main = _part_at(place, html, swap="outerHTML focusScroll:true show:top settle:0")
        return title + main + self.switcher_button_fragment(frame) + self.alert_fragment(None)

    def session_list_fragment(self, home: HomeContext) -> str:
        html = self._parts("home").sessions(home, self._fetched(home), self._now())
        return _part(f"sessions-{home.server.id}", html)

    def project_and_model_fragments(self, home: HomeContext) -> str:
        """What stands around the sessions: projects to choose from, and models."""
        parts, server = self._parts("home"), home.server
        projects = _part(f"projects-{server.id}", parts.projects(home))
        return projects + _part(f"model-{server.id}", parts.model_picker(home))

    def toast_fragments(self, news: Sequence[Toast], *, more: int) -> str:
        """Toasts, each in the place of an earlier one about the same; `more` counts servers."""
        parts = self._parts("news")
        toasts = {told.place: parts.toast(told) for told in news}
        if more:
            toasts[MORE_TOAST_ID] = parts.more(MORE_TOAST_ID, more_text(more))
        if not toasts:
            return ""
        gone = "".join(map(self.removal_fragment, toasts))
        return gone + _part_at("#toasts", Markup().join(toasts.values()), swap="beforeend")

    def current_health_fragment(self, server: Server, checks: Sequence[Check]) -> str:
        """How a server is, on its own page."""
        html = self._parts("history").now_part(server, bar(checks), self._now())
        return _part(f"now-{server.id}", html)

    def check_cells_fragment(self, server: Server, checks: Sequence[Check]) -> str:
        """The last checks one by one, over the bar in a server's row."""
        html = self._parts("history").sixty(server, bar(checks), self._now())
        return _part_at(f"#status-{server.id} .facts > i", html, swap="innerMorph")

    def history_fragment(self, past: HistoryContext, *, again: bool = False) -> str:
        """How a server has been; where it is asked for `again`, only for a page that shows the same
        still, and didn't go on to another time meanwhile."""
        html = self._parts("history").past_part(past, self._now())
        same = f"[data-mark='{past.mark}']" if again else ""
        return _part(f"past-{past.server.id}{same}", html)

    def local_check_fragment(self, usual: str, found: HealthStatus) -> str:
        return _part("look", self._parts("first").look(usual, found))

    def removal_fragment(self, target: str) -> str:
        """Takes something out of the page."""
        return _part_at(f"#{target}", Markup(), swap="delete")

    def alert_fragment(self, notice: Alert | None) -> str:
        return _part("notices", self._parts("chrome").notices(notice))

    def form_fragment(self, form: ServerForm) -> str:
        return _part("server-form", self._parts("form").server_form(form))

    def field_message_fragment(self, field: str, *, error: str = "", hint: str = "") -> str:
        """What is said of a field of the form while somebody types there."""
        return _part(f"{field}-message", self._parts("form").message(field, error, hint))

    def _fetched(self, home: HomeContext) -> dict[str, Any]:
        """How old the list is, and whether the page shall ask for a newer one by itself."""
        at = home.listing.fetched_at
        down = bool(home.trouble) or home.server.health.state is State.UNHEALTHY
        fresh = at is not None and not down and (self._now() - at).total_seconds() < FRESH_SECONDS
        # Asked for once by the page itself; after a failure the user decides.
        return {"at": at, "fresh": fresh, "wanted": not (fresh or down)}

    def _parts(self, name: str) -> Any:
        template: Template = self._templates[f"parts/{name}.html"]
        return template.module


@cache
def _templates() -> Mapping[str, Template]:
    """The templates by name: the same for every app in a process, compiled once."""
    env = Environment(
        loader=DictLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    env.filters |= {
        "age": age,
        "rfc3339": rfc3339,
        "axis": axis,
        "duration": duration,
        "milliseconds": milliseconds,
        "moment": moment,
        "sentence": sentence,
        "until": until,
        "watched": has_link_state,
        "short_path": short_path,
        "opencode_address": opencode_address,
        "sort_for_switcher": sort_for_switcher,
    }
    env.globals |= {
        "asset": ADDRESSES,
        "bar_lines": bar_lines,
        "defaults": dict(DEFAULT_SETTINGS.items()),
        "grounds": BACKGROUND_COLORS,
        "first_rows": FIRST_ROWS,
        "icon": icon,
        "logo": LOGO,
        "many": MIN_SERVERS_FOR_SEARCH,
        "most_models": MAX_MODELS,
        "most_picks": MAX_SWITCHER_ITEMS,
        "page_size": SESSIONS_PER_PAGE,
        "link_words": LINK_DESCRIPTIONS,
        "plot": (CHART_WIDTH, CHART_HEIGHT),
        "ranges": list(Range),
        "version": codewalk.__version__,
    }
    return {name: env.get_template(name) for name in TEMPLATES}


def _part(target: str, html: Markup) -> str:
    return _part_at(f"#{target}", html, swap="outerMorph")


def _part_at(place: str, html: Markup, *, swap: str) -> str:
    return f'<hx-partial hx-target="{place}" hx-swap="{swap}">{html}</hx-partial>'
