"""Rendering: what is shown of a server and its sessions, and that hostile text stays text."""

import gzip
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from markupsafe import escape

from codewalk.health.link import LinkState
from codewalk.reason import REASON_SENTENCES, Reason, State
from codewalk.secret import Secret
from codewalk.server import Server
from codewalk.web.assets import ADDRESSES, ASSETS
from codewalk.web.form_data import ServerFormData
from codewalk.web.forms import ServerForm
from codewalk.web.home_context import SESSIONS_PER_PAGE, HomeQuery
from codewalk.web.page_context import Alert
from codewalk.web.problems import Problem
from codewalk.web.templates import FIRST_ROWS
from codewalk.web.text import (
    LINK_DESCRIPTIONS,
    age_or_date,
    format_axis,
    format_latency,
    format_time,
)
from codewalk.web.views import Views
from codewalk.workspace.models import Model
from tests.unit.web.samples import (
    HOSTILE,
    MODELS,
    NOW,
    VIEWS,
    Tags,
    add_form,
    home_context,
    home_page,
    page_context,
    read_body,
    server,
    servers_page,
    text_of,
)


def test_a_row_says_everything_about_a_server() -> None:
    auth = {"basic_auth_enabled": True, "basic_auth_username": "ana"}
    html = VIEWS.server_row_fragments([server(active=True, default=True, **auth)])
    text = text_of(html)
    for part in ("healthy", "Dev box", "Active", "Default", "http://devbox:4096", "ana", "3.1 ms"):
        assert part in text
    assert "OpenCode 1.18.33" in text
    assert "checked 12 s ago" in text
    assert 'aria-label="Dev box"' in html
    assert 'aria-label="Actions for Dev box"' in html


def test_a_row_has_a_bar_of_few_elements_with_the_outages() -> None:
    states = [*[State.HEALTHY] * 50, *[State.UNHEALTHY] * 4, *[State.HEALTHY] * 6]
    reasons = {State.HEALTHY: Reason.OK, State.UNHEALTHY: Reason.REFUSED}
    now_ms = round(NOW.timestamp() * 1000)
    marks = [(now_ms - 10_000 * (60 - n), reasons[state]) for n, state in enumerate(states)]
    views = Views(now=lambda: NOW, recent_marks=lambda _: marks)
    for html in (views.server_row_fragments([server()]), views.last_check_fragments([server()])):
        (bar,) = re.findall(r'<a class="check-bar".*?</a>', html, re.DOTALL)
        assert 'href="/servers/018f#checks"' in bar
        assert 'aria-label="Last 10 min of Dev box: down for 40 s"' in bar
        assert Tags(bar).tags == ["a", "svg", "path", "path"]
    unchecked = VIEWS.server_row_fragments([server()])
    assert 'aria-label="Last 10 min of Dev box: not checked"' in unchecked
    assert "data-cells" not in unchecked
    assert "<path" not in unchecked.partition('class="check-bar"')[2].partition("</a>")[0]


def test_a_name_leads_to_the_servers_home_and_switches_by_a_form_only() -> None:
    (link,) = re.findall(
        r'<(?:a|button) class="server-link"[^>]*>',
        VIEWS.server_row_fragments([server(active=True)]),
    )
    assert link == '<a class="server-link" href="/s/018f/">'
    (link,) = re.findall(
        r'<(?:a|button) class="server-link"[^>]*>', VIEWS.server_row_fragments([server()])
    )
    assert link.startswith('<button class="server-link" role="link" form="act" ')
    assert 'formaction="/servers/018f/use?home=true"' in link


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_has_a_sentence(reason: Reason) -> None:
    assert REASON_SENTENCES[reason].endswith(".")
    html = VIEWS.server_row_fragments([server(state=State.UNHEALTHY, reason=reason)])
    assert REASON_SENTENCES[reason] in html.replace("&#39;", "'")


def test_the_menu_offers_what_can_be_done() -> None:
    def items(shown: Server) -> list[str]:
        return re.findall(r'role="menuitem"[^>]*>([^<]+)<', VIEWS.server_menu(shown))

    rest = ["Check now", "Snooze 1 h", "Move up", "Move down"]
    change = ["Edit", "Remove"]
    assert items(server()) == ["Set active", "Set default", *rest, *change]
    assert items(server(active=True, default=True)) == ["Clear default", *rest, *change]
    assert items(server(managed=True)) == ["Set active", "Set default", *rest]
    assert "End snooze" in items(replace(server(snoozed_until=NOW), snoozed=True))


def test_the_list_can_be_searched_from_eight_servers_on() -> None:
    assert "Search servers" not in servers_page(page_context(*[server()] * 7))
    assert "Search servers" in servers_page(page_context(*[server()] * 8))


def test_two_hundred_servers_are_no_heavier_than_needed() -> None:
    shown = page_context(*[server(label=f"Runner {number}") for number in range(200)])
    now_ms = round(NOW.timestamp() * 1000)
    marks = [(now_ms - 10_000 * ago, Reason.OK) for ago in range(60, 0, -1)]
    views = Views(now=lambda: NOW, recent_marks=lambda _: marks)
    # Their ids are 32 characters longer, in ten places each.
    assert len(read_body(views.servers_page(shown))) < 420_000


def test_the_rest_of_a_long_list_is_in_noscript() -> None:
    html = servers_page(page_context(*[server(label=f"Runner {number}") for number in range(50)]))
    first, rest = re.split(r"</li>\s+<noscript>", html.partition('<ul id="rows"')[2])
    assert first.count('<li id="server-') == FIRST_ROWS
    assert rest.partition("</noscript>")[0].count('<li id="server-') == 50 - FIRST_ROWS


def test_a_short_list_is_there_at_once() -> None:
    assert not re.search(
        r"</li>\s+<noscript>", servers_page(page_context(*[server()] * FIRST_ROWS))
    )


def test_the_rest_of_the_sessions_is_in_noscript_on_a_new_page_only() -> None:
    shown = home_context(server(active=True), *["A title"] * SESSIONS_PER_PAGE)
    first, rest = re.split(r"</li>\s+<noscript>", home_page(shown).partition("sessions-page")[2])
    assert first.count("<li>") == FIRST_ROWS
    assert rest.partition("</noscript>")[0].count("<li>") == SESSIONS_PER_PAGE - FIRST_ROWS
    few = replace(shown, matches=shown.matches[:FIRST_ROWS])
    for there_at_once in (
        home_page(few),
        VIEWS.session_list_fragment(shown),
        VIEWS.home_fragments(page_context(shown.server), shown, within=False),
    ):
        assert "</li>" in there_at_once
        assert not re.search(r"</li>\s+<noscript>", there_at_once)


def test_a_row_is_the_same_on_the_page_and_in_the_stream() -> None:
    one = server()
    (row,) = re.findall(r'<li id="server-.*?</li>', VIEWS.server_row_fragments([one]), re.DOTALL)
    (painted,) = re.findall(r'<li id="server-.*?</li>', servers_page(page_context(one)), re.DOTALL)
    # But for the menu, which only a browser without script has from the first.
    assert row.split() == re.sub("<noscript>.*</noscript>", "", painted, flags=re.DOTALL).split()


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_text(text: str) -> None:
    def tags(value: str) -> tuple[list[str], set[str]]:
        evil = server(active=True, label=value, detail=value, version=value, state=State.UNHEALTHY)
        shown = home_context(
            evil, value, query=HomeQuery(directory=value, words=value), problem=value
        )
        parsed = [
            Tags(servers_page(page_context(evil, local_message=value), alert=Alert(text=value))),
            Tags(home_page(shown)),
            Tags(home_page(replace(shown, matches=()))),
            Tags(VIEWS.home_fragments(page_context(evil), shown, within=False)),
        ]
        found = [tag for one in parsed for tag in one.tags]
        return found, set().union(*(one.attributes for one in parsed))

    assert tags(text) == tags("calm")


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_text_in_forms_and_errors(text: str) -> None:
    def tags(value: str) -> tuple[list[str], set[str]]:
        entered = ServerFormData.model_validate({"url": value, "label": value, "username": value})
        form = replace(ServerForm.empty().with_data(entered), heading=value, errors={"url": value})
        problem = Problem(status=404, code="not_found", detail=value)
        parsed = [
            Tags(bytes(answer.body).decode())
            for answer in (
                VIEWS.render("server_form.html", page=page_context(), form=form),
                VIEWS.render("remove.html", page=page_context(), server=server(label=value)),
                VIEWS.render(
                    "inactive_server.html", page=page_context(), server=server(label=value)
                ),
                VIEWS.error_page(problem),
            )
        ]
        found = [tag for one in parsed for tag in one.tags]
        return found, set().union(*(one.attributes for one in parsed))

    assert tags(text) == tags("calm")


def test_no_script_or_style_is_inline_and_nothing_comes_from_elsewhere() -> None:
    shown = page_context(server(active=True))
    pages = [
        servers_page(shown, alert=Alert(text="N", retry="/x", retry_label="Again")),
        home_page(home_context(server(active=True), "S")),
        add_form(shown),
        bytes(VIEWS.error_page(Problem(status=401, code="unauthorized", detail="d")).body).decode(),
    ]
    for html in pages:
        assert not re.findall(r"<script(?![^>]*\bsrc=)", html)
        assert "<style" not in html
        assert not {name for name in Tags(html).attributes if name.startswith("on")}
        assert "style" not in Tags(html).attributes
        # A session's link leads to its server's own web app, and only when somebody follows it.
        own = re.sub(r'<a class="open" href="http://devbox:4096/[^"]*" target="_blank"', "", html)
        for address in re.findall(r'\b(?:src|href|action|formaction|hx-\w+)="([/h][^"]*)"', own):
            assert address.startswith(("/", "#"))


def test_a_page_with_all_its_files_weighs_under_50_kb_as_it_is_sent() -> None:
    html = home_page(home_context(server(active=True), *["A title of some length"] * 500))
    used = [asset for path, asset in ASSETS.items() if ADDRESSES[path] in html]
    assert len(used) >= 5
    files = sum(len(asset.gzipped or asset.body) for asset in used)
    assert len(gzip.compress(html.encode())) + files < 50_000


def test_sessions_say_how_old_they_are() -> None:
    def age_text(fetched: timedelta) -> str:
        return text_of(
            VIEWS.session_list_fragment(home_context(server(active=True), "One", fetched=fetched))
        )

    assert "updated just now" in age_text(timedelta())
    assert "cached 5 min ago" in age_text(timedelta(minutes=5))


@pytest.mark.parametrize("session_id", [".", ".."])
def test_a_session_whose_id_climbs_in_an_address_has_no_link(session_id: str) -> None:
    shown = home_context(server(active=True), "One")
    named = replace(shown.matches[0], id=session_id)
    html = VIEWS.session_list_fragment(replace(shown, matches=(named,)))
    assert "One" in html
    assert "<a " not in html
    assert 'href="http://' in VIEWS.session_list_fragment(shown)


def test_a_stale_list_is_asked_for_once_and_only_of_a_server_that_is_up() -> None:
    old = timedelta(minutes=5)
    up, down = server(active=True), server(active=True, state=State.UNHEALTHY, detail="Gone.")
    asks = 'hx-trigger="load'
    assert asks in VIEWS.session_list_fragment(home_context(up, "One", fetched=old))
    assert asks not in VIEWS.session_list_fragment(home_context(up, "One"))
    failed = home_context(up, "One", fetched=old, problem="It broke.")
    assert asks not in VIEWS.session_list_fragment(failed)
    assert "It broke." in VIEWS.session_list_fragment(failed)
    html = VIEWS.session_list_fragment(home_context(down, "One", fetched=old))
    assert asks not in html
    assert "Gone." in html
    assert "One" in html


def test_the_picker_paints_a_bounded_number_of_models_and_the_chosen_one() -> None:
    many = tuple(Model(provider_id="p", model_id=str(n), name=f"M{n}") for n in range(20_000))
    offered = replace(MODELS, models=many, selected="p/19999")
    html = VIEWS.project_and_model_fragments(home_context(server(active=True), models=offered))
    assert html.count("<option") == 503
    assert '<option value="p/19999" selected>' in html
    assert "19,500 more: codewalk model use" in html
    few = VIEWS.project_and_model_fragments(
        home_context(server(active=True), models=replace(MODELS, selected="local/tiny"))
    )
    assert few.count("<option") == 3
    assert "Tiny (default)" in few


def test_fragments_have_a_target_in_their_own_servers_home_only() -> None:
    shown = home_context(server(active=True), "One")
    within = VIEWS.home_fragments(page_context(shown.server), shown, within=True)
    html = VIEWS.session_list_fragment(shown) + VIEWS.project_and_model_fragments(shown) + within
    places = re.findall(r'<hx-partial hx-target="([^"]+)"', html)
    own = ["#sessions-018f", "#create-018f", "#projects-018f", "#model-018f", "#home-018f"]
    assert places == [*own, "#active", "#switcher-018f", "#alerts"]
    page = home_page(shown)
    assert all(f'id="{place[1:]}"' in page for place in own)
    instead = VIEWS.home_fragments(page_context(shown.server), shown, within=False)
    assert 'hx-target=".home"' in instead
    elsewhere = VIEWS.render("inactive_server.html", page=page_context(), server=server())
    for text in (page, bytes(elsewhere.body).decode()):
        assert len(re.findall(r'class="home ', text)) == 1


def test_a_server_that_is_down_offers_the_nearest_healthy_one() -> None:
    down = server(active=True, state=State.UNHEALTHY, detail="Gone.")
    other = server(label="Laptop")
    assert "Switch to Laptop" in text_of(
        VIEWS.session_list_fragment(home_context(down, fallback=other))
    )
    assert "Switch to" not in text_of(VIEWS.session_list_fragment(home_context(down)))
    assert "Retry" in text_of(VIEWS.session_list_fragment(home_context(down)))


def test_a_long_list_has_pages_that_keep_the_query() -> None:
    def list_page(page: int) -> str:
        query = HomeQuery(directory="/srv/a b", words="fix", page=page)
        return VIEWS.session_list_fragment(
            home_context(server(active=True), *map(str, range(120)), query=query)
        )

    first, middle, last = list_page(1), list_page(2), list_page(3)
    assert first.count("<li>") == middle.count("<li>") == 50
    assert last.count("<li>") == 20
    assert "1–50 of 120" in text_of(first)
    assert "101–120 of 120" in text_of(last)
    assert re.findall(r'rel="(next|prev)"', first) == ["next"]
    assert re.findall(r'rel="(next|prev)"', middle) == ["prev", "next"]
    assert re.findall(r'rel="(next|prev)"', last) == ["prev"]
    assert 'href="/s/018f/?directory=%2Fsrv%2Fa+b&amp;q=fix&amp;page=2"' in first
    assert list_page(9_999) == last.replace('value="3"', 'value="9999"').replace(
        "page=3", "page=9999"
    )
    assert "Older" not in VIEWS.session_list_fragment(
        home_context(server(active=True), *map(str, range(50)))
    )


def test_an_empty_list_says_what_to_do() -> None:
    one = server(active=True)
    assert "No sessions here yet." in text_of(VIEWS.session_list_fragment(home_context(one)))
    searched = replace(home_context(one, "One", query=HomeQuery(words="two")), matches=())
    assert "No session has “two”" in text_of(VIEWS.session_list_fragment(searched))
    never = home_context(one)
    never = replace(never, listing=replace(never.listing, fetched_at=None))
    assert "Fetching the sessions" in text_of(VIEWS.session_list_fragment(never))
    here = HomeQuery(directory="/srv/a", words="two")
    html = VIEWS.session_list_fragment(replace(searched, query=here))
    assert "No session here has “two”" in text_of(html)
    assert '<a href="/s/018f/?q=two">Search all folders</a>' in html


def test_a_server_that_is_down_and_was_never_fetched_says_why_once() -> None:
    down = server(active=True, state=State.UNHEALTHY, detail="Gone.")
    shown = home_context(down, problem="Gone.")
    shown = replace(shown, listing=replace(shown.listing, fetched_at=None))
    html = home_page(shown)
    main = html.partition("<main")[2]
    assert text_of(main).count("Gone.") == 1
    assert "Never fetched" in text_of(main)
    assert "never fetched" not in text_of(main)
    assert text_of(main).count("Retry") == 1
    assert "Refresh" not in text_of(main)
    assert re.search(r'<button[^>]*popovertarget="new-session" disabled>', main)
    up = home_page(home_context(server(active=True)))
    assert not re.search(r'<button[^>]*popovertarget="new-session" disabled>', up)


@pytest.mark.parametrize("selected", [None, "local/tiny"])
def test_the_picker_has_the_servers_own_choice_first(selected: str | None) -> None:
    shown = home_context(server(active=True), models=replace(MODELS, selected=selected))
    html = " ".join(VIEWS.project_and_model_fragments(shown).split())
    mark = "" if selected else " selected"
    first = f'<option value=""{mark}>Server decides</option>'
    assert f'<select name="model" aria-label="Model"> {first}' in html


def test_a_list_that_may_lack_sessions_says_so_once_it_was_fetched() -> None:
    note = "This OpenCode release lists one folder at a time"
    shown = home_context(server(active=True), "One")
    partial = replace(shown, listing=replace(shown.listing, is_partial=True))
    assert note in text_of(VIEWS.session_list_fragment(partial))
    assert note not in text_of(VIEWS.session_list_fragment(shown))
    never = replace(partial, listing=replace(partial.listing, is_substitute=True))
    assert note not in text_of(VIEWS.session_list_fragment(never))


def test_the_stamp_changes_with_what_is_shown_but_not_with_each_check() -> None:
    one = server()
    later = replace(one, health=replace(one.health, checked_at=NOW, latency_ms=9.0))
    red = replace(one, health=replace(one.health, state=State.UNHEALTHY))
    stamp = page_context(one).stamp
    assert page_context(later).stamp == stamp
    other = [
        page_context(red),
        page_context(replace(one, default=True)),
        page_context(),
        page_context(one, local_message="x"),
    ]
    assert len({stamp, *(shown.stamp for shown in other)}) == 5


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
    assert age_or_date(NOW - timedelta(seconds=seconds), NOW) == words


def test_a_time_long_ago_is_a_date() -> None:
    assert age_or_date(datetime(2020, 1, 2, tzinfo=UTC), NOW) == "2020-01-02"
    assert age_or_date(None, NOW) == "never"


def test_a_moment_has_its_day_unless_that_is_today() -> None:
    here = NOW.astimezone()
    assert format_time(NOW, NOW) == f"{here:%H:%M:%S}"
    assert format_time(NOW - timedelta(days=1), NOW).endswith(f" Feb {here:%H:%M:%S}")


def test_latencies_in_words() -> None:
    assert [format_latency(ms) for ms in (0.04, 9.94, 10, 12_345.6)] == [
        "0.0 ms",
        "9.9 ms",
        "10 ms",
        "12,346 ms",
    ]
    assert [format_axis(ms) for ms in (0.5, 200, 1000, 2500)] == [
        "0.5 ms",
        "200 ms",
        "1 s",
        "2.5 s",
    ]


def test_passwords_are_in_no_page() -> None:
    secret = server(
        active=True, basic_auth_enabled=True, basic_auth_password=Secret("hunter2-never-shown")
    )
    form = ServerForm.for_profile(secret.profile)
    html = (
        servers_page(page_context(secret))
        + home_page(home_context(secret))
        + bytes(
            VIEWS.render("server_form.html", page=page_context(secret), form=form).body
        ).decode()
    )
    assert "hunter2" not in html
    assert "***" not in html


@pytest.mark.parametrize("state", list(LinkState))
def test_a_row_shows_the_link_state_and_its_meaning(state: LinkState) -> None:
    html = VIEWS.server_row_fragments([replace(server(), link=state)])
    assert f'title="{escape(LINK_DESCRIPTIONS[state])}">{state.value}</span>' in html


def test_no_link_state_is_shown_for_a_server_that_was_never_checked() -> None:
    one = server()
    held = replace(one, health=replace(one.health, checked_at=None))
    assert "polling" not in VIEWS.server_row_fragments([held])


def test_a_recent_upgrade_is_shown_in_the_row() -> None:
    html = VIEWS.server_row_fragments([replace(server(), previous_version="1.18.23")])
    assert "OpenCode 1.18.23 → , now 1.18.33" in text_of(html)
    one = server()
    assert page_context(one).stamp != page_context(replace(one, previous_version="1.18.23")).stamp


def test_a_release_that_codewalk_cannot_talk_to_says_so() -> None:
    second = server(state=State.UNHEALTHY, reason=Reason.INCOMPATIBLE, version="2.0.1")
    text = text_of(VIEWS.server_row_fragments([second]))
    assert "OpenCode 2.0.1" in text
    assert REASON_SENTENCES[Reason.INCOMPATIBLE].replace("'", "&#39;") in text


def test_a_snoozed_server_says_until_when() -> None:
    soon, late = NOW + timedelta(hours=1), NOW + timedelta(days=7)
    for at, words in (
        (soon, f"{soon.astimezone():%H:%M}"),
        (late, f"{late.astimezone():%Y-%m-%d}"),
    ):
        shown = replace(server(snoozed_until=at), snoozed=True)
        assert f"Snoozed until {words}" in text_of(VIEWS.server_row_fragments([shown]))
    over = server(snoozed_until=soon)
    assert "Snoozed" not in VIEWS.server_row_fragments([over])
    # That it ends is told to a page, though nothing else changes then.
    assert page_context(over).stamp != page_context(replace(over, snoozed=True)).stamp
