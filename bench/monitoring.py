"""Benchmark of monitoring many servers: checks on a schedule, and live links."""

import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

from bench.nginx import loopback_servers
from bench.plot import Point, plot
from bench.process import ROOT, Usage, cores, load, read_line, started
from bench.report import Report, Target

SERVER_COUNTS: Final = (100, 1000, 10_000)

SECONDS: Final = {100: 60.0, 1000: 60.0, 10_000: 180.0}
LINKS: Final = 1000
LINK_SECONDS: Final = 60.0

MAX_CORE_PERCENT: Final = 40.0
MAX_LATE_MS: Final = 250.0
MAX_MEGABYTES: Final = 400.0
MAX_LINKS_CORE_PERCENT: Final = 5.0
MAX_GROWTH: Final = 1.25
"""CPU for one more server with ten times as many, relative to that with fewer."""

PLOT: Final = ROOT / "docs/monitoring.svg"

_WARM_UP_TIMEOUT: Final = 300.0


@dataclass(frozen=True, kw_only=True, slots=True)
class MonitoringRun:
    """The result of monitoring a number of servers.

    Attributes:
        servers: How many there are; all of them are healthy.
        healthy: How many were known to be healthy at the end.
        core: CPU, in percent of a core.
        peak: Peak resident memory in bytes.
        checks: Checks that were made.
        expected: Checks that were due.
        late_ms: Milliseconds after its time at which a check began; the 99th percentile.
    """

    servers: int
    healthy: int
    core: float
    peak: int
    checks: int
    expected: float
    late_ms: float

    @property
    def per_check_us(self) -> float:
        return self.core / 100 * SECONDS[self.servers] / self.checks * 1e6


async def run(*, picture: bool) -> Report:
    """Monitor each number of servers in turn, then hold the links.

    Args:
        picture: Whether to draw docs/monitoring.svg again.
    """
    with tempfile.TemporaryDirectory(prefix="codewalk-bench-") as temporary:
        folder = Path(temporary)
        runs = [await _monitor(count, folder / str(count)) for count in SERVER_COUNTS]
        links = await _hold_links(folder / "links")
    if picture:
        PLOT.write_text(_draw(runs))
    return _report(runs, links)


async def _monitor(count: int, folder: Path) -> MonitoringRun:
    folder.mkdir()
    seconds = SECONDS[count]
    urls = folder / "urls"
    core, other_core = cores()
    command = [sys.executable, "-m", "bench.contenders.monitor_app"]
    async with loopback_servers(count, folder, core=other_core) as servers:
        urls.write_text("\n".join(servers.urls))
        data = folder / "data"
        async with started(*command, urls, str(seconds), data, core=core) as app:
            await read_line(app, "begin", timeout=_WARM_UP_TIMEOUT)
            before = Usage.of(app.pid)
            result = json.loads(await read_line(app, "end", timeout=seconds + 60))
            after = Usage.of(app.pid)
    return MonitoringRun(
        servers=count,
        core=(after.cpu - before.cpu) / seconds * 100,
        peak=after.peak,
        healthy=result["healthy"],
        checks=result["checks"],
        expected=count * seconds / 10,
        late_ms=1000 * quantile(result["bounds"], result["late"], 0.99),
    )


async def _hold_links(folder: Path) -> float:
    """Hold the links, and return their CPU in percent of a core."""
    folder.mkdir()
    urls = folder / "urls"
    core, other_core = cores()
    beats = [sys.executable, "-m", "bench.contenders.heartbeat_servers", str(LINKS)]
    command = [sys.executable, "-m", "bench.contenders.live_links"]
    async with started(*beats, core=other_core) as servers:
        urls.write_text("\n".join((await read_line(servers, "urls", timeout=30)).split()))
        data = folder / "data"
        async with started(*command, urls, str(LINK_SECONDS), data, core=core) as app:
            await read_line(app, "begin", timeout=_WARM_UP_TIMEOUT)
            before = Usage.of(app.pid)
            live = int(await read_line(app, "end", timeout=LINK_SECONDS + 60))
            after = Usage.of(app.pid)
    if live != LINKS:
        raise RuntimeError(f"only {live} of {LINKS} links were live")
    return (after.cpu - before.cpu) / LINK_SECONDS * 100


def quantile(bounds: Sequence[float], counts: Sequence[int], part: float) -> float:
    """Return a quantile of a histogram, interpolated within its bucket.

    Beyond the last bound, that bound is returned.
    """
    target, seen = part * sum(counts), 0
    for low, high, count in zip((0.0, *bounds), bounds, counts, strict=False):
        if seen + count >= target:
            return low + (high - low) * (target - seen) / count if count else high
        seen += count
    return bounds[-1]


def _report(runs: Sequence[MonitoringRun], links: float) -> Report:
    largest = runs[-1]
    return Report(
        title="monitoring servers every 10 s: the app's process, one core",
        columns=(
            "servers",
            "known healthy",
            "% of a core",
            "µs a check",
            "checks done",
            "p99 late ms",
            "MB",
        ),
        rows=[_row(run) for run in runs],
        notes=(
            f"{LINKS:,} live links with a heartbeat every 10 s: {links:.1f} % of a core",
            f"load afterwards {load():.1f}, this run's own included",
        ),
        targets=(
            Target(
                what=f"{largest.servers:,} servers",
                measured=largest.core,
                limit=MAX_CORE_PERCENT,
                unit="% of a core",
            ),
            Target(
                what=f"{largest.servers:,} servers, p99 of how late a check begins",
                measured=largest.late_ms,
                limit=MAX_LATE_MS,
                unit="ms",
            ),
            Target(
                what=f"{largest.servers:,} servers, memory",
                measured=largest.peak / 2**20,
                limit=MAX_MEGABYTES,
                unit="MB",
            ),
            Target(
                what=f"{LINKS:,} live links",
                measured=links,
                limit=MAX_LINKS_CORE_PERCENT,
                unit="% of a core",
            ),
            Target(
                what="CPU for one more server, with ten times as many",
                measured=_growth(runs),
                limit=MAX_GROWTH,
                unit="times",
            ),
        ),
        raw={
            "runs": [
                {
                    "servers": run.servers,
                    "healthy": run.healthy,
                    "core_percent": run.core,
                    "check_us": run.per_check_us,
                    "checks": run.checks,
                    "expected": run.expected,
                    "late_p99_ms": run.late_ms,
                    "peak_bytes": run.peak,
                }
                for run in runs
            ],
            "links_core_percent": links,
        },
    )


def _row(run: MonitoringRun) -> list[str]:
    return [
        f"{run.servers:,}",
        f"{run.healthy:,}",
        f"{run.core:.1f}",
        f"{run.per_check_us:,.0f}",
        f"{run.checks / run.expected:.0%}",
        f"{run.late_ms:,.0f}",
        f"{run.peak / 2**20:,.0f}",
    ]


def _growth(runs: Sequence[MonitoringRun]) -> float:
    """Return the CPU for one more server in the last step, relative to the step before."""
    steps = [(b.core - a.core) / (b.servers - a.servers) for a, b in pairwise(runs)]
    return steps[-1] / steps[0]


def _draw(runs: Sequence[MonitoringRun]) -> str:
    points = [Point(x=run.servers, y=run.core, label=f"{run.core:.1f} %") for run in runs]
    return plot(points, title="CPU to check servers every 10 s", x="servers", y="% of a core")
