"""Contexts to HTML. Texts of servers and users are escaped here, and nowhere marked up."""

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Self

from fastapi.responses import HTMLResponse
from jinja2 import Template
from markupsafe import Markup
from starlette.responses import StreamingResponse

from codewalk.health.status import HealthStatus
from codewalk.history.check_bar import CheckBar, CheckMark, build_check_bar, mark_check
from codewalk.history.history import Check
from codewalk.reason import State
from codewalk.server import Server, sort_for_switcher
from codewalk.storage.loss_report import StoreProblem
from codewalk.web.forms import ServerForm
from codewalk.web.history_context import HistoryContext
from codewalk.web.home_context import HomeContext
from codewalk.web.page_context import Alert, PageContext
from codewalk.web.problems import Problem
from codewalk.web.templates import load_templates
from codewalk.web.theme import Theme
from codewalk.web.toasts import SUMMARY_ID, Toast, summary_text

FRESH_SECONDS: Final = 15.0
"""Seconds for which a fetched list is shown as current."""

_END_OF_HEAD: Final = "<body>"


class StreamedPage(StreamingResponse):
    """A page whose head is sent before its body is rendered.

    A list of 200 servers takes 20 ms to render; meanwhile the browser fetches the files of the
    head. Only for long pages: an error after the head can't be answered with an error page.
    """

    media_type = "text/html"

    def __init__(self, pieces: Iterator[str], status: int = 200) -> None:
        super().__init__(_head_first(pieces), status)


@dataclass(frozen=True, kw_only=True, slots=True)
class FetchState:
    """The age of a fetched list, and whether the page fetches it again."""

    at: datetime | None
    is_fresh: bool
    refetch: bool


class Views:
    """The pages and their fragments, in one theme.

    Args:
        now: Gives the current time.
        recent_marks: Gives the times and reasons of a server's last checks by its id, oldest first.
    """

    def __init__(
        self,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        recent_marks: Callable[[str], Sequence[CheckMark]] = lambda _: (),
    ) -> None:
        self._now = now
        self._theme = Theme.SYSTEM
        self._templates = load_templates()
        self._recent_marks = recent_marks

    def with_theme(self, theme: Theme) -> Self:
        """Return the same views in another theme."""
        views = copy(self)
        views._theme = theme  # noqa: SLF001 - its own copy
        return views

    # Pages

    def render(self, name: str, *, status: int = 200, **values: Any) -> HTMLResponse:
        """Return the page of a template."""
        return HTMLResponse(self._templates[name].render(self._defaults() | values), status)

    def _defaults(self) -> dict[str, Any]:
        now = self._now()
        return {"alert": None, "section": "", "about": "", "now": now, "theme": self._theme}

    def servers_page(self, page: PageContext, *, status: int = 200, **values: Any) -> StreamedPage:
        """Return the list of servers.

        `values` may have an `alert`, the profile that was `removed`, and the `local_status` that a
        check of the default address had.
        """
        defaults = {"page": page, "section": "servers", "removed": None, "local_status": None}
        defaults["check_bar"] = self._check_bar
        pieces = self._templates["servers.html"].generate(self._defaults() | defaults | values)
        return StreamedPage(pieces, status)

    def home_page(
        self, page: PageContext, home: HomeContext, *, status: int = 200, alert: Alert | None = None
    ) -> HTMLResponse:
        """Return the home of the active server."""
        values: dict[str, Any] = {"page": page, "alert": alert, "section": "home"}
        fetch = self._fetch_state(home)
        return self.render("home.html", status=status, home=home, fetch=fetch, **values)

    def server_page(
        self, page: PageContext, history: HistoryContext, checks: Sequence[Check]
    ) -> HTMLResponse:
        """Return the page of one server: its health and its history."""
        server = history.server
        values: dict[str, Any] = {"history": history, "checks": checks}
        values["bar"] = self._bar_of(server, checks)
        return self.render("server.html", page=page, server=server, about=server.id, **values)

    def error_page(self, problem: Problem) -> HTMLResponse:
        """Return the page of an error."""
        return self.render("error.html", status=problem.status, problem=problem)

    # Fragments, each in an element that tells htmx where it goes

    def server_list_fragment(self, page: PageContext) -> str:
        """Return the list of servers."""
        macros = self._macros("server_list")
        return _fragment("servers", macros.server_list(page, self._now(), self._check_bar))

    def server_row_fragments(self, servers: Iterable[Server]) -> str:
        """Return the rows of servers."""
        return self._row_fragments("server", "server_row", servers)

    def server_status_fragments(self, servers: Iterable[Server]) -> str:
        """Return the part of rows that shows health, without what only users change."""
        return self._row_fragments("status", "status", servers)

    def last_check_fragments(self, servers: Iterable[Server]) -> str:
        """Return the part of rows that shows the last check."""
        return self._row_fragments("last-check", "last_check", servers)

    def _row_fragments(self, prefix: str, macro: str, servers: Iterable[Server]) -> str:
        render, now = getattr(self._macros("server_list"), macro), self._now()
        return "".join(
            _fragment(f"{prefix}-{server.id}", render(server, now, self._check_bar))
            for server in servers
        )

    def server_menu(self, server: Server) -> str:
        """Return the items of a server's menu in the list; no fragment, the menu takes them."""
        menu: Markup = self._macros("server_list").menu(server)
        return menu

    def switcher_list_fragments(self, page: PageContext, *, stamp: str) -> str:
        """Return the switcher's list, unless `stamp` says that it is shown already, and its poll.

        The poll is the element that asks for the list again.
        """
        macros = self._macros("switcher")
        poll = _fragment_at("#switcher-poll", macros.poll(page.stamp), swap="outerHTML settle:0")
        if stamp == page.stamp:
            return poll
        return _fragment("switcher-list", macros.items(sort_for_switcher(page.servers))) + poll

    def switcher_item_fragments(self, servers: Iterable[Server]) -> str:
        """Return the items of servers in the switcher."""
        macros = self._macros("switcher")
        return "".join(_fragment(f"switcher-{s.id}", macros.item(s)) for s in servers)

    def switcher_fragments(self, page: PageContext) -> str:
        """Return the switcher's button, which shows the active server, and two of its items.

        Those are the active and the previous server, so that a user who opens the switcher just
        after a switch can go back at once.
        """
        button = _fragment("active", self._macros("switcher").button(page))
        return button + self.switcher_item_fragments(filter(None, (page.active, page.previous)))

    def servers_link_fragment(self, page: PageContext, *, section: str, about: str) -> str:
        """Return the link to the servers, which says how many are down."""
        html = self._macros("common").servers_link(page.down_count, section, about)
        return _fragment("servers-link", html)

    def theme_fragment(self, theme: Theme) -> str:
        """Return the buttons that choose the theme."""
        return _fragment("appearance", self._macros("theme").buttons(theme))

    def home_fragments(
        self, page: PageContext, home: HomeContext, *, within: bool, alert: Alert | None = None
    ) -> str:
        """Return a home with its title, and with a message to the user.

        `within` tells that the page shows the home of the same server, if it still does; else the
        home replaces that of any server.
        """
        prefix = self._macros("common").title_prefix(page.down_count)
        title = str(Markup("<title>{}{} · CodeWalk</title>").format(prefix, home.server.name))
        html = self._macros("home").home(home, self._fetch_state(home), self._now())
        target = f"#home-{home.server.id}" if within else ".home"
        # focusScroll: a link in a list that scrolls within the page stays in view there.
        main = _fragment_at(target, html, swap="outerHTML focusScroll:true show:top settle:0")
        return title + main + self.switcher_fragments(page) + self.alert_fragment(alert)

    def session_list_fragment(self, home: HomeContext) -> str:
        """Return the list of sessions, and the button for a new one, which may be disabled."""
        macros = self._macros("home")
        html = macros.sessions(home, self._fetch_state(home), self._now())
        button = _fragment(f"create-{home.server.id}", macros.create_button(home))
        return _fragment(f"sessions-{home.server.id}", html) + button

    def project_and_model_fragments(self, home: HomeContext) -> str:
        """Return the projects to choose from, and the model picker."""
        macros, server = self._macros("home"), home.server
        projects = _fragment(f"projects-{server.id}", macros.projects(home))
        return projects + _fragment(f"model-{server.id}", macros.model_picker(home))

    def toast_fragments(self, toasts: Sequence[Toast], *, summary_count: int) -> str:
        """Return lines of the toast with the notices, each in the place of one with its id.

        `summary_count` are the servers whose notices aren't shown; with 0 there is no summary.
        """
        macros = self._macros("toasts")
        html_by_id = {toast.id: macros.notice(toast) for toast in toasts}
        if summary_count:
            html_by_id[SUMMARY_ID] = macros.summary(SUMMARY_ID, summary_text(summary_count))
        if not html_by_id:
            return ""
        removals = "".join(map(self.removal_fragment, html_by_id))
        html = Markup().join(html_by_id.values())
        return removals + _fragment_at("#notice-lines", html, swap="beforeend")

    def health_fragment(self, server: Server, checks: Sequence[Check]) -> str:
        """Return the health of a server, for its own page."""
        bar = self._bar_of(server, checks)
        html = self._macros("server_page").health(server, bar, checks, self._now())
        return _fragment(f"health-{server.id}", html)

    def check_cells_fragment(self, server: Server, checks: Sequence[Check]) -> str:
        """Return the slots of the bar one by one, over the bar in a server's row."""
        bar = self._bar_of(server, checks)
        html = self._macros("server_page").check_cells(server, bar, checks, self._now())
        return _fragment_at(f"#status-{server.id} .facts > i", html, swap="innerMorph")

    def history_fragment(self, history: HistoryContext, *, only_same: bool = False) -> str:
        """Return the history of a server; with `only_same` for pages that show the same part."""
        html = self._macros("server_page").history(history, self._now())
        condition = f"[data-key='{history.key}']" if only_same else ""
        return _fragment(f"history-{history.server.id}{condition}", html)

    def local_check_fragment(self, default_url: str, status: HealthStatus) -> str:
        """Return the result of a check of the default address, for the first page."""
        return _fragment("local-check", self._macros("welcome").local_check(default_url, status))

    def removal_fragment(self, target: str) -> str:
        """Return what removes an element from the page."""
        return _fragment_at(f"#{target}", Markup(), swap="delete")

    def alert_fragment(self, alert: Alert | None) -> str:
        """Return a message to the user; None removes the last one."""
        return _fragment("alerts", self._macros("common").alerts(alert))

    def store_problem_fragment(self, problem: StoreProblem | None) -> str:
        """Return why nothing can be saved; None removes it."""
        return _fragment("store-problem", self._macros("common").store_problem(problem))

    def form_fragment(self, form: ServerForm) -> str:
        """Return the form of a server."""
        return _fragment("server-form", self._macros("form").server_form(form))

    def field_message_fragment(self, field: str, *, error: str = "", hint: str = "") -> str:
        """Return the message below a field of the form."""
        html = self._macros("form").message(field, error, hint)
        return _fragment(f"{field}-message", html)

    def _check_bar(self, server: Server) -> CheckBar:
        marks = self._recent_marks(server.id)
        return build_check_bar(marks, server.profile.health_check, self._now())

    def _bar_of(self, server: Server, checks: Sequence[Check]) -> CheckBar:
        marks = [mark_check(check) for check in checks]
        return build_check_bar(marks, server.profile.health_check, self._now())

    def _fetch_state(self, home: HomeContext) -> FetchState:
        at = home.listing.fetched_at
        is_down = bool(home.problem) or home.server.health.state is State.UNHEALTHY
        age = None if at is None else (self._now() - at).total_seconds()
        is_current = age is not None and age < FRESH_SECONDS and not home.listing.is_substitute
        is_fresh = is_current and not is_down
        # The page fetches once by itself; after a failure the user decides.
        return FetchState(at=at, is_fresh=is_fresh, refetch=not (is_fresh or is_down))

    def _macros(self, name: str) -> Any:
        template: Template = self._templates[f"parts/{name}.html"]
        return template.module


async def _head_first(pieces: Iterator[str]) -> AsyncIterator[str]:
    head = []
    for piece in pieces:
        head.append(piece)
        if _END_OF_HEAD in piece:
            break
    yield "".join(head)
    yield "".join(pieces)


def _fragment(target: str, html: Markup) -> str:
    return _fragment_at(f"#{target}", html, swap="outerMorph")


def _fragment_at(selector: str, html: Markup, *, swap: str) -> str:
    return f'<hx-partial hx-target="{selector}" hx-swap="{swap}">{html}</hx-partial>'
