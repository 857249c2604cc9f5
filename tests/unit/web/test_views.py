"""Rendering: what is shown of a server and its sessions, and that hostile text stays text."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import Any

import pytest

from codewalk.health.status import HealthStatus, Reason, State
from codewalk.secret import Secret
from codewalk.servers.profile import ServerProfile
from codewalk.view import Server
from codewalk.web.files import ADDRESSES, ASSETS
from codewalk.web.forms import ServerForm, Typed
from codewalk.web.problems import Problem
from codewalk.web.views import SENTENCES, Notice, Snapshot, Views, age
from codewalk.workspace.sessions import Session, SessionList

NOW = datetime(2026, 2, 9, 20, 51, 50, tzinfo=UTC)
VIEWS = Views(now=lambda: NOW)

HOSTILE = [
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
]


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
    shown: dict[str, Any] = {"active": False, "default": False}
    for key, value in changes.items():
        place = fields if key in ServerProfile.__slots__ else status
        (shown if key in shown else place)[key] = value
    profile = ServerProfile(id="018f", created_at=NOW, updated_at=NOW, **fields)  # type: ignore[arg-type]
    health = HealthStatus(checked_at=NOW - timedelta(seconds=12), **status)  # type: ignore[arg-type]
    return Server(profile=profile, health=health, **shown)


def listing(*titles: str, fetched: timedelta = timedelta()) -> SessionList:
    return SessionList(
        server_id="018f",
        directory=None,
        source="cache",
        fetched_at=NOW - fetched,
        sessions=tuple(
            Session(id=str(i), title=title, directory=title, created_at=None, updated_at=NOW)
            for i, title in enumerate(titles)
        ),
    )


def snapshot(*servers: Server, sessions: SessionList | None = None, **more: Any) -> Snapshot:
    active = next((s for s in servers if s.active), None)
    return Snapshot(servers=list(servers), active=active, sessions=sessions, generation=1, **more)


def page(shown: Snapshot, **more: Any) -> str:
    return bytes(VIEWS.servers_page(shown, **more).body).decode()


def text_of(html: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


def test_a_row_says_everything_about_a_server() -> None:
    auth = {"basic_auth_enabled": True, "basic_auth_username": "ana"}
    html = VIEWS.live_rows([server(active=True, default=True, **auth)])
    text = text_of(html)
    for part in ("healthy", "Dev box", "Active", "Default", "http://devbox:4096", "ana", "3.1 ms"):
        assert part in text
    assert "OpenCode 1.18.33" in text
    assert "checked 12 s ago" in text
    assert 'aria-labelledby="name-018f"' in html
    assert 'aria-label="Actions for Dev box"' in html


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_has_a_sentence(reason: Reason) -> None:
    assert SENTENCES[reason].endswith(".")
    html = VIEWS.live_rows([server(state=State.UNHEALTHY, reason=reason)])
    assert SENTENCES[reason] in html.replace("&#39;", "'")


def test_the_menu_offers_what_can_be_done() -> None:
    def items(shown: Server) -> list[str]:
        return re.findall(r'role="menuitem"[^>]*>([^<]+)<', VIEWS.live_rows([shown]))

    assert items(server()) == ["Set active", "Set default", "Check now", "Edit", "Remove"]
    current = server(active=True, default=True)
    assert items(current) == ["Clear default", "Check now", "Edit", "Remove"]
    assert items(server(managed=True)) == ["Set active", "Set default", "Check now"]


def test_a_row_is_the_same_on_the_page_and_in_the_stream() -> None:
    one = server()
    (row,) = re.findall(r"<li id=.*</li>", VIEWS.live_rows([one]), re.DOTALL)
    assert row.split() == re.findall(r"<li id=.*?</li>", page(snapshot(one)), re.DOTALL)[0].split()


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_text(text: str) -> None:
    plain = snapshot(server(active=True, label="L"), sessions=listing("S"), news="N")
    evil = snapshot(
        server(active=True, label=text, detail=text, version=text, state=State.UNHEALTHY),
        sessions=listing(text),
        news=text,
    )
    evil_tags = Tags(page(evil, notice=Notice(text=text)))
    calm = server(active=True, label="L", detail="D", version="V", state=State.UNHEALTHY)
    plain_tags = Tags(page(replace(plain, servers=[calm], active=calm), notice=Notice(text="N")))
    assert evil_tags.tags == plain_tags.tags
    assert evil_tags.attributes == plain_tags.attributes


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_text_in_forms_and_errors(text: str) -> None:
    def tags(value: str) -> tuple[list[str], set[str]]:
        entered = Typed.model_validate({"url": value, "label": value, "username": value})
        form = replace(ServerForm.empty().with_typed(entered), heading=value, errors={"url": value})
        problem = Problem(status=404, code="not_found", detail=value)
        parsed = [
            Tags(bytes(answer.body).decode())
            for answer in (
                VIEWS.page("server_form.html", active=None, form=form),
                VIEWS.page("remove.html", active=None, server=server(label=value)),
                VIEWS.error_page(problem),
            )
        ]
        found = [tag for one in parsed for tag in one.tags]
        return found, set().union(*(one.attributes for one in parsed))

    assert tags(text) == tags("calm")


def test_no_script_or_style_is_inline_and_nothing_comes_from_elsewhere() -> None:
    shown = snapshot(server(active=True), sessions=listing("S"))
    pages = [
        page(shown, notice=Notice(text="N", retry="/x", retry_label="Again")),
        bytes(VIEWS.page("server_form.html", active=None, form=ServerForm.empty()).body).decode(),
        bytes(VIEWS.error_page(Problem(status=401, code="unauthorized", detail="d")).body).decode(),
    ]
    for html in pages:
        assert not re.findall(r"<script(?![^>]*\bsrc=)", html)
        assert "<style" not in html
        assert not {name for name in Tags(html).attributes if name.startswith("on")}
        assert "style" not in Tags(html).attributes
        for address in re.findall(r'(?:src|href|action)="([^"]*)"', html):
            assert address.startswith(("/", "#"))


def test_the_page_with_all_its_files_weighs_under_100_kb() -> None:
    boxes = [server(label=f"Box {number}", active=number == 0) for number in range(10)]
    html = page(snapshot(*boxes, sessions=listing(*["A title of some length"] * 50)))
    used = [path for path in ASSETS if not path.endswith(".txt")]
    weight = len(html.encode()) + sum(len(ASSETS[path].body) for path in used)
    assert weight < 100_000
    assert all(ADDRESSES[path] in html for path in used)


def test_sessions_say_how_old_they_are() -> None:
    def told(fetched: timedelta, **more: Any) -> str:
        sessions = listing("One", fetched=fetched)
        return text_of(VIEWS.live_sessions(snapshot(server(active=True), sessions=sessions)))

    assert "updated just now" in told(timedelta())
    assert "cached 5 min ago" in told(timedelta(minutes=5))


def test_a_stale_list_is_asked_for_once_and_only_of_a_server_that_is_up() -> None:
    old = listing("One", fetched=timedelta(minutes=5))
    up, down = server(active=True), server(active=True, state=State.UNHEALTHY, detail="Gone.")
    asks = 'hx-trigger="load'
    assert asks in VIEWS.live_sessions(snapshot(up, sessions=old))
    assert asks not in VIEWS.live_sessions(snapshot(up, sessions=listing("One")))
    failed = snapshot(up, sessions=old, trouble="It broke.")
    assert asks not in VIEWS.live_sessions(failed)
    assert "It broke." in VIEWS.live_sessions(failed)
    html = VIEWS.live_sessions(snapshot(down, sessions=old))
    assert asks not in html
    assert "Gone." in html
    assert "One" in html


def test_long_lists_are_cut_and_say_so() -> None:
    shown = snapshot(server(active=True), sessions=listing(*map(str, range(5000))))
    html = VIEWS.live_sessions(shown)
    assert html.count("<li>") == 100
    assert "The newest 100 of 5,000." in html


def test_the_stamp_changes_with_what_is_shown_but_not_with_each_check() -> None:
    one = server()
    later = replace(one, health=replace(one.health, checked_at=NOW, latency_ms=9.0))
    red = replace(one, health=replace(one.health, state=State.UNHEALTHY))
    stamp = snapshot(one).stamp
    assert snapshot(later).stamp == stamp
    other = [
        snapshot(red),
        snapshot(replace(one, default=True)),
        snapshot(),
        snapshot(one, news="x"),
        snapshot(one, sessions=listing("One")),
    ]
    assert len({stamp, *(shown.stamp for shown in other)}) == 6


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-5, "just now"),
        (2.9, "just now"),
        (3, "3 s ago"),
        (59.9, "59 s ago"),
        (60, "1 min ago"),
        (3599, "59 min ago"),
        (3600, "1 h ago"),
        (86_399, "23 h ago"),
        (86_400, "1 day ago"),
        (29 * 86_400, "29 days ago"),
    ],
)
def test_ages_in_words(seconds: float, words: str) -> None:
    assert age(NOW - timedelta(seconds=seconds), NOW) == words


def test_what_is_long_ago_is_a_date() -> None:
    assert age(datetime(2020, 1, 2, tzinfo=UTC), NOW) == "2020-01-02"
    assert age(None, NOW) == "never"


def test_passwords_are_in_no_page() -> None:
    secret = server(
        active=True, basic_auth_enabled=True, basic_auth_password=Secret("hunter2-never-shown")
    )
    form = ServerForm.of(secret.profile)
    html = (
        page(snapshot(secret))
        + bytes(VIEWS.page("server_form.html", active=secret, form=form).body).decode()
    )
    assert "hunter2" not in html
    assert "***" not in html
