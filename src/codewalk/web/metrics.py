"""`/metrics`, as Prometheus reads it.

The number of series is bounded: only the first `MAX_NAMED_SERVERS` servers have some of their own,
the others are counted together. Each series names its server by its id; `codewalk_server_info` has
the name and version to join with, so that a new label begins no new series but that.
"""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from fastapi import APIRouter, Request, Response

import codewalk
from codewalk.app.app import App
from codewalk.health.counters import ServerCounters
from codewalk.health.histogram import Histogram
from codewalk.health.link import LinkState
from codewalk.health.schedule import Lateness
from codewalk.reason import State
from codewalk.server import Server
from codewalk.web.dependencies import AppDep

if TYPE_CHECKING:
    from prometheus_client.core import HistogramMetricFamily, Metric

MAX_NAMED_SERVERS: Final = 200
"""Servers with series of their own: the first ones of the list."""

OTHERS: Final = "others"
"""What the rest are called in the label `server`."""

MAX_NAME_LENGTH: Final = 64
"""Characters of a server's name in a label."""

router: Final = APIRouter(include_in_schema=False)


@router.get("/metrics")
async def metrics(app: AppDep, request: Request) -> Response:
    """All measurements, in the format that the caller asks for: Prometheus's or OpenMetrics'."""
    shown = take_snapshot(app)
    accepted = request.headers.get("accept", "")
    # The process's own are read from files.
    body, content_type = await asyncio.to_thread(partial(_encode, shown, accepted))
    return Response(body, headers={"content-type": content_type})


class MetricsSnapshot(NamedTuple):
    """What is told, as it was at one moment. `named` are the servers with series of their own."""

    servers: Sequence[Server]
    named: Sequence[tuple[Server, ServerCounters]]
    others: ServerCounters | None
    lateness: Lateness


def take_snapshot(app: App) -> MetricsSnapshot:
    """The measurements as they are now."""
    servers = app.servers()
    others = ServerCounters() if len(servers) > MAX_NAMED_SERVERS else None
    if others:
        for server in servers[MAX_NAMED_SERVERS:]:
            others.add(app.check_counts(server.id))
    return MetricsSnapshot(
        servers=servers,
        named=[(server, app.check_counts(server.id)) for server in servers[:MAX_NAMED_SERVERS]],
        others=others,
        lateness=app.lateness(),
    )


def _encode(shown: MetricsSnapshot, accepted: str) -> tuple[bytes, str]:
    # Imported here: nobody but Prometheus has need of it.
    from prometheus_client import CollectorRegistry, ProcessCollector
    from prometheus_client.exposition import choose_encoder

    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(shown))
    ProcessCollector(registry=registry)
    encode, content_type = choose_encoder(accepted)
    return encode(registry), content_type


class _Collector:
    """Gives measurements to prometheus-client, which writes them down."""

    def __init__(self, shown: MetricsSnapshot) -> None:
        self._shown = shown

    def collect(self) -> "Iterator[Metric]":
        yield from _of_all(self._shown)
        yield from _of_each(self._shown.named)
        yield from _of_checks(self._tallies())

    def _tallies(self) -> Iterator[tuple[str, ServerCounters]]:
        yield from ((server.id, tally) for server, tally in self._shown.named)
        if self._shown.others:
            yield OTHERS, self._shown.others


def _of_all(shown: MetricsSnapshot) -> "Iterator[Metric]":
    from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily

    build = GaugeMetricFamily("codewalk_build_info", "This CodeWalk.", labels=["version"])
    build.add_metric([codewalk.__version__], 1)
    yield build
    counts = GaugeMetricFamily("codewalk_servers", "Servers in each state.", labels=["state"])
    for state in State:
        count = sum(server.health.state is state for server in shown.servers)
        counts.add_metric([state.value], count)
    yield counts
    late = HistogramMetricFamily(
        "codewalk_check_lateness_seconds",
        "From a check's deadline to its start, of servers that were well and of failing ones.",
        labels=["lane"],
    )
    _add(late, ["well"], shown.lateness.passing)
    _add(late, ["failing"], shown.lateness.failing)
    yield late


def _of_each(named: "Iterable[tuple[Server, ServerCounters]]") -> "Iterator[Metric]":
    from prometheus_client.core import GaugeMetricFamily

    info = GaugeMetricFamily(
        "codewalk_server_info", "A server.", labels=["server", "name", "version"]
    )
    up = GaugeMetricFamily(
        "codewalk_server_up",
        "1 for healthy, 0 for unhealthy; absent while it isn't known.",
        labels=["server"],
    )
    link = GaugeMetricFamily(
        "codewalk_link_state",
        "1 for the state that the live link is in.",
        labels=["server", "state"],
    )
    for server, _ in named:
        info.add_metric([server.id, server.name[:MAX_NAME_LENGTH], server.health.version or ""], 1)
        if server.health.state is not State.UNKNOWN:
            up.add_metric([server.id], server.health.state is State.HEALTHY)
        for state in LinkState:
            link.add_metric([server.id, state.value], server.link is state)
    yield from (info, up, link)


def _of_checks(tallies: Iterable[tuple[str, ServerCounters]]) -> "Iterator[Metric]":
    from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily

    checks = CounterMetricFamily(
        "codewalk_checks", "Checks that were made.", labels=["server", "result"]
    )
    changes = CounterMetricFamily(
        "codewalk_transitions", "Changes into each state.", labels=["server", "to"]
    )
    latency = HistogramMetricFamily(
        "codewalk_server_latency_seconds", "How long a good check's answer took.", labels=["server"]
    )
    for name, tally in tallies:
        checks.add_metric([name, "good"], tally.good)
        checks.add_metric([name, "failed"], tally.failed)
        for state in State:
            changes.add_metric([name, state.value], tally.transitions[state])
        _add(latency, [name], tally.latency)
    yield from (checks, changes, latency)


def _add(family: "HistogramMetricFamily", labels: list[str], histogram: Histogram) -> None:
    bounds = [*(f"{bound:g}" for bound in histogram.bounds), "+Inf"]
    buckets = list(zip(bounds, histogram.cumulative(), strict=True))
    family.add_metric(labels, buckets, histogram.total)
