"""Servers and pages to render without a browser, and texts that mean harm."""

import asyncio
import re
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import Any, Final

from codewalk.health.status import HealthStatus
from codewalk.opencode.session import Session
from codewalk.reason import Reason, State
from codewalk.secret import Secret
from codewalk.server import Server
from codewalk.servers.health_check import HealthCheckSettings
from codewalk.servers.profile import NotifySetting, ServerProfile
from codewalk.web.forms import ServerForm
from codewalk.web.home_context import HomeContext, HomeQuery
from codewalk.web.page_context import PageContext
from codewalk.web.views import StreamedPage, Views
from codewalk.workspace.models import Model, ModelList
from codewalk.workspace.projects import Project, ProjectList
from codewalk.workspace.session_list import SessionList

NOW: Final = datetime(2026, 2, 9, 20, 51, 50, tzinfo=UTC)
VIEWS: Final = Views(now=lambda: NOW)

HOSTILE: Final = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    '"><script>alert(1)</script>',
    "' onmouseover='alert(1)",
    '" autofocus onfocus="alert(1)',
    "</bdi></li></ul><h1>Servers</h1>",
    "</title><script>alert(1)</script>",
    "<hx-partial hx-target='#servers'>gone</hx-partial>",
    '<div hx-get="/live" hx-trigger="load">',
    "<!-- ",
    "]]>",
    "{{ 7 * 7 }}{% include 'x' %}",
    "${7*7}",
    "javascript:alert(1)",
    "&lt;b&gt;",
    "a\u202egnp.exe",
    "\u2066\u2067\u2068 isolates",
    "zero\u200bwidth\u200d\ufeff",
    "\x00\x07\x1b[31m",
    "data: x\n\nevent: active\ndata: {}",
    "\r\n\r\nHTTP/1.1 200 OK",
    "مرحبا",
    "🏳️‍🌈" * 50,
    "Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A̴̵̜̰͔ͫ͗͢",
    "x" * 10_000,
    "<iframe srcdoc='<script>parent.hacked = 1</script>'></iframe>",
    "<style>*{display:none}</style>",
    '<a href="javascript:alert(1)">press</a>',
    "<math><mtext><script>alert(1)</script></mtext></math>",
    "<template><img src=x onerror=alert(1)></template>",
    "<button popovertarget='switcher'>press</button>",
    "<base href='//elsewhere.example/'>",
    "<meta http-equiv=refresh content='0;url=//elsewhere.example'>",
    "<input id='switch-filter' autofocus onfocus=alert(1)>",
    "{% raw %}{{ config }}{% endraw %}",
    "#{7*7} <%= 7*7 %> @{7*7}",
    "\u200f\u202b\u202e\u2067" * 20,
    "W" * 99,
    "  ",
)
"""Forty titles and labels."""

PROFILE: Final = ServerProfile(
    id="1",
    url="http://x",
    label="Box",
    basic_auth_enabled=True,
    basic_auth_username="ana",
    basic_auth_password=Secret.sealed("sealed", lambda: "hunter2"),
    health_check=HealthCheckSettings(interval=30, fall=3),
    notify=NotifySetting.OFF,
    created_at=NOW,
    updated_at=NOW,
)
"""A server of whose values none is the default."""

SETTINGS: Final = {"interval": "30", "timeout": "3", "rise": "1", "fall": "3"}
"""The settings of its checks as a form shows them."""

MODELS: Final = ModelList(
    server_id="018f",
    source="cache",
    fetched_at=NOW,
    selected=None,
    default="local/tiny",
    models=(
        Model(provider_id="anthropic", model_id="haiku", name="Haiku"),
        Model(provider_id="local", model_id="tiny", name="Tiny"),
    ),
)


class Tags(HTMLParser):
    """The tags and attributes of a text, as a browser would find them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}


def server(**changes: Any) -> Server:
    fields = {"url": "http://devbox:4096", "label": "Dev box"}
    status = {"state": State.HEALTHY, "reason": Reason.OK, "version": "1.18.33", "latency_ms": 3.14}
    shown: dict[str, Any] = dict.fromkeys(("active", "default", "previous", "snoozed"), False)
    for key, value in changes.items():
        place = fields if key in ServerProfile.__slots__ else status
        (shown if key in shown else place)[key] = value
    profile = ServerProfile(id="018f", created_at=NOW, updated_at=NOW, **fields)  # type: ignore[arg-type]
    health = HealthStatus(checked_at=NOW - timedelta(seconds=12), **status)  # type: ignore[arg-type]
    return Server(profile=profile, health=health, **shown)


def session_list(*titles: str, fetched: timedelta = timedelta()) -> SessionList:
    return SessionList(
        server_id="018f",
        directory=None,
        source="cache",
        fetched_at=NOW - fetched,
        sessions=tuple(
            Session(
                id=str(i),
                title=title,
                directory=title,
                created_ms=None,
                updated_ms=round(NOW.timestamp() * 1000),
            )
            for i, title in enumerate(titles)
        ),
    )


def page_context(*servers: Server, **more: Any) -> PageContext:
    active = next((s for s in servers if s.active), None)
    url = "http://127.0.0.1:4096"
    return PageContext(servers=list(servers), active=active, generation=1, default_url=url, **more)


def home_context(
    server: Server, *titles: str, query: HomeQuery | None = None, **more: Any
) -> HomeContext:
    fetched = more.pop("fetched", timedelta())
    sessions = session_list(*titles, fetched=fetched)
    fields: dict[str, Any] = {
        "projects": project_list(),
        "models": MODELS,
        "busy": {},
        "matches": sessions.sessions,
    }
    query = query or HomeQuery()
    return HomeContext(server=server, query=query, listing=sessions, **fields | more)


def project_list(*names: str) -> ProjectList:
    """The first one is the server's own."""
    listed = tuple(
        Project(
            id=name,
            directory=f"/srv/{name}",
            name=name,
            own=name == names[0],
            created_ms=None,
            updated_ms=None,
        )
        for name in names
    )
    return ProjectList(server_id="018f", source="cache", fetched_at=NOW, projects=listed)


def servers_page(shown: PageContext, **more: Any) -> str:
    """The list of servers."""
    return read_body(VIEWS.servers_page(shown, **more))


def read_body(page: StreamedPage) -> str:
    """All that is sent of it."""

    async def collect() -> str:
        return "".join([str(piece) async for piece in page.body_iterator])

    return asyncio.run(collect())


def home_page(shown: HomeContext, **more: Any) -> str:
    return bytes(VIEWS.home_page(page_context(shown.server, **more), shown).body).decode()


def add_form(shown: PageContext) -> str:
    answer = VIEWS.render("server_form.html", page=shown, form=ServerForm.empty())
    return bytes(answer.body).decode()


def text_of(html: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())
