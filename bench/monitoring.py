"""What it takes to watch many servers: by the clock, and by live links."""

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
from bench.process import ROOT, Usage, cores, line_of, load, started
from bench.table import Report, Target

COUNTS: Final = (100, 1000, 10_000)
"""Servers that are watched, and how it grows."""

SECONDS: Final = {100: 60.0, 1000: 60.0, 10_000: 180.0}
LINKS: Final = 1000
LINKED: Final = 60.0

CORE: Final = 40.0
LATE_MS: Final = 250.0
MEGABYTES: Final = 400.0
LINKS_CORE: Final = 5.0
STEEPER: Final = 1.25
"""How many times as much CPU a server may take where there are ten times as many."""

PLOT: Final = ROOT / "docs/monitoring.svg"

_WARM_UP: Final = 300.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Watch:
    """What watching took: `core` is CPU in percent of a core, `peak` resident memory in bytes,
    `checks` what was done of the `expected`, `late_ms` how late 99 of 100 began at most. All
    servers are well; `well` is how many were found so, at the end."""

    servers: int
    well: int
    core: float
    peak: int
    checks: int
    expected: float
    late_ms: float

    @property
    def per_check_us(self) -> float:
        return self.core / 100 * SECONDS[self.servers] / self.checks * 1e6


async def run(*, picture: bool) -> Report:
    """Each number of servers in turn, then the links. `picture` draws how it grew anew."""
    with tempfile.TemporaryDirectory(prefix="codewalk-bench-") as temporary:
        folder = Path(temporary)
        watches = [await _watch(count, folder / str(count)) for count in COUNTS]
        links = await _link(folder / "links")
    if picture:
        PLOT.write_text(_picture(watches))
    return _report(watches, links)


async def _watch(count: int, folder: Path) -> Watch:
    folder.mkdir()
    seconds = SECONDS[count]
    urls = folder / "urls"
    core, other_core = cores()
    command = [sys.executable, "-m", "bench.contenders.watching"]
    async with loopback_servers(count, folder, core=other_core) as servers:
        urls.write_text("\n".join(servers.urls))
        data = folder / "data"
        async with started(*command, urls, str(seconds), data, core=core) as app:
            await line_of(app, "begin", within=_WARM_UP)
            before = Usage.of(app.pid)
            found = json.loads(await line_of(app, "end", within=seconds + 60))
            after = Usage.of(app.pid)
    return Watch(
        servers=count,
        core=(after.cpu - before.cpu) / seconds * 100,
        peak=after.peak,
        well=found["well"],
        checks=found["checks"],
        expected=count * seconds / 10,
        late_ms=1000 * quantile(found["bounds"], found["late"], 0.99),
    )


async def _link(folder: Path) -> float:
    """The CPU of all links in percent of a core."""
    folder.mkdir()
    urls = folder / "urls"
    core, other_core = cores()
    beats = [sys.executable, "-m", "bench.contenders.heartbeats", str(LINKS)]
    command = [sys.executable, "-m", "bench.contenders.linking"]
    async with started(*beats, core=other_core) as servers:
        urls.write_text("\n".join((await line_of(servers, "urls", within=30)).split()))
        data = folder / "data"
        async with started(*command, urls, str(LINKED), data, core=core) as app:
            await line_of(app, "begin", within=_WARM_UP)
            before = Usage.of(app.pid)
            live = int(await line_of(app, "end", within=LINKED + 60))
            after = Usage.of(app.pid)
    if live != LINKS:
        raise RuntimeError(f"only {live} of {LINKS} links were live")
    return (after.cpu - before.cpu) / LINKED * 100


def quantile(bounds: Sequence[float], counts: Sequence[int], part: float) -> float:
    """The value that `part` of what a histogram counted doesn't pass: even within its bound.

    Beyond the last bound that bound is all that is known.
    """
    wanted, seen = part * sum(counts), 0
    for low, high, count in zip((0.0, *bounds), bounds, counts, strict=False):
        if seen + count >= wanted:
            return low + (high - low) * (wanted - seen) / count if count else high
        seen += count
    return bounds[-1]


def _report(watches: Sequence[Watch], links: float) -> Report:
    most = watches[-1]
    return Report(
        title="watching servers every 10 s: the app's process, one core",
        columns=(
            "servers",
            "found well",
            "% of a core",
            "µs a check",
            "checks done",
            "p99 late ms",
            "MB",
        ),
        rows=[_row(watch) for watch in watches],
        notes=(
            f"{LINKS:,} live links with a heartbeat every 10 s: {links:.1f} % of a core",
            f"load afterwards {load():.1f}, this run's own included",
        ),
        targets=(
            Target(
                what=f"{most.servers:,} servers",
                measured=most.core,
                limit=CORE,
                unit="% of a core",
            ),
            Target(
                what=f"{most.servers:,} servers, p99 of how late a check begins",
                measured=most.late_ms,
                limit=LATE_MS,
                unit="ms",
            ),
            Target(
                what=f"{most.servers:,} servers, memory",
                measured=most.peak / 2**20,
                limit=MEGABYTES,
                unit="MB",
            ),
            Target(
                what=f"{LINKS:,} live links", measured=links, limit=LINKS_CORE, unit="% of a core"
            ),
            Target(
                what="CPU a server more, at ten times as many",
                measured=_steeper(watches),
                limit=STEEPER,
                unit="times",
            ),
        ),
        raw={
            "watches": [
                {
                    "servers": watch.servers,
                    "well": watch.well,
                    "core_percent": watch.core,
                    "check_us": watch.per_check_us,
                    "checks": watch.checks,
                    "expected": watch.expected,
                    "late_p99_ms": watch.late_ms,
                    "peak_bytes": watch.peak,
                }
                for watch in watches
            ],
            "links_core_percent": links,
        },
    )


def _row(watch: Watch) -> list[str]:
    return [
        f"{watch.servers:,}",
        f"{watch.well:,}",
        f"{watch.core:.1f}",
        f"{watch.per_check_us:,.0f}",
        f"{watch.checks / watch.expected:.0%}",
        f"{watch.late_ms:,.0f}",
        f"{watch.peak / 2**20:,.0f}",
    ]


def _steeper(watches: Sequence[Watch]) -> float:
    """What one more server takes, in the last step against the one before."""
    steps = [(b.core - a.core) / (b.servers - a.servers) for a, b in pairwise(watches)]
    return steps[-1] / steps[0]


def _picture(watches: Sequence[Watch]) -> str:
    points = [
        Point(x=watch.servers, y=watch.core, label=f"{watch.core:.1f} %") for watch in watches
    ]
    return plot(points, title="CPU to check servers every 10 s", x="servers", y="% of a core")
