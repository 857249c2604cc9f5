"""Benchmark of switches: how soon the other server's sessions are available."""

import json
import sys
import tempfile
from collections.abc import Sequence
from statistics import quantiles
from typing import Any, Final

from bench.mock_servers import mock_servers
from bench.process import cores, read_line, started
from bench.report import Report, Target

SWITCHES: Final = 100
SESSIONS: Final = 1000
MAX_MS: Final = 20.0

_PARTS: Final = {"whole": "switch and cached list", "switch": "the switch", "list": "the list"}


async def run() -> Report:
    """Run the app on one core, and its two mock servers on the other."""
    core, other_core = cores()
    with tempfile.TemporaryDirectory(prefix="codewalk-bench-") as data:
        async with mock_servers(SESSIONS, SESSIONS, core=other_core) as urls:
            command = [sys.executable, "-m", "bench.contenders.switch_app", data, str(SWITCHES)]
            async with started(*command, *urls, core=core) as app:
                measured = json.loads(await read_line(app, "measured", timeout=60))
    return _report(measured)


def _report(measured: dict[str, Any]) -> Report:
    rows = []
    for key, name in _PARTS.items():
        p50, p95 = _percentiles(measured[key])
        rows.append([name, f"{p50:.1f}", f"{p95:.1f}", f"{max(measured[key]):.1f}"])
    return Report(
        title=f"{SWITCHES} switches between two servers of {SESSIONS:,} sessions each",
        columns=("milliseconds", "p50", "p95", "maximum"),
        rows=rows,
        notes=(f"{measured['fresh']} of the lists had been fetched again by then",),
        targets=(
            Target(
                what="p95 from the call to the cached list",
                measured=_percentiles(measured["whole"])[1],
                limit=MAX_MS,
                unit="ms",
            ),
        ),
        raw=measured,
    )


def _percentiles(values: Sequence[float]) -> tuple[float, float]:
    cuts = quantiles(values, n=20, method="inclusive")
    return cuts[9], cuts[18]
