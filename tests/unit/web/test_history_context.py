"""A server's own page: how it is and how it has been, rendered without a browser."""

import re
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from codewalk.health.link import LinkState
from codewalk.history.history import Check, StoredHistory, Transition, build_history
from codewalk.history.period import DAY, HOUR, MINUTE, RETENTION, Period
from codewalk.reason import Reason, State
from codewalk.server import Server
from codewalk.servers.profile import NotifySetting
from codewalk.web.history_context import LOG_LINES_PER_PAGE, HistoryContext, build_history_context
from codewalk.web.history_query import HistoryPageQuery, Range
from tests.unit.web.samples import HOSTILE, NOW, VIEWS, Tags, page_context, server, text_of


def change(minutes_ago: float, after: State = State.UNHEALTHY, **more: str) -> Transition:
    before = State.UNHEALTHY if after is State.HEALTHY else State.HEALTHY
    reason = Reason.OK if after is State.HEALTHY else Reason.REFUSED
    at = NOW - timedelta(minutes=minutes_ago)
    return Transition(at=at, before=before, after=after, reason=reason, **more)


def minute(minutes_ago: float, *, ms: float = 3, down: timedelta = timedelta()) -> Period:
    answers = 0 if down else 6
    return Period(
        begins=NOW.replace(second=0) - timedelta(minutes=minutes_ago),
        checks=6,
        answers=answers,
        up_ms=0 if down else 60_000,
        down_ms=down // timedelta(milliseconds=1),
        latency_min_us=round(ms * 1000),
        latency_sum_us=round(ms * 1000 * answers),
        latency_p95_sum_us=round(ms * 2000 * answers),
    )


def history_of(
    shown: Server, *changes: Transition, query: HistoryPageQuery | None = None, **stored: object
) -> HistoryContext:
    stored_history = replace(StoredHistory(transitions=changes), **stored)  # type: ignore[arg-type]
    history = build_history(shown.id, stored_history, shown.health, since=NOW - RETENTION, now=NOW)
    return build_history_context(shown, history, query or HistoryPageQuery(), history.periods)


def page(history: HistoryContext, *checks: Check) -> str:
    return bytes(VIEWS.server_page(page_context(history.server), history, checks).body).decode()


def test_the_page_says_that_a_proxy_holds_live_updates_back() -> None:
    buffered = replace(server(), link=LinkState.BUFFERED)
    assert "Live updates are held back by a proxy;" in text_of(page(history_of(buffered)))
    assert "held back" not in text_of(page(history_of(server())))


def test_the_page_shows_the_health_of_a_server() -> None:
    since = NOW - timedelta(hours=2, minutes=5)
    one = server(active=True, default=True, version="1.0.200", since=since)
    html = page(history_of(one))
    text = text_of(html)
    for part in (
        *("Dev box", "http://devbox:4096", "healthy Ready to use.", "Active", "Default"),
        *("Healthy for 2 h 5 min", "Latency 3.1 ms", "OpenCode 1.0.200", "CVE-2026-22812"),
        *("Last check 12 s ago", "Checked every 10 s", "Link polling", "Check now", "Edit"),
    ):
        assert part in text
    assert '<h1><bdi class="name" dir="auto">Dev box</bdi></h1>' in html
    assert "Set active" not in text
    managed = text_of(page(history_of(server(managed=True))))
    assert "Set active" in managed
    assert "Edit" not in managed


def test_an_unhealthy_server_shows_the_reason() -> None:
    down = server(state=State.UNHEALTHY, reason=Reason.REFUSED, latency_ms=None)
    assert "unhealthy Nothing listens at this address." in text_of(page(history_of(down)))


def test_without_a_history_the_page_says_what_will_be_there() -> None:
    new = server(state=State.UNKNOWN, reason=Reason.UNCHECKED, version=None, latency_ms=None)
    text = text_of(page(history_of(new)))
    for part in (
        "Last 10 min: not checked",
        "No data yet.",
        "There are no checks in the last 24 hours.",
        "No history yet.",
    ):
        assert part in text
    assert "%" not in text


def test_uptime_says_what_was_down_and_how_long_it_was_monitored() -> None:
    hour_ms, quarter_ms = HOUR // MINUTE * 60_000, 15 * 60_000
    good = [replace(minute(60 * (n + 30)), span=HOUR, up_ms=hour_ms) for n in range(30)]
    bad = replace(minute(60), span=HOUR, up_ms=hour_ms - quarter_ms, down_ms=quarter_ms)
    text = text_of(page(history_of(server(), periods=[*good, bad])))
    assert "Last 24 hours 75 % down for 15 min of 1 h" in text
    assert "Last 7 days 99.193 % down for 15 min of 1 day 7 h" in text
    assert "Last 30 days 99.193 %" in text
    assert "Last 30 days 100 % never down in 1 day 6 h" in text_of(
        page(history_of(server(), periods=good))
    )


def test_uptime_of_a_few_minutes_is_no_percentage() -> None:
    text = text_of(page(history_of(server(), periods=[minute(4), minute(3)])))
    for window in ("24 hours", "7 days", "30 days"):
        assert f"Last {window} Not enough data yet monitored for 2 min" in text
    assert "100 %" not in text
    down = text_of(page(history_of(server(), periods=[minute(4), minute(3, down=MINUTE / 4)])))
    assert "Not enough data yet down for 15 s of 1 min 15 s" in down


def test_the_chart_has_a_title_words_and_both_axes() -> None:
    periods = [minute(300, ms=3), minute(200, ms=8), minute(100, down=MINUTE)]
    html = page(history_of(server(), periods=periods))
    (svg,) = re.findall(r"<svg viewBox.*?</svg>", html, re.DOTALL)
    assert 'role="img" aria-labelledby="chart-title" aria-describedby="chart-description"' in svg
    assert '<title id="chart-title">Latency in the last 24 hours</title>' in svg
    (summary,) = re.findall(r'<desc id="chart-description">(.*?)</desc>', svg)
    assert summary.startswith("Mean 5.5 ms; 95 % of the answers within 11 ms. Slowest around ")
    assert summary.endswith(": 16 ms. Down for 1 min.")
    assert re.findall(r'<path class="(\w+)"', svg) == ["down", "grid", "p95", "mean"]
    quarter = (NOW - 18 * HOUR).astimezone()
    assert f"<span>{quarter:%H:%M}</span>" in html
    assert "<span>20 ms</span><span>10 ms</span><span>0</span>" in html


@pytest.mark.parametrize(
    "query", [HistoryPageQuery(range=one) for one in Range], ids=lambda query: query.range
)
def test_a_month_of_minutes_is_drawn_in_few_points(query: HistoryPageQuery) -> None:
    minutes = [minute(ago) for ago in range(24 * 60)]
    hours = [replace(minute(24 * 60 + 60 * ago), span=HOUR) for ago in range(29 * 24)]
    drawn = history_of(server(), periods=minutes + hours, query=query)
    assert 59 <= drawn.chart.mean.count("L") <= 181
    assert drawn.chart.mean.count("M") == 1
    assert len(drawn.ticks) == 4


def test_an_earlier_time_is_named_and_has_links_to_the_times_beside_it() -> None:
    until = NOW - 9 * DAY
    query = HistoryPageQuery(range=Range.HOUR, until=until)
    periods = [minute(9 * DAY / MINUTE + ago, ms=ago) for ago in range(1, 60)]
    html = page(history_of(server(), periods=periods, query=query))
    begins, ends = (
        f"{at.day} {at:%b %H:%M}" for at in map(datetime.astimezone, (until - HOUR, until))
    )
    assert f'<title id="chart-title">Latency from {begins} to {ends}</title>' in html
    assert f">{begins} – {ends}</span>" in html
    assert f"<span>{ends[-5:]}</span></div>" in html
    earlier, later = (
        query.query_string(until=f"{at:%Y-%m-%dT%H:%M:%SZ}").replace("&", "&amp;")
        for at in (until - HOUR, until + HOUR)
    )
    assert f'id="earlier" class="button small" href="/servers/018f{earlier}"' in html
    assert f'id="later" class="button small" href="/servers/018f{later}"' in html
    now = page(history_of(server(), periods=periods))
    assert 'id="later" class="button small" role="link" aria-disabled="true"' in now
    assert "– now</span>" in now
    assert 'id="earlier"' not in page(
        history_of(server(), query=HistoryPageQuery(range=Range.MONTH))
    )


def test_hours_without_minutes_are_drawn_as_hours() -> None:
    until = NOW - 9 * DAY
    whole = until.replace(minute=0, second=0, microsecond=0) - HOUR
    down = replace(minute(0, down=30 * MINUTE), begins=whole, span=HOUR)
    query = HistoryPageQuery(range=Range.HOUR, until=whole + HOUR)
    assert history_of(server(), periods=[down], query=query).chart.down == "M0.0 0H600.0V160H0.0Z"
    day = HistoryPageQuery(range=Range.DAY, until=whole + DAY)
    hours = [replace(minute(0), begins=whole + n * HOUR, span=HOUR) for n in range(24)]
    assert history_of(server(), periods=hours, query=day).chart.mean.count("M") == 1


def test_an_update_replaces_only_the_same_part_of_a_history() -> None:
    shown = history_of(server(), query=HistoryPageQuery(range=Range.HOUR, until=NOW - DAY))
    key = f"1h-{(NOW - DAY).timestamp():.0f}-1"
    only_same = f"#history-018f[data-key='{key}']"
    assert f'hx-target="{only_same}"' in VIEWS.history_fragment(shown, only_same=True)
    assert 'hx-target="#history-018f"' in VIEWS.history_fragment(shown)
    assert f'id="history-018f" class="server-page" data-key="{key}"' in page(shown)


def test_each_change_links_to_its_hour_in_the_chart() -> None:
    html = page(history_of(server(), change(3 * 24 * 60)))
    until = NOW - 3 * DAY + 30 * MINUTE
    address = HistoryPageQuery(range=Range.HOUR, until=until).query_string().replace("&", "&amp;")
    assert f'<a class="when" href="/servers/018f{address}#latency"' in html
    assert '<section id="latency"' in html


def test_the_log_lists_changes_newest_first_with_reason_and_duration() -> None:
    shown = server(state=State.UNHEALTHY, reason=Reason.REFUSED)
    log = change(90), change(60, State.HEALTHY, version="1.18.33"), change(3, detail="Gone <b>.")
    html = page(history_of(shown, *log))
    (listed,) = re.findall(r'<ol class="rows log".*?</ol>', html, re.DOTALL)
    first, second, third = (text_of(li) for li in listed.split("</li>")[:-1])
    assert first.endswith("from healthy → to unhealthy Gone &lt;b&gt;. for 3 min so far")
    assert second.endswith("unhealthy → to healthy Ready to use. OpenCode 1.18.33 for 57 min")
    assert third.endswith("Nothing listens at this address. for 30 min")
    assert f'<time datetime="{NOW - timedelta(minutes=3):%Y-%m-%dT%H:%M:%S}.000Z">' in listed


def test_a_long_log_has_pages_that_keep_the_range() -> None:
    states = State.UNHEALTHY, State.HEALTHY
    log = [change(200 - number, states[number % 2]) for number in range(LOG_LINES_PER_PAGE * 2 + 2)]
    shown = server(state=State.HEALTHY)

    def page_of_log(number: int) -> str:
        return VIEWS.history_fragment(
            history_of(shown, *log, query=HistoryPageQuery(range=Range.WEEK, page=number))
        )

    first, second, last = page_of_log(1), page_of_log(2), page_of_log(3)
    assert f"1–{LOG_LINES_PER_PAGE} of {len(log)}" in first
    assert re.findall(r'rel="(next|prev)"', first) == ["next"]
    assert 'rel="next" href="/servers/018f?range=7d&amp;page=2"' in first
    assert 'rel="prev" href="/servers/018f?range=7d"' in second
    assert re.findall(r'rel="(next|prev)"', last) == ["prev"]
    assert page_of_log(99) == last
    assert 'href="/servers/018f?page=2"' in second  # 24 hours are the default


def test_the_last_checks_are_listed_one_by_one() -> None:
    checks = [
        Check(at=NOW - timedelta(seconds=20), reason=Reason.OK, latency_ms=3.14),
        Check(at=NOW - timedelta(seconds=10), reason=Reason.TIMEOUT),
    ]
    html = page(history_of(server()), *checks)
    cells = re.findall(r'<a class="(\w+)"[^>]*?( tabindex="-1")?><span class="tip">', html)
    # One stop for the tab key; arrows lead on.
    other = ' tabindex="-1"'
    assert cells == [("healthy", other), ("unhealthy", other), ("unhealthy", "")]
    at = (NOW - timedelta(seconds=20)).astimezone()
    assert f"{at:%H:%M:%S} healthy: Ready to use. 3.1 ms" in text_of(html)
    now, before = NOW.astimezone(), (NOW - timedelta(seconds=30)).astimezone()
    assert f"{now:%H:%M:%S} still unhealthy: No answer in time." in text_of(html)
    assert f"{before:%H:%M:%S} not checked" in text_of(html)
    assert "Last 10 min: down for 10 s, unknown for 9 min 30 s" in text_of(html)
    listed = text_of(html.partition("<tbody>")[2].partition("</tbody>")[0])
    assert listed.index("No answer in time.") < listed.index("Ready to use.")


def test_a_snooze_shows_until_it_ends() -> None:
    snoozed = text_of(page(history_of(server(snoozed_until=NOW + HOUR))))
    assert "Snoozed until" in snoozed
    assert "End snooze" in snoozed
    over = text_of(page(history_of(server(snoozed_until=NOW - HOUR))))
    assert "End snooze" not in over
    for part in ("For 1 h", "For 8 h", "Until tomorrow"):
        assert part in over


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_text(text: str) -> None:
    def tags(value: str) -> tuple[list[str], set[str]]:
        evil = server(label=value, detail=value, version=value, state=State.UNHEALTHY)
        parsed = Tags(page(history_of(evil, change(3, detail=value, version=value))))
        return parsed.tags, parsed.attributes

    assert tags(text) == tags("calm")


def test_no_style_is_inline() -> None:
    periods = [minute(1), minute(2, down=MINUTE)]
    parsed = Tags(page(history_of(server(), change(3), periods=periods)))
    assert "style" not in parsed.attributes
    assert "style" not in parsed.tags
    assert not {name for name in parsed.attributes if name.startswith("on")}


def test_a_muted_server_says_so() -> None:
    assert "Notifications off" in text_of(page(history_of(server(notify=NotifySetting.OFF))))
    assert "Notifications off" not in text_of(page(history_of(server())))
