"""`/metrics`, read as Prometheus reads it."""

import re
from pathlib import Path

import aiohttp
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_open_metrics,
)
from prometheus_client.parser import text_string_to_metric_families

import codewalk
from codewalk.health.link import LinkState
from codewalk.health.status import CheckResult, HealthStatus
from codewalk.reason import Reason, State
from codewalk.servers import rules
from codewalk.servers.roster import Roster
from codewalk.web.metrics import MAX_NAME_LENGTH, MAX_NAMED_SERVERS, OTHERS, take_snapshot
from tests.fakes import profile
from tests.integration.web.web_app import RunningApp, running
from tests.mock_opencode import MockOpenCode

CLOSED = "http://127.0.0.1:9"
NEW, UP = HealthStatus(), HealthStatus(state=State.HEALTHY, reason=Reason.OK)
GOOD = CheckResult(reason=Reason.OK, latency_ms=3.0)

Sample = tuple[str, frozenset[tuple[str, str]]]


async def scrape(web: RunningApp) -> dict[Sample, float]:
    """Each series and its value."""
    async with web.client.get(f"{web.url}/metrics") as answer:
        assert answer.status == 200
        assert answer.content_type == "text/plain"
        text = await answer.text()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def sample(metric: str, /, **labels: str) -> Sample:
    return metric, frozenset(labels.items())


async def test_each_server_has_its_measurements(tmp_path: Path) -> None:
    async with running(tmp_path) as web, MockOpenCode() as mock:
        label = 'Dev "box"\\ <b>'
        server = await web.app.add_server(mock.url, label=label, check=False)
        dead = await web.app.add_server(CLOSED, check=False)
        await web.app.check_all()
        samples = await scrape(web)
        one, other = {"server": server.id}, {"server": dead.id}
        assert samples[sample("codewalk_build_info", version=codewalk.__version__)] == 1
        assert samples[sample("codewalk_server_info", **one, name=label, version="1.18.33")] == 1
        assert samples[sample("codewalk_server_up", **one)] == 1
        assert samples[sample("codewalk_server_up", **other)] == 0
        assert samples[sample("codewalk_servers", state="unhealthy")] == 1
        for labels, result, word in ((one, "good", "healthy"), (other, "failed", "unhealthy")):
            assert samples[sample("codewalk_checks_total", **labels, result=result)] == 1
            assert samples[sample("codewalk_transitions_total", **labels, to=word)] == 1
        assert samples[sample("codewalk_checks_total", **one, result="failed")] == 0
        assert samples[sample("codewalk_server_latency_seconds_count", **one)] == 1
        assert samples[sample("codewalk_server_latency_seconds_bucket", **one, le="+Inf")] == 1
        assert samples[sample("codewalk_server_latency_seconds_count", **other)] == 0
        for state in LinkState:
            expected = float(state is LinkState.POLLING)
            assert samples[sample("codewalk_link_state", **one, state=state.value)] == expected
        for lane in ("well", "failing"):
            assert sample("codewalk_check_lateness_seconds_count", lane=lane) in samples
        if Path("/proc/self/stat").exists():
            assert samples[sample("process_resident_memory_bytes")] > 0


async def test_a_server_in_state_unknown_is_neither_up_nor_down(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        server = await web.app.add_server(CLOSED, check=False)
        samples = await scrape(web)
        assert sample("codewalk_server_up", server=server.id) not in samples
        assert samples[sample("codewalk_servers", state="unknown")] == 1


async def test_scheduled_checks_are_counted_with_their_lateness(tmp_path: Path) -> None:
    async with MockOpenCode() as mock, running(tmp_path, watch=True) as web:
        server = await web.app.add_server(mock.url, check=False)
        await mock.wait_for_requests("/global/event")
        samples = await scrape(web)
        assert samples[sample("codewalk_check_lateness_seconds_count", lane="well")] >= 1
        assert samples[sample("codewalk_server_up", server=server.id)] == 1


async def test_the_number_of_series_is_bounded(
    tmp_path: Path,
) -> None:
    def many(roster: Roster) -> Roster:
        for number in range(MAX_NAMED_SERVERS + 50):
            roster = rules.add(roster, profile(number, label="x" * 95 + f"{number:03}"))
        return roster

    async with running(tmp_path) as web:
        await web.parts.registry.change(many)
        for number in (0, MAX_NAMED_SERVERS, MAX_NAMED_SERVERS + 49):
            web.parts.counters.record(profile(number).id, NEW, NEW, UP, GOOD)
        samples = await scrape(web)
        labels = [dict(pairs) for _, pairs in samples]
        named = {each["server"] for each in labels if "server" in each}
        assert len(named) == MAX_NAMED_SERVERS + 1
        assert OTHERS in named
        assert max(len(each["name"]) for each in labels if "name" in each) == MAX_NAME_LENGTH
        assert samples[sample("codewalk_servers", state="unknown")] == MAX_NAMED_SERVERS + 50
        assert samples[sample("codewalk_checks_total", server=OTHERS, result="good")] == 2
        assert samples[sample("codewalk_transitions_total", server=OTHERS, to="healthy")] == 2
        assert samples[sample("codewalk_server_latency_seconds_count", server=OTHERS)] == 2


async def test_checks_that_end_while_a_scrape_is_encoded_leave_its_numbers_alone(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as web:
        server = await web.app.add_server(CLOSED, check=False)
        web.parts.counters.record(server.id, NEW, NEW, UP, GOOD)
        snapshot = take_snapshot(web.app)
        web.parts.counters.record(server.id, UP, UP, NEW, GOOD)
        for histogram in web.app.lateness():
            histogram.add(1.0)
        ((_, counters),) = snapshot.named
        assert (counters.good, counters.latency.count) == (1, 1)
        assert counters.transitions == {State.HEALTHY: 1}
        assert [histogram.count for histogram in snapshot.lateness] == [0, 0]


async def test_open_metrics_is_sent_to_clients_that_accept_it(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        await web.app.add_server(CLOSED, check=False)
        headers = {"Accept": "application/openmetrics-text; version=1.0.0"}
        async with web.client.get(f"{web.url}/metrics", headers=headers) as answer:
            assert answer.content_type == "application/openmetrics-text"
            assert list(parse_open_metrics(await answer.text()))  # type: ignore[no-untyped-call] # prometheus-client's


async def test_without_the_token_nothing_is_revealed(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        await web.app.add_server(CLOSED, label="Secret project", check=False)
        async with aiohttp.ClientSession() as stranger:
            for headers in ({}, {"Authorization": "Bearer wrong"}):
                async with stranger.get(f"{web.url}/metrics", headers=headers) as answer:
                    assert answer.status == 401
                    assert "Secret project" not in await answer.text()


async def test_the_documentation_lists_just_these(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        await web.app.add_server(CLOSED, check=False)
        await web.app.check_all()
        samples = await scrape(web)
    names = {re.sub("_(bucket|sum|count)$", "", metric) for metric, _ in samples}
    text = (Path(__file__).parents[3] / "docs" / "metrics.md").read_text("utf-8")
    listed = set(re.findall(r"^\| `(codewalk_\w+)", text, re.MULTILINE))
    assert listed == {name for name in names if name.startswith("codewalk_")}
