"""`codewalk server history`, as programs and people use it."""

import asyncio
import re
from datetime import UTC, datetime, timedelta

from tests.integration.cli.command import CodeWalk
from tests.mock_behaviours import page
from tests.mock_opencode import MockOpenCode


async def test_history_of_checks_by_commands(codewalk: CodeWalk, server: MockOpenCode) -> None:
    added = (await codewalk("server", "add", server.url, "--label", "Dev box", "--json")).json
    assert (await codewalk("server", "check")).status == 0
    server.script("/global/health", page())
    server.script("/path", page())
    assert (await codewalk("server", "check")).status == 1

    history = (await codewalk.fresh("server", "history", "dev box", "--json")).json
    assert history["server_id"] == added["id"]
    assert [(t["from"], t["to"], t["reason"]) for t in history["transitions"]] == [
        ("healthy", "unhealthy", "not_opencode"),
        ("unknown", "healthy", "ok"),
    ]
    assert history["transitions"][0]["lasted_ms"] is None
    assert history["transitions"][1]["lasted_ms"] > 0
    assert not history["more_transitions"]
    assert [(c["ok"], c["reason"]) for c in history["checks"]] == [
        (True, "ok"),
        (False, "not_opencode"),
    ]
    assert history["checks"][0]["latency_ms"] > 0
    assert sum(p["checks"] for p in history["periods"]) == 2
    assert sum(p["failures"] for p in history["periods"]) == 1
    assert history["uptime"]["last_24h"]["percent"] == 100
    assert history["uptime"]["last_30d"] == history["uptime"]["last_24h"]
    assert history["uptime"]["last_7d"]["monitored_s"] >= 0
    since, until = (datetime.fromisoformat(history[key]) for key in ("since", "until"))
    assert until - since == timedelta(days=1)

    printed = await codewalk.fresh("server", "history", "dev box", "--since", "7d")
    assert printed.status == 0
    assert "not enough data yet for 24 h, 7 d, 30 d (monitored for " in printed.out
    assert "2 checks, 1 failed" in printed.out
    assert re.search("·[▁✗]{0,2}✗", printed.out)  # a good and a failed check, maybe in one slot
    assert re.search("last 10 min +down for ", printed.out)
    lines = printed.out.splitlines()
    assert [line.split()[-1] for line in lines if "healthy" in line][-1] == "1.18.33"
    assert "✗ unhealthy: not an OpenCode server" in printed.out


async def test_since_and_until_take_a_duration_or_a_time(
    codewalk: CodeWalk, server: MockOpenCode
) -> None:
    await codewalk("server", "add", server.url, "--label", "a")
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    begun = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=3)
    accepted = await asyncio.gather(
        *(
            codewalk("server", "history", "a", "--since", since, "--json")
            for since in ("90m", "400d", begun.isoformat())
        )
    )
    spans = [
        datetime.fromisoformat(history.json["until"])
        - datetime.fromisoformat(history.json["since"])
        for history in accepted
    ]
    assert timedelta(minutes=90) <= spans[0] < timedelta(minutes=91)
    assert spans[1] == timedelta(days=30)
    assert accepted[2].json["since"] == begun.isoformat(timespec="milliseconds").replace(
        "+00:00", "Z"
    )
    for since, status, code, part in (
        ("soon", 2, "usage", "'soon'"),
        (tomorrow, 1, "invalid_value", "is in the future"),
    ):
        refused = await codewalk("server", "history", "a", "--since", since, "--json")
        assert (refused.status, refused.error["code"]) == (status, code)
        assert part in refused.error["message"]
    whole = codewalk("server", "history", "a", "--until", "10d", "--json")
    middle = codewalk("server", "history", "a", "--since", "8d", "--until", "7d")
    wrong = codewalk("server", "history", "a", "--since", "7d", "--until", "8d", "--json")
    earlier, printed, refused = await asyncio.gather(whole, middle, wrong)
    begin, end = (datetime.fromisoformat(earlier.json[key]) for key in ("since", "until"))
    assert end - begin == timedelta(days=1)
    assert timedelta(days=10) <= datetime.now(UTC) - end < timedelta(days=10, minutes=1)
    assert earlier.json["periods"] == []
    assert "8 days ago to 7 days ago" in printed.out
    assert (refused.status, refused.error["code"]) == (1, "invalid_value")
    assert "give a later end or an earlier start." in refused.error["message"]
    plain = await codewalk("server", "history", "a", "--since", "soon")
    assert plain.err.startswith("error: --since: 'soon' ")


async def test_wrong_usage_creates_nothing(codewalk: CodeWalk) -> None:
    wrong = await codewalk("server", "history", "a", "--since", "7", "--json")
    assert (wrong.status, wrong.error["code"]) == (2, "usage")
    assert not codewalk.data_dir.exists()
    nobody = await codewalk("server", "history", "a", "--json")
    assert (nobody.status, nobody.error["code"]) == (1, "server_not_found")
    assert (await codewalk("server", "history", "--json")).status == 2


async def test_history_of_a_server_that_was_never_checked(codewalk: CodeWalk) -> None:
    await codewalk("server", "add", "http://127.0.0.1:9", "--label", "a", "--no-check")
    printed = await codewalk("server", "history", "a")
    assert (printed.status, printed.err) == (0, "")
    assert "not enough data yet for 24 h, 7 d, 30 d\n" in printed.out
    assert re.search("last 10 min +not checked", printed.out)
    assert "since 1 day ago" in printed.out
    assert "no checks" in printed.out
    longer = await codewalk("server", "history", "a", "--since", "90d")
    assert "since 30 days ago" in longer.out
    assert longer.err == "History is stored for 30 days.\n"
