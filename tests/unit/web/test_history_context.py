"""A server's own page: how it is and how it has been, rendered without a browser."""

import re
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from codewalk.history.history import Check, StoredHistory, Transition, build_history
from codewalk.history.period import DAY, HOUR, MINUTE, RETENTION, Period
from codewalk.reason import Reason, State
from codewalk.server import Server
from codewalk.servers.profile import NotifySetting
from codewalk.web.history_context import LOG_LINES_PER_PAGE, HistoryContext, build_history_context
from codewalk.web.history_query import HistoryPageQuery, Range
from tests.unit.web.rendering import HOSTILE, NOW, VIEWS, Tags, frame, server, text_of


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


def past(
    shown: Server, *changes: Transition, look: HistoryPageQuery | None = None, **kept: object
) -> HistoryContext:
    found = replace(StoredHistory(transitions=changes), **kept)  # type: ignore[arg-type]
    told = build_history(shown.id, found, shown.health, since=NOW - RETENTION, now=NOW)
    return build_history_context(shown, told, look or HistoryPageQuery(), told.periods)


def page(shown: HistoryContext, *checks: Check) -> str:
    return bytes(VIEWS.server_page(frame(shown.server), shown, checks).body).decode()


def test_the_page_says_how_a_server_is() -> None:
    since = NOW - timedelta(hours=2, minutes=5)
    one = server(active=True, default=True, version="1.0.200", since=since)
    html = page(past(one))
    text = text_of(html)
    for part in (
        *("Dev box", "http://devbox:4096", "healthy Ready to use.", "Active", "Default"),
        *("Healthy for 2 h 5 min", "Latency 3.1 ms", "OpenCode 1.0.200", "CVE-2026-22812"),
        *("Last check 12 s ago", "Checked every 10 s", "Link polling", "Check now", "Edit"),
    ):
        assert part in text
    assert '<h1><bdi class="name" dir="auto">Dev box</bdi></h1>' in html
    assert "Set active" not in text
    managed = text_of(page(past(server(managed=True))))
    assert "Set active" in managed
    assert "Edit" not in managed


def test_one_that_is_down_says_why() -> None:
    down = server(state=State.UNHEALTHY, reason=Reason.REFUSED, latency_ms=None)
    assert "unhealthy Nothing listens at this address." in text_of(page(past(down)))


def test_without_a_history_it_says_what_will_be_there() -> None:
    new = server(state=State.UNKNOWN, reason=Reason.UNCHECKED, version=None, latency_ms=None)
    text = text_of(page(past(new)))
    for part in ("No checks yet.", "Not known yet.", "Nothing is known of", "No history yet."):
        assert part in text
    assert "%" not in text


def test_uptime_says_what_was_down_and_how_long_it_was_watched() -> None:
    periods = [minute(30), minute(20, down=MINUTE / 4), minute(2 * DAY / MINUTE)]
    text = text_of(page(past(server(), periods=periods)))
    assert "Last 24 hours 80 % down for 15 s, watched for 1 min 15 s" in text
    assert "Last 7 days 88.888 % down for 15 s, watched for 2 min 15 s" in text
    up = text_of(page(past(server(), periods=[minute(1)])))
    assert "Last 30 days 100 % never down, watched for 1 min" in up


def test_the_chart_has_a_title_words_and_both_axes() -> None:
    periods = [minute(300, ms=3), minute(200, ms=8), minute(100, down=MINUTE)]
    html = page(past(server(), periods=periods))
    (svg,) = re.findall(r"<svg viewBox.*?</svg>", html, re.DOTALL)
    assert 'role="img" aria-labelledby="chart-title" aria-describedby="chart-description"' in svg
    assert '<title id="chart-title">Latency in the last 24 hours</title>' in svg
    (told,) = re.findall(r'<desc id="chart-description">(.*?)</desc>', svg)
    assert told.startswith("Mean 5.5 ms; 95 % of the answers within 11 ms. Slowest around ")
    assert told.endswith(": 16 ms. Down for 1 min.")
    assert re.findall(r'<path class="(\w+)"', svg) == ["down", "grid", "p95", "mean"]
    quarter = (NOW - 18 * HOUR).astimezone()
    assert f"<span>{quarter:%H:%M}</span>" in html
    assert "<span>20 ms</span><span>10 ms</span><span>0</span>" in html


@pytest.mark.parametrize(
    "look", [HistoryPageQuery(range=one) for one in Range], ids=lambda look: look.range
)
def test_a_month_of_minutes_is_drawn_in_few_points(look: HistoryPageQuery) -> None:
    minutes = [minute(ago) for ago in range(24 * 60)]
    hours = [replace(minute(24 * 60 + 60 * ago), span=HOUR) for ago in range(29 * 24)]
    drawn = past(server(), periods=minutes + hours, look=look)
    assert 59 <= drawn.chart.mean.count("L") <= 181
    assert drawn.chart.mean.count("M") == 1
    assert len(drawn.ticks) == 4


def test_another_time_is_named_and_what_lies_beside_it_asked_for() -> None:
    until = NOW - 9 * DAY
    look = HistoryPageQuery(range=Range.HOUR, until=until)
    periods = [minute(9 * DAY / MINUTE + ago, ms=ago) for ago in range(1, 60)]
    html = page(past(server(), periods=periods, look=look))
    begins, ends = (
        f"{at.day} {at:%b %H:%M}" for at in map(datetime.astimezone, (until - HOUR, until))
    )
    assert f'<title id="chart-title">Latency from {begins} to {ends}</title>' in html
    assert f">{begins} – {ends}</span>" in html
    assert f"<span>{ends[-5:]}</span></div>" in html
    earlier, later = (
        look.query(until=f"{at:%Y-%m-%dT%H:%M:%SZ}").replace("&", "&amp;")
        for at in (until - HOUR, until + HOUR)
    )
    assert f'id="earlier" class="button small" href="/servers/018f{earlier}"' in html
    assert f'id="later" class="button small" href="/servers/018f{later}"' in html
    now = page(past(server(), periods=periods))
    assert 'id="later" class="button small" role="link" aria-disabled="true"' in now
    assert "– now</span>" in now
    assert 'id="earlier"' not in page(past(server(), look=HistoryPageQuery(range=Range.MONTH)))


def test_hours_without_minutes_are_drawn_as_hours() -> None:
    until = NOW - 9 * DAY
    whole = until.replace(minute=0, second=0, microsecond=0) - HOUR
    down = replace(minute(0, down=30 * MINUTE), begins=whole, span=HOUR)
    look = HistoryPageQuery(range=Range.HOUR, until=whole + HOUR)
    assert past(server(), periods=[down], look=look).chart.down == "M0.0 0H600.0V160H0.0Z"
    day = HistoryPageQuery(range=Range.DAY, until=whole + DAY)
    hours = [replace(minute(0), begins=whole + n * HOUR, span=HOUR) for n in range(24)]
    assert past(server(), periods=hours, look=day).chart.mean.count("M") == 1


def test_a_page_that_went_on_is_not_thrown_back() -> None:
    shown = past(server(), look=HistoryPageQuery(range=Range.HOUR, until=NOW - DAY))
    mark = f"1h-{(NOW - DAY).timestamp():.0f}-1"
    only_there = f"#past-018f[data-mark='{mark}']"
    assert f'hx-target="{only_there}"' in VIEWS.history_fragment(shown, again=True)
    assert 'hx-target="#past-018f"' in VIEWS.history_fragment(shown)
    assert f'id="past-018f" class="story" data-mark="{mark}"' in page(shown)


def test_each_change_leads_to_its_hour_in_the_chart() -> None:
    html = page(past(server(), change(3 * 24 * 60)))
    until = NOW - 3 * DAY + 30 * MINUTE
    address = HistoryPageQuery(range=Range.HOUR, until=until).query().replace("&", "&amp;")
    assert f'<a class="when" href="/servers/018f{address}#latency"' in html
    assert '<section id="latency"' in html


def test_the_log_tells_each_change_newest_first_with_reason_and_duration() -> None:
    shown = server(state=State.UNHEALTHY, reason=Reason.REFUSED)
    log = change(90), change(60, State.HEALTHY, version="1.18.33"), change(3, detail="Gone <b>.")
    html = page(past(shown, *log))
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

    def told(number: int) -> str:
        return VIEWS.history_fragment(
            past(shown, *log, look=HistoryPageQuery(range=Range.WEEK, page=number))
        )

    first, second, last = told(1), told(2), told(3)
    assert f"1–{LOG_LINES_PER_PAGE} of {len(log)}" in first
    assert re.findall(r'rel="(next|prev)"', first) == ["next"]
    assert 'rel="next" href="/servers/018f?range=7d&amp;page=2"' in first
    assert 'rel="prev" href="/servers/018f?range=7d"' in second
    assert re.findall(r'rel="(next|prev)"', last) == ["prev"]
    assert told(99) == last
    assert 'href="/servers/018f?page=2"' in second  # 24 hours are what is usual


def test_the_last_checks_are_told_one_by_one() -> None:
    checks = [
        Check(at=NOW - timedelta(seconds=20), reason=Reason.OK, latency_ms=3.14),
        Check(at=NOW - timedelta(seconds=10), reason=Reason.TIMEOUT),
    ]
    html = page(past(server()), *checks)
    cells = re.findall(r'<a class="(\w+)"[^>]*?( tabindex="-1")?><span class="tip">', html)
    # One stop for the tab key; arrows lead on.
    assert cells == [("healthy", ' tabindex="-1"'), ("unhealthy", "")]
    at = (NOW - timedelta(seconds=20)).astimezone()
    assert f"{at:%H:%M:%S} healthy: Ready to use. 3.1 ms" in text_of(html)
    listed = text_of(html.partition("<tbody>")[2].partition("</tbody>")[0])
    assert listed.index("No answer in time.") < listed.index("Ready to use.")


def test_a_snooze_is_told_until_it_is_over() -> None:
    asleep = text_of(page(past(server(snoozed_until=NOW + HOUR))))
    assert "Snoozed until" in asleep
    assert "End snooze" in asleep
    awake = text_of(page(past(server(snoozed_until=NOW - HOUR))))
    assert "End snooze" not in awake
    for part in ("For 1 h", "For 8 h", "Until tomorrow"):
        assert part in awake


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_text(text: str) -> None:
    def tags(value: str) -> tuple[list[str], set[str]]:
        evil = server(label=value, detail=value, version=value, state=State.UNHEALTHY)
        parsed = Tags(page(past(evil, change(3, detail=value, version=value))))
        return parsed.tags, parsed.attributes

    assert tags(text) == tags("calm")


def test_nothing_of_it_is_inline() -> None:
    periods = [minute(1), minute(2, down=MINUTE)]
    parsed = Tags(page(past(server(), change(3), periods=periods)))
    assert "style" not in parsed.attributes
    assert "style" not in parsed.tags
    assert not {name for name in parsed.attributes if name.startswith("on")}


def test_a_server_of_which_nothing_is_told_says_so() -> None:
    assert "Notifications off" in text_of(page(past(server(notify=NotifySetting.OFF))))
    assert "Notifications off" not in text_of(page(past(server())))
