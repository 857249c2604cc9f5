"""The `/metrics` page for Prometheus.

The number of series is bounded: only the first `MAX_NAMED_SERVERS` servers have series of their
own, the others are counted together. Series name a server by its id; `codewalk_server_info` has the
name and version to join with, so that a new label starts only one new series.
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
"""The value of the label `server` for all servers beyond `MAX_NAMED_SERVERS`."""

MAX_NAME_LENGTH: Final = 64
"""Characters of a server's name in a label."""

router: Final = APIRouter(include_in_schema=False)


@router.get("/metrics")
async def metrics(app: AppDep, request: Request) -> Response:
    """Return all measurements in the format that the caller accepts: Prometheus or OpenMetrics."""
    snapshot = take_snapshot(app)
    accepted = request.headers.get("accept", "")
    # In a thread: the measurements of the process are read from files.
    body, content_type = await asyncio.to_thread(partial(_encode, snapshot, accepted))
    return Response(body, headers={"content-type": content_type})


class MetricsSnapshot(NamedTuple):
    """All measurements as they were at one moment; `named` are servers with series of their own."""

    servers: Sequence[Server]
    named: Sequence[tuple[Server, ServerCounters]]
    others: ServerCounters | None
    lateness: Lateness


def take_snapshot(app: App) -> MetricsSnapshot:
    """Return copies of all counters, which are encoded in a thread while checks go on counting."""
    servers = app.servers()
    others = ServerCounters() if len(servers) > MAX_NAMED_SERVERS else None
    if others:
        for server in servers[MAX_NAMED_SERVERS:]:
            others.add(app.check_counts(server.id))
    return MetricsSnapshot(
        servers=servers,
        named=[
            (server, app.check_counts(server.id).copy()) for server in servers[:MAX_NAMED_SERVERS]
        ],
        others=others,
        lateness=Lateness(*(histogram.copy() for histogram in app.lateness())),
    )


def _encode(snapshot: MetricsSnapshot, accepted: str) -> tuple[bytes, str]:
    # Imported here: only a scrape needs it.
    from prometheus_client import CollectorRegistry, ProcessCollector
    from prometheus_client.exposition import choose_encoder

    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(snapshot))
    ProcessCollector(registry=registry)
    encode, content_type = choose_encoder(accepted)
    return encode(registry), content_type


class _Collector:
    """A collector of prometheus-client over one snapshot."""

    def __init__(self, snapshot: MetricsSnapshot) -> None:
        self._snapshot = snapshot

    def collect(self) -> "Iterator[Metric]":
        yield from _app_metrics(self._snapshot)
        yield from _server_metrics(self._snapshot.named)
        yield from _check_metrics(self._counters())

    def _counters(self) -> Iterator[tuple[str, ServerCounters]]:
        yield from ((server.id, counters) for server, counters in self._snapshot.named)
        if self._snapshot.others:
            yield OTHERS, self._snapshot.others


def _app_metrics(snapshot: MetricsSnapshot) -> "Iterator[Metric]":
    from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily

    build = GaugeMetricFamily(
        "codewalk_build_info", "The version of this CodeWalk.", labels=["version"]
    )
    build.add_metric([codewalk.__version__], 1)
    yield build
    counts = GaugeMetricFamily("codewalk_servers", "Servers in each state.", labels=["state"])
    for state in State:
        count = sum(server.health.state is state for server in snapshot.servers)
        counts.add_metric([state.value], count)
    yield counts
    late = HistogramMetricFamily(
        "codewalk_check_lateness_seconds",
        "Time from a scheduled check's deadline to its start, for healthy and failing servers.",
        labels=["lane"],
    )
    _add_histogram(late, ["well"], snapshot.lateness.passing)
    _add_histogram(late, ["failing"], snapshot.lateness.failing)
    yield late


def _server_metrics(named: "Iterable[tuple[Server, ServerCounters]]") -> "Iterator[Metric]":
    from prometheus_client.core import GaugeMetricFamily

    info = GaugeMetricFamily(
        "codewalk_server_info", "A server.", labels=["server", "name", "version"]
    )
    up = GaugeMetricFamily(
        "codewalk_server_up",
        "1 for healthy, 0 for unhealthy; absent while unknown.",
        labels=["server"],
    )
    link = GaugeMetricFamily(
        "codewalk_link_state",
        "1 for the current state of the live link.",
        labels=["server", "state"],
    )
    for server, _ in named:
        info.add_metric([server.id, server.name[:MAX_NAME_LENGTH], server.health.version or ""], 1)
        if server.health.state is not State.UNKNOWN:
            up.add_metric([server.id], server.health.state is State.HEALTHY)
        for state in LinkState:
            link.add_metric([server.id, state.value], server.link is state)
    yield from (info, up, link)


def _check_metrics(named_counters: Iterable[tuple[str, ServerCounters]]) -> "Iterator[Metric]":
    from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily

    checks = CounterMetricFamily("codewalk_checks", "Finished checks.", labels=["server", "result"])
    changes = CounterMetricFamily(
        "codewalk_transitions", "Changes into each state.", labels=["server", "to"]
    )
    latency = HistogramMetricFamily(
        "codewalk_server_latency_seconds", "Latency of successful checks.", labels=["server"]
    )
    for name, counters in named_counters:
        checks.add_metric([name, "good"], counters.good)
        checks.add_metric([name, "failed"], counters.failed)
        for state in State:
            changes.add_metric([name, state.value], counters.transitions[state])
        _add_histogram(latency, [name], counters.latency)
    yield from (checks, changes, latency)


def _add_histogram(
    family: "HistogramMetricFamily", labels: list[str], histogram: Histogram
) -> None:
    bounds = [*(f"{bound:g}" for bound in histogram.bounds), "+Inf"]
    buckets = list(zip(bounds, histogram.cumulative(), strict=True))
    family.add_metric(labels, buckets, histogram.total)
